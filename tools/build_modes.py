"""Builds the modes that ship with a model, and the classifier of `auto`, from their texts.

    python -m tools.build_modes --model smollm2

Deterministic: the same model, SAE and texts give the same files. Knows no session.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--out", type=Path, default=None, help="default: checkpoints/models/MODEL")
    parser.add_argument("--mode", action="append", help="only this one; may be given again")
    parser.add_argument("--no-switcher", action="store_true")
    chosen = parser.parse_args(arguments)

    from anima.home import find_home, make_folder
    from anima.prism.mode import write_mode
    from anima.prism.switching import write_switcher
    from anima.runtime.furnishing import furnish
    from anima.runtime.modes import (
        SHIPPED,
        build_shipped,
        build_switcher,
        labelled,
        open_workshop,
    )
    from anima.runtime.places import SWITCHER
    from anima.trunk import loader

    home = find_home(None, os.environ)
    loaded = loader.load(chosen.model, home, say=_say)
    book = furnish(chosen.model, home).book
    workshop = open_workshop(loaded, book)
    folder = chosen.out or Path("checkpoints") / "models" / chosen.model
    make_folder(folder / "modes")
    for name in chosen.mode or SHIPPED:
        _say(f"{name}, at layer {workshop.layer} …")
        built = build_shipped(workshop, name, say=_say)
        write_mode(folder / "modes" / f"{name}.toml", labelled(built.mode, book))
        _say(
            f"{name}: score without {built.off:.3f}, with {built.best.score:.3f} ({built.best.name})"
        )
    if not chosen.no_switcher:
        write_switcher(folder / SWITCHER, build_switcher(workshop))
    return 0


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
