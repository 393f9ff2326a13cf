"""Measures the centre and whitening of the encoder `trunk` over ordinary chat, and writes its file.

    python -m tools.build_encoder [--lines N] [--out FILE]

The lines are those of the package chitchat-dataset, which the `train` extra installs.
"""

import argparse
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy

from anima.encoding.hidden import FILE, MODEL, last_state, whitening
from anima.home import find_home

LAYER = 28
"""The layer whose last token finds most: of 26, 28 and 29 the second, and the mean of all tokens less."""

WIDTH = 384
_SHORTEST, _LONGEST = 16, 199
_LEFT = 2000
"""Lines that are left for comparing encoders on."""


def chat_lines(count: int, seed: int = 1) -> list[str]:
    """`count` different lines of people talking, always the same for the same seed."""
    import chitchat_dataset

    told = (
        message["text"].strip()
        for talk in chitchat_dataset.Dataset().values()
        for part in talk["messages"]
        for message in part
    )
    lines = list(dict.fromkeys(text for text in told if _SHORTEST <= len(text) <= _LONGEST))
    random.Random(seed).shuffle(lines)
    return lines[_LEFT : _LEFT + count]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/models") / MODEL / FILE)
    options = parser.parse_args(arguments)
    from anima.trunk.loader import load

    loaded = load(MODEL, find_home(None, os.environ), say=print)
    lines = chat_lines(options.lines)
    states = numpy.stack(
        [last_state(loaded.trunk, loaded.tokenizer, LAYER, line) for line in lines]
    )
    measured = whitening(
        states, layer=LAYER, fingerprint=loaded.trunk.info.fingerprint, width=WIDTH
    )
    measured.write(options.out)
    print(f"{options.out}: layer {LAYER}, {WIDTH} directions of {len(lines):,} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
