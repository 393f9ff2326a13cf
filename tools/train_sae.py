"""Trains the sparse autoencoder of a model and writes it ready to ship: one command, resumable.

    python -m tools.train_sae --work WORK
    python -m tools.train_sae --model llama-3.1-8b --layers 12,16,20 --text chats.jsonl --work WORK

Parses, calls `anima.features.making`, prints; knows nothing of how it is done.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from anima.home import find_home

ROOT = Path(__file__).resolve().parent.parent


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--model", default="smollm2", help="a catalog name, a folder or a hub id")
    made.add_argument("--work", type=Path, required=True, help="a folder for what is in between")
    made.add_argument("--out", type=Path, help="the SAE's folder (checkpoints/models/MODEL/sae)")
    made.add_argument("--layers", default="12,15,18", help="the depths to choose from, from 0")
    made.add_argument("--layer", type=int, help="train on this one of them, without choosing")
    made.add_argument("--text", type=Path, action="append", default=[], metavar="PATH",
                      help="texts of your own instead of chitchat_dataset (.jsonl or text)")  # fmt: skip
    made.add_argument("--tokens", type=int, default=1_500_000, help="to train on, per source")
    made.add_argument("--held", type=int, default=150_000, help="held-out tokens, per source")
    made.add_argument("--talks", type=int, default=8, help="batches of 64 of its own replies")
    made.add_argument("--features", type=int, default=8_192)
    made.add_argument("--k", type=float, default=60, help="features active on an average token")
    made.add_argument("--samples", type=int, default=4_000_000, help="rows seen in all epochs")
    made.add_argument("--rate", type=float, default=8e-4, help="learning rate")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--threads", type=int, help="processor threads")
    made.add_argument("--device", default="cpu")
    made.add_argument("--dtype", default="bfloat16", help="of the model while harvesting")
    made.add_argument("--budget", type=float, metavar="MINUTES", help="training ends after these")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)

    import torch

    from anima.context import ChatFormat, jinja_render
    from anima.features.making import Bench, Plan, make
    from anima.features.training import Recipe
    from anima.runtime.opening import prefix
    from anima.trunk import loader
    from anima.trunk.reference import ReferenceTrunk

    if options.threads:
        torch.set_num_threads(options.threads)
    home = find_home(None, os.environ)
    loaded = loader.load(options.model, home, device=options.device)
    reader = loader.load(
        options.model, home, device=options.device, dtype=options.dtype, engine="reference",
        quantize="none",
    ).trunk  # fmt: skip
    assert isinstance(reader, ReferenceTrunk)
    bench = Bench(
        reader=reader, loaded=loaded, prefix=prefix(None), clock=time.monotonic,
        format=ChatFormat.of(jinja_render(loaded.chat_template, loaded.special_tokens, datetime.now)),
        say=lambda message: print(message, flush=True),
    )  # fmt: skip
    recipe = replace(
        Recipe(), features=options.features, k=options.k, samples=options.samples,
        rate=options.rate, seed=options.seed,
    )  # fmt: skip
    plan = Plan(
        work=options.work, layers=[int(layer) for layer in options.layers.split(",")],
        out=options.out or ROOT / "checkpoints" / "models" / options.model / "sae",
        layer=options.layer, tokens=options.tokens, held=options.held, texts=options.text,
        talks=options.talks, minutes=options.budget, recipe=recipe,
    )  # fmt: skip
    shown = shlex.join(_without(_without(given, "--work"), "--out"))
    make(plan, bench, f"python -m tools.train_sae --work WORK {shown}".rstrip())
    return 0


def _without(given: Sequence[str], option: str) -> list[str]:
    """The arguments without one option and its value: a folder of this machine says nothing."""
    if option not in given:
        return [one for one in given if not one.startswith(f"{option}=")]
    at = list(given).index(option)
    return [*given[:at], *given[at + 2 :]]


if __name__ == "__main__":
    sys.exit(main())
