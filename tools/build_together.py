"""Tunes MiniLM's last layers on pairs of lines that the reader of keys leaves open; writes both readers.

    python -m tools.build_together [--forms FILE] [--lives N] [--steps N] [--first N] [--out FOLDER]

What the reader of keys says of a pair comes from one that never saw its attribute, so that the layers
learn what is left open where both are used. See `build_replacing` for the pairs.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anima.encoding import DEFAULT, minilm
from anima.encoding.joint import Joint, States
from anima.home import find_home
from anima.memory.claims import replacing, together
from anima.memory.claims.replacing import Eyes, Numbers
from tools import joint_net
from tools.build_replacing import (
    LIVES,
    Pairs,
    eyes_for,
    ground_of,
    judge,
    judged_pairs,
    parts_of,
    reader_of,
)

_LEAST, _READ = 0.011, 0.05
"""What the reader of keys must find for a pair to be learned from, and to be read in a race."""

_PART = 0.5
"""How much the layers count beside the keys alone.

They know the sentences that they were tuned on better than others: in attributes that were left out
they find most with a part between .3 and .75, and hardly more than the keys alone with all of it.
"""

_OTHERS = 0.03
"""The share of all other pairs that are learned from too."""

_SURE, _LIKELY = 0.75, 0.55
_FARTHEST = 6.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Open:
    """Pairs that are read together, of places in `texts`, and the logit that the keys gave each."""

    pairs: Sequence[tuple[int, int]]
    replaced: NDArray[np.bool_]
    given: NDArray[np.float32]


def logits(chances: Numbers) -> Numbers:
    """The logits of chances, none farther from 0 than 6."""
    bare = np.clip(chances, 1e-9, 1 - 1e-9)
    found: Numbers = np.clip(np.log(bare / (1 - bare)), -_FARTHEST, _FARTHEST)
    return found


def left_open(parts: Sequence[Pairs], eyes: Eyes, places: dict[str, int]) -> Open:
    """What a reader that was taught by the other parts leaves open in each, and a few of the rest."""
    chance = np.random.default_rng(0)
    pairs, replaced, given = [], [], []
    for at, part in enumerate(parts):
        others = [each for number, each in enumerate(parts) if number != at]
        chances = reader_of(others, eyes).scored(part.features)
        chosen = part.replaced | (chances > _LEAST) | (chance.random(chances.size) < _OTHERS)
        for each in np.flatnonzero(chosen).tolist():
            new, old = part.texts[each]
            pairs.append((places[new], places[old]))
        replaced.append(part.replaced[chosen])
        given.append(logits(chances[chosen]).astype(np.float32))
    return Open(pairs=pairs, replaced=np.concatenate(replaced), given=np.concatenate(given))


def tuned(
    open_: Open, states: joint_net.States, first: int, schedule: joint_net.Schedule
) -> joint_net.Net:
    """The layers of MiniLM from `first` on, tuned on pairs."""
    net = joint_net.of_minilm(first, schedule.seed)
    joint_net.tune(net, open_.pairs, open_.replaced, open_.given, states, schedule)
    return net


def together_on(
    pairs: Pairs, by_keys: Numbers, joint: Joint, states: States, numbers: dict[str, float]
) -> Numbers:
    """The chance of each pair when both readers are used as they are in a race."""
    judge_ = together.Together(joint=joint, states=states, **numbers)
    found, start = [], 0
    for size in pairs.sizes:
        rows = slice(start, start + size)
        texts = pairs.texts[rows]
        found.append(judge_.chances(texts[0][0], [old for _, old in texts], by_keys[rows]))
        start += size
    return np.concatenate(found)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--forms", type=Path, default=Path(__file__).with_name("replacing.toml"))
    parser.add_argument("--lives", type=int, default=LIVES)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--first", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/models") / DEFAULT)
    options = parser.parse_args(arguments)
    ground = ground_of(options.forms)
    learn = ground.source.learned
    parts = parts_of(ground, learn, ground.chat, options.lives)
    reader = reader_of(parts, eyes_for(ground, learn, ground.chat))
    options.out.mkdir(parents=True, exist_ok=True)
    reader.write(options.out / replacing.FILE)
    encoder = minilm.opened(find_home(None, os.environ), print)
    texts = list(ground.keys)
    states = [
        each.astype(np.float16) for each in encoder.states(texts, options.first, together.LONGEST)
    ]
    open_ = left_open(parts, reader.eyes, {text: at for at, text in enumerate(texts)})
    net = tuned(open_, states, options.first, joint_net.Schedule(steps=options.steps))
    weigh, bias = net.mix.detach().tolist()
    tensors = net.tensors()
    tensors["head"] = tensors["head"] * np.float32(_PART)
    numbers = {
        "of_keys": 1 - _PART + _PART * weigh, "bias": _PART * bias, "least": _READ, "sure": _SURE,
        "likely": _LIKELY,
    }  # fmt: skip
    joint = Joint.of(options.first, tensors, {name: repr(each) for name, each in numbers.items()})
    joint.write(options.out / together.FILE)
    pairs = judged_pairs(ground, reader.eyes)
    by_keys = reader.scored(pairs.features)
    print("by keys and words:", *judge(by_keys, pairs), sep="\n  ")
    both = together_on(pairs, by_keys, joint, encoder.states, numbers)
    print("together:", *judge(both, pairs), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
