"""Whether a line tells what a question asks for, read from both at once; knows no ledger.

    logit = w · [u, v, |u − v|, u v] + b        of the last two layers of MiniLM over both texts

It says what the cosine leaves open: a line that holds no longer answers as well as the one that
holds, and somebody else's does not. The layers are those of `anima.encoding.joint`, tuned by
`tools/build_answering.py` on questions for 207 attributes. Of 37 others, among the best ten of 140
lines each, a line of what is asked for is told from the rest with an AUROC of .94 beside the cosine,
.87 by the cosine alone (40,800 lines).
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from anima.encoding.joint import Joint, States, read_joint
from anima.home import shipped_models

if TYPE_CHECKING:
    from anima.encoding.encoder import Vectors

Numbers = NDArray[np.float64]
FILE: Final = "answering.safetensors"
READ: Final = 8
"""Lines that are read beside a question, the best."""

LONGEST: Final = 64
"""Tokens of a text that are read."""

_KEPT: Final = 64  # states of at most 64 tokens of 384 numbers: 6 MB


@dataclass(kw_only=True, eq=False)
class Answering:
    """The reader of a question and a line; keeps the states of the lines that it read last."""

    joint: Joint
    states: States
    _kept: "OrderedDict[str, Vectors]" = field(default_factory=OrderedDict)

    def logits(self, question: str, lines: Sequence[str]) -> Numbers:
        """How far each line tells what the question asks for `[n]`."""
        if not lines:
            return np.zeros(0)
        texts = [question, *lines]
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if new:
            made = self.states(new, self.joint.first, LONGEST)
            self._kept.update(zip(new, made, strict=True))
        one, *others = (self._kept[text] for text in texts)
        for text in texts:
            self._kept.move_to_end(text)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self.joint.logits(one, others)


def answering_for(encoder: object) -> Answering | None:
    """The shipped reader for what makes keys; None where there is none, or it gives no states."""
    name, states = getattr(encoder, "name", None), getattr(encoder, "states", None)
    shipped = shipped_models()
    if not isinstance(name, str) or states is None or shipped is None:
        return None
    path = shipped / name / FILE
    return read_answering(path, states) if path.is_file() else None


def read_answering(path: Path, states: States) -> Answering:
    """The reader in a file; raises CorruptModelError for what is none."""
    return Answering(joint=_joint(path), states=states)


@cache
def _joint(path: Path) -> Joint:
    return read_joint(path)
