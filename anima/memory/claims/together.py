"""Reads a new line and the likeliest older ones at once, token by token; knows no ledger.

    logit P = a · logit P(by keys and words) + logit(both texts at once) + b

Where the reader of keys and words, `replacing`, finds less than `least`, or three others likelier,
nothing is read and the chance is 0. The layers are those of `anima.encoding.joint`, tuned by
`tools/build_together.py` on what that reader leaves open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from anima.encoding.joint import Joint, States, read_joint
from anima.errors import CorruptModelError
from anima.home import shipped_models

if TYPE_CHECKING:
    pass

Numbers = NDArray[np.float64]
FILE: Final = "together.safetensors"
READ: Final = 3
"""Older lines that are read together with a new one, the likeliest."""

LONGEST: Final = 64
"""Tokens of a line that are read."""

_SURE: Final = 6.0
_NUMBERS: Final = ("of_keys", "bias", "least", "sure", "likely")


@dataclass(frozen=True, kw_only=True, eq=False)
class Together:
    """The reader of both texts at once.

    `of_keys` a and `bias` b weigh the logits; what the other reader finds less likely than `least`
    is not read. From `sure` on a line is closed, from `likely` on the newer line goes before it.
    """

    joint: Joint
    states: States
    of_keys: float
    bias: float
    least: float
    sure: float
    likely: float

    def chances(self, new: str, olds: Sequence[str], by_keys: Numbers) -> Numbers:
        """The chance that a line replaces each older one `[n]`, from that by keys and words."""
        found = np.zeros(len(olds))
        order = np.argsort(-by_keys, kind="stable")[:READ]
        read = [at for at in order.tolist() if by_keys[at] >= self.least]
        if not read:
            return found
        texts = [new, *(olds[at] for at in read)]
        one, *others = self.states(texts, self.joint.first, LONGEST)
        bare = np.clip(by_keys[read], 1e-9, 1 - 1e-9)
        logits = np.clip(np.log(bare / (1 - bare)), -_SURE, _SURE)
        certain = self.of_keys * logits + self.joint.logits(one, others) + self.bias
        found[read] = 1.0 / (1.0 + np.exp(-np.clip(certain, -50.0, 50.0)))
        return found


def together_for(encoder: object) -> Together | None:
    """The shipped reader for what makes keys; None where there is none, or it gives no states."""
    name, states = getattr(encoder, "name", None), getattr(encoder, "states", None)
    shipped = shipped_models()
    if not isinstance(name, str) or states is None or shipped is None:
        return None
    path = shipped / name / FILE
    return read_together(path, states) if path.is_file() else None


def read_together(path: Path, states: States) -> Together:
    """The reader in a file; raises CorruptModelError for what is none."""
    joint = _joint(path)
    try:
        numbers = {name: float(joint.told[name]) for name in _NUMBERS}
    except (KeyError, ValueError) as error:
        raise CorruptModelError(
            f"{path} is damaged ({error}): get it again from where Anima came from."
        ) from error
    return Together(joint=joint, states=states, **numbers)


@cache
def _joint(path: Path) -> Joint:
    return read_joint(path)
