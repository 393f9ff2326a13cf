"""Tunes MiniLM's last layers on questions and lines, and writes the reader of what a line answers.

    python -m tools.build_answering [--forms FILE] [--asked FILE] [--steps N] [--first N] [--out FOLDER]

The lines are those of `replacing.toml`, the questions those of `answering.toml`. What the forms mark
as judged is never learned from; what is found of it is printed. See `build_replacing` for the lines.
"""

import argparse
import os
import random
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anima.encoding import DEFAULT, minilm
from anima.encoding.joint import Joint
from anima.evaluation.recall_metrics import auroc
from anima.home import find_home
from anima.memory.ranking import answering
from tools import joint_net
from tools.build_replacing import Ground, ground_of
from tools.replacing_lives import Measure, Sentence, life

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]

_BEFORE = (
    "do you know ", "do you remember ", "tell me, ", "remind me, ", "hey, ", "so, ", "ok, ",
    "by the way, ", "can you tell me ",
)  # fmt: skip
_TIMES = 3
"""How often each question is asked, in other words of courtesy and beside other lines."""

_RIGHT, _NOT_CLAIMED, _NEAREST, _NEAR, _CHAT_NEAR, _CHAT = 3, 3, 3, 3, 2, 1
"""Lines beside a question: facts, and changes; no claims of its attribute; claims of others among
the nearest 30 and 400; chat among the nearest 40, and any."""

_CENTRE, _SLOPE = 0.35, 10.0
"""The logit of a cosine that is given beside what the layers read: slope · (cosine − centre)."""

_LIVES, _LINES = 40, Measure(told=14, untold=8, chat=90)


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """The questions of each attribute, and which attributes may answer those of another."""

    questions: Sequence[Sequence[str]]
    alike: Sequence[frozenset[int]]


@dataclass(kw_only=True)
class _Taught:
    """Pairs of a question and a line while they are gathered, of places in `texts`."""

    places: dict[str, int] = field(default_factory=dict)
    pairs: list[tuple[int, int]] = field(default_factory=list)
    answers: list[bool] = field(default_factory=list)
    given: list[float] = field(default_factory=list)

    def add(self, question: str, line: str, cosine: float, *, answers: bool) -> None:
        one, other = (self.places.setdefault(each, len(self.places)) for each in (question, line))
        self.pairs.append((one, other))
        self.answers.append(answers)
        self.given.append(_SLOPE * (cosine - _CENTRE))


def asked_in(path: Path, names: Sequence[str]) -> Asked:
    """The questions in a file for attributes of these names; raises KeyError for one without."""
    read = tomllib.loads(path.read_text("utf-8"))
    at = {name: number for number, name in enumerate(names)}
    alike = [{number} for number in range(len(names))]
    for group in read["alike"]:
        for name in group:
            alike[at[name]].update(at[each] for each in group)
    return Asked(
        questions=[read["questions"][name].strip().splitlines() for name in names],
        alike=[frozenset(each) for each in alike],
    )


def worded(question: str, chance: random.Random) -> str:
    """A question as it may be typed."""
    if chance.random() < 0.2:
        question = chance.choice(_BEFORE) + question
    if chance.random() < 0.7:
        question = question[:1].upper() + question[1:]
    return question.rstrip("?") if chance.random() < 0.1 else question


def taught(ground: Ground, asked: Asked, encode: Encode) -> _Taught:
    """Questions of the attributes that may be learned from, each beside lines that tell it or not."""
    chance, found, source = random.Random(0), _Taught(), ground.source
    told = [each for each in source.sentences if each.attribute in source.learned]
    attributes, lines = np.array([each.attribute for each in told]), _Near.of(ground, told)
    talk = [Sentence(text=each) for each in (*ground.chat, *(t for a in ground.talks for t in a))]
    chat = _Near.of(ground, talk)
    for attribute in sorted(source.learned):
        others = ~np.isin(attributes, list(asked.alike[attribute]))
        kinds = {
            kind: [each for each in told if (each.attribute, each.kind) == (attribute, kind)]
            for kind in ("fact", "update", "not")
        }
        for question in asked.questions[attribute]:
            for _ in range(_TIMES):
                text = worded(question, chance)
                vector = encode([text])[0]
                right = [e for k in ("fact", "update") for e in _some(kinds[k], _RIGHT, chance)]
                wrong = _some(kinds["not"], _NOT_CLAIMED, chance)
                near, talked = lines.nearest(vector, others), chat.nearest(vector)
                wrong += _some(near[:30], _NEAREST, chance) + _some(near[:400], _NEAR, chance)
                wrong += _some(talked[:40], _CHAT_NEAR, chance) + _some(talked, _CHAT, chance)
                for answers, each in ((each in right, each) for each in (*right, *wrong)):
                    cosine = float(vector @ ground.keys[each.text])
                    found.add(text, each.text, cosine, answers=answers)
    return found


def _some(lines: Sequence[Sentence], count: int, chance: random.Random) -> list[Sentence]:
    return chance.sample(list(lines), min(count, len(lines)))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Near:
    """Lines by how near their keys `[n, d]` are."""

    lines: Sequence[Sentence]
    keys: Vectors

    @classmethod
    def of(cls, ground: Ground, lines: Sequence[Sentence]) -> "_Near":
        return cls(lines=lines, keys=np.stack([ground.keys[each.text] for each in lines]))

    def nearest(self, vector: Vectors, of: NDArray[np.bool_] | None = None) -> list[Sentence]:
        """All of them, or those of a mask `[n]`, the nearest first."""
        order = np.argsort(-(self.keys @ vector), kind="stable")
        return [self.lines[at] for at in order.tolist() if of is None or of[at]]


def tuned(
    taught_: _Taught, encoder: minilm.MiniLmEncoder, first: int, schedule: joint_net.Schedule
) -> joint_net.Net:
    """The layers of MiniLM from `first` on, tuned on pairs."""
    net = joint_net.of_minilm(first, schedule.seed)
    states = [
        each.astype(np.float16)
        for each in encoder.states(list(taught_.places), first, answering.LONGEST)
    ]
    given = np.array(taught_.given, np.float32)
    joint_net.tune(net, taught_.pairs, np.array(taught_.answers), given, states, schedule)
    return net


def judge(
    ground: Ground, asked: Asked, reader: answering.Answering, encode: Encode
) -> Iterator[str]:
    """What is found of the attributes that were left out: among the lines of lives, best first.

    By the cosine alone, and by it with what the reader says of the eight nearest.
    """
    chance, drawn = random.Random(7), sorted(ground.source.judged)
    ranked: dict[str, list[tuple[bool, bool]]] = {"cosine": [], "read": []}
    best: dict[str, dict[bool, list[float]]] = {name: {True: [], False: []} for name in ranked}
    for _ in range(_LIVES):
        lines = life(ground.source, drawn, ground.judged_chat, chance, _LINES)
        keys = np.stack([ground.keys[each.text] for each in lines])
        told = {each.attribute for each in lines if each.claims}
        for attribute in drawn:
            question = chance.choice(asked.questions[attribute])
            cosines = keys @ encode([question])[0]
            near = np.argsort(-cosines, kind="stable")[: answering.READ]
            read = reader.logits(question, [lines[at].text for at in near.tolist()])
            for name, scores in (
                ("cosine", cosines[near]), ("read", read + _SLOPE * cosines[near])
            ):  # fmt: skip
                order = near[np.argsort(-scores, kind="stable")].tolist()
                right = [lines[at].claims and lines[at].attribute == attribute for at in order]
                if attribute in told:
                    ranked[name].append((right[0], any(right[:5])))
                best[name][attribute in told].append(float(scores.max()))
    for name, found in ranked.items():
        first, five = np.mean(found, axis=0)
        yield (
            f"{name}: a line of the attribute is first for {first:.3f}, in the first five for "
            f"{five:.3f} of {len(found)} questions; told or not, AUROC "
            f"{auroc(best[name][True], best[name][False]):.3f}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    here = Path(__file__)
    parser.add_argument("--forms", type=Path, default=here.with_name("replacing.toml"))
    parser.add_argument("--asked", type=Path, default=here.with_name("answering.toml"))
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--first", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/models") / DEFAULT)
    options = parser.parse_args(arguments)
    ground = ground_of(options.forms)
    asked = asked_in(options.asked, ground.source.names)
    encoder = minilm.opened(find_home(None, os.environ), print)
    pairs = taught(ground, asked, encoder.encode)
    print(f"{len(pairs.pairs):,} pairs of {len(pairs.places):,} texts")
    net = tuned(pairs, encoder, options.first, joint_net.Schedule(steps=options.steps))
    joint = Joint.of(options.first, net.tensors())
    options.out.mkdir(parents=True, exist_ok=True)
    joint.write(options.out / answering.FILE)
    reader = answering.read_answering(options.out / answering.FILE, encoder.states)
    print(*judge(ground, asked, reader, encoder.encode), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
