"""One push on a residual stream, as it is asked for: on what, which way, how strongly.

It knows tensors, and neither an SAE, modes, nor text.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from anima.errors import SteeringError

OPERATIONS = ("add", "clamp", "min_clamp", "ablate", "cap", "negative_clamp")

_LOWEST = {"ablate": 0.0, "negative_clamp": 0.0}
_NOT_IDLE_AT_ZERO = ("cap",)


@dataclass(frozen=True, kw_only=True, eq=False)
class Push:
    """One push: on the feature of an SAE, or along a dense `direction` `[d]` of any length.

    `a` is the feature's activation, or h's projection on the unit direction v. `strength` s is a
    fraction of ‖h‖, the layer's mean norm; the target t is where what is written is s·‖h‖ long:

        add             h + s·‖h‖·v              the same push whatever is there
        clamp           a → t                    self-limiting
        min_clamp       a → max(a, t)
        cap             a → min(a, t)            one-sided; s may be 0
        ablate          a → (1 − s)·a            s = 1 takes all of it away
        negative_clamp  a → −t where a > `above`·‖h‖ (in the same fraction), else untouched

    Strength 0 changes nothing, to the bit, but for `cap`. Raises SteeringError for what cannot be.
    """

    operation: str
    strength: float
    feature: int | None = None
    direction: Tensor | None = None
    label: str = ""
    above: float = 0.0

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise SteeringError(
                f"{self._name}: there is no operation {self.operation!r}; choose "
                f"{', '.join(OPERATIONS)}."
            )
        if (self.feature is None) == (self.direction is None):
            raise SteeringError(f"{self._name}: a push has a feature or a direction, and not both.")
        lowest = _LOWEST.get(self.operation, -1.0)
        for name, value in (("strength", self.strength), ("threshold", self.above)):
            if not (math.isfinite(value) and lowest <= value <= 1):
                raise SteeringError(
                    f"{self._name}: {name} {value:g} cannot be; for {self.operation} it is a "
                    f"fraction of the residual norm from {lowest:g} to 1."
                )
        if self.direction is not None:
            _check_direction(self._name, self.direction)

    @property
    def idle(self) -> bool:
        """Whether it asks for nothing at all."""
        return self.strength == 0 and self.operation not in _NOT_IDLE_AT_ZERO

    @property
    def _name(self) -> str:
        return self.label or (f"Feature {self.feature}" if self.feature is not None else "A push")


def _check_direction(name: str, direction: Tensor) -> None:
    if direction.ndim != 1:
        raise SteeringError(f"{name}: a direction is one row, not {tuple(direction.shape)}.")
    length = float(torch.linalg.vector_norm(direction.double()))
    if not math.isfinite(length):
        raise SteeringError(
            f"{name}: its direction holds values that are not finite; make it anew."
        )
    if length == 0:
        raise SteeringError(f"{name}: its direction is zero, so it points nowhere; make it anew.")


def unit(direction: Tensor) -> Tensor:
    """A direction at length 1, in float32."""
    wide = direction.detach().double()
    one: Tensor = wide / torch.linalg.vector_norm(wide)
    return one.float()
