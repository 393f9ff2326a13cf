"""What is in force at one moment: modes and pushes by hand as one state for the tap, and as JSON.

It knows modes, pushes and the layer they act on, and neither turns nor files.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

from anima.errors import SteeringError
from anima.prism.mode import Mode, check_fits, document, mode_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from anima.features.sae import Sae
    from anima.steering.push import Push
    from anima.steering.state import State
    from anima.trunk.interface import TrunkInfo

OFF = "off"
Control = Literal["none", "off", "zombie", "placebo", "shuffled"]
_SEED = 20_261  # of the controls' random directions: the same in every session


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What pushes act on: the model, its SAE with the layer's mean norm, budget and control.

    `live` are the features that a shuffled control may choose from; `read_only` says why features
    are not steered by, "" where they may be.
    """

    info: "TrunkInfo"
    sae: "Sae | None" = None
    norm: float | None = None
    live: Sequence[int] = ()
    budget: float = 0.5
    control: Control = "none"
    device: str = "cpu"
    read_only: str = ""


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """A push on one feature that a person asked for; `strength` a fraction of ‖h‖."""

    feature: int
    operation: str
    strength: float
    label: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Force:
    """Modes at an overall strength (None: each its own) and pushes by hand; immutable."""

    modes: tuple[Mode, ...] = ()
    strength: float | None = None
    by_hand: tuple[ByHand, ...] = ()

    @property
    def name(self) -> str:
        """`off`, a mode's name, or several joined by `+`."""
        return "+".join(mode.name for mode in self.modes) or OFF

    @property
    def idle(self) -> bool:
        return not self.modes and not self.by_hand

    @cached_property
    def sampling(self) -> Mapping[str, float]:
        """The sampling settings that the modes ask for; a later mode's go before an earlier's."""
        asked: dict[str, float] = {}
        for mode in self.modes:
            asked |= mode.sampling
        return asked

    def as_json(self) -> dict[str, Any]:
        """Every coefficient: enough to make the same again."""
        return {
            "modes": [document(mode) for mode in self.modes],
            "strength": self.strength,
            "by_hand": [vars(push) for push in self.by_hand],
        }

    @cached_property
    def digest(self) -> str:
        """A hash of every coefficient."""
        content = json.dumps(self.as_json(), sort_keys=True).encode()
        return hashlib.blake2b(content, digest_size=8).hexdigest()


def force_of(values: Mapping[str, Any], place: str) -> Force:
    """The inverse of `Force.as_json`; SteeringError names the place."""
    try:
        return Force(
            modes=tuple(mode_of(each, place) for each in values["modes"]),
            strength=values["strength"],
            by_hand=tuple(ByHand(**each) for each in values["by_hand"]),
        )
    except (KeyError, TypeError) as error:
        raise SteeringError(f"{place} does not say what was in force: {error}.") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Applied:
    """A force made ready on a ground: the layer and the tap's state, None where nothing is pushed."""

    force: Force
    layer: int | None
    state: "State | None"


def applied(force: Force, ground: Ground) -> Applied:
    """Make a force ready; SteeringError where it does not fit the model, its SAE or one layer."""
    from anima.steering.preparing import ready

    for mode in force.modes:
        check_fits(mode, ground.info, ground.sae)
    pushes = [push for mode in force.modes for push in mode.pushes(force.strength)]
    pushes += [_push(each) for each in force.by_hand]
    if not pushes or ground.control == "off":
        return Applied(force=force, layer=None, state=None)
    if ground.read_only and any(push.feature is not None for push in pushes):
        raise SteeringError(ground.read_only)
    layer, norm = _layer(force, ground)
    make = partial(
        ready, norm=norm, width=ground.info.width, sae=ground.sae, budget=ground.budget,
        device=ground.device,
    )  # fmt: skip
    return Applied(force=force, layer=layer, state=_controlled(make, pushes, ground))


def _push(each: ByHand) -> "Push":
    from anima.steering.push import Push

    return Push(
        feature=each.feature, operation=each.operation, strength=each.strength,
        label=each.label or f"feature {each.feature}",
    )  # fmt: skip


def _layer(force: Force, ground: Ground) -> tuple[int, float]:
    """The one layer that all act on, and the mean ‖h‖ there."""
    layers = {mode.layer for mode in force.modes}
    if force.by_hand:
        if ground.sae is None:
            raise SteeringError("No feature can be steered: this model has no SAE here.")
        layers.add(ground.sae.layer)
    if len(layers) > 1:
        raise SteeringError(
            f"{force.name} would act on layers {', '.join(map(str, sorted(layers)))} at once: "
            "choose modes and features of one layer."
        )
    (layer,) = layers
    if ground.sae is not None and ground.sae.layer == layer and ground.norm is not None:
        return layer, ground.norm
    return layer, force.modes[0].norm


def _controlled(
    make: "Callable[[Sequence[Push]], State | None]", pushes: "Sequence[Push]", ground: Ground
) -> "State | None":
    """The state under the control arm in force."""
    import torch

    from anima.steering.controls import placebo, shuffled, zombie

    generator = torch.Generator().manual_seed(_SEED)
    if ground.control == "shuffled":
        choices = ground.live or range(ground.sae.n_features if ground.sae else 0)
        return make(shuffled(pushes, choices, ground.info.width, generator))
    state = make(pushes)
    if state is None or ground.control == "none":
        return state
    return zombie(state) if ground.control == "zombie" else placebo(state, generator)


def with_push(force: Force, push: ByHand) -> Force:
    """This force with a push by hand, in place of one on the same feature."""
    others = tuple(each for each in force.by_hand if each.feature != push.feature)
    return replace(force, by_hand=(*others, push) if push.strength else others)
