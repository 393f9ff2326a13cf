"""Makes pushes ready: which rows they write, how they are read, which constants each becomes.

It knows what an SAE reads and writes, and nothing of modes, organs or text.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anima.errors import SteeringError
from anima.steering.push import Push, unit
from anima.steering.state import Linear, State

if TYPE_CHECKING:
    from anima.features.sae import Sae

BUDGET = 0.5
"""The longest sum of all pushes, as a fraction of ‖h‖."""


def ready(
    pushes: Sequence[Push],
    *,
    norm: float,
    width: int,
    sae: "Sae | None" = None,
    budget: float = BUDGET,
    device: torch.device | str = "cpu",
) -> State | None:
    """The state that applies these pushes; None where none of them asks for anything.

    `norm` is the mean ‖h‖ of the layer's content tokens and `width` its d. Raises SteeringError for
    a feature that the SAE does not have, one without an SAE, a direction of another width, and a
    norm or budget that is not positive.
    """
    _check_scale(norm, budget)
    asked = tuple(push for push in pushes if not push.idle)
    if not asked:
        return None
    features = tuple(push for push in asked if push.feature is not None)
    dense = tuple(push for push in asked if push.direction is not None)
    asked = (*features, *dense)
    rows, reads, linear = _rows(features, dense, sae, width, device)
    lengths = torch.linalg.vector_norm(rows, dim=-1)
    if not bool(torch.isfinite(lengths).all()):
        raise SteeringError("A push has a decoder row that is not finite: the SAE is damaged.")
    strength = torch.tensor([push.strength for push in asked], device=device)
    unit = norm / lengths
    target, kept, lowest, highest = _constants(asked, strength, unit)
    above = [push.above if push.operation == "negative_clamp" else -math.inf for push in asked]
    return State(
        pushes=asked, norm=norm, room=budget * norm, read=reads, rows=rows, lengths=lengths,
        target=target, kept=kept, lowest=lowest, highest=highest,
        above=torch.tensor(above, device=device) * unit,
        conditional=any(math.isfinite(value) for value in above), linear=linear,
    )  # fmt: skip


def _check_scale(norm: float, budget: float) -> None:
    for name, value in (("norm", norm), ("norm budget", budget)):
        if not (math.isfinite(value) and value > 0):
            raise SteeringError(f"The {name} {value:g} of a layer cannot be: it must be above 0.")


def _rows(
    features: Sequence[Push],
    dense: Sequence[Push],
    sae: "Sae | None",
    width: int,
    device: torch.device | str,
) -> "tuple[Tensor, Callable[[Tensor], Tensor], Linear | None]":
    """Unit directions of dense pushes below the directions of features, and what reads them all."""
    for push in dense:
        assert push.direction is not None
        if len(push.direction) != width:
            raise SteeringError(
                f"{push.label or 'A direction'} is {len(push.direction)} wide, and this model's "
                f"residual stream {width}: it was made on another model."
            )
    units = [unit(push.direction) for push in dense if push.direction is not None]
    dense_rows = torch.stack(units).to(device) if units else None
    if not features:
        assert dense_rows is not None
        columns = dense_rows.T.contiguous()
        return dense_rows, lambda x: x @ columns, _linear(None, dense_rows)
    if sae is None:
        raise SteeringError(
            f"Feature {features[0].feature} cannot be steered: this model has no SAE here. "
            "Choose a mode of dense vectors, or give an SAE."
        )
    chosen = _checked(features, sae).to(device)
    rows = sae.directions(chosen).to(device, torch.float32)
    # Of a topk SAE one feature is known only when all are.
    few = None if sae.architecture == "topk" else _few(sae, chosen)
    encode = partial(sae.encode_only, features=chosen) if few is None else few.encode
    linear = None if few is None else _linear(few, dense_rows)
    if dense_rows is None:
        return rows, encode, linear
    columns = dense_rows.T.contiguous()
    both = torch.cat([rows, dense_rows])
    return both, lambda x: torch.cat([encode(x), x @ columns], dim=-1), linear


def _few(sae: "Sae", features: Tensor) -> "Sae":
    """These features alone as an SAE, its few rows gathered once and not at every token."""
    return replace(
        sae, encoder=sae.encoder[:, features], decoder=sae.decoder[features],
        biases={name: bias[features] for name, bias in sae.biases.items()},
    )  # fmt: skip


def _linear(few: "Sae | None", dense: Tensor | None) -> Linear | None:
    """How these features and unit directions `[m, d]` are read; None where it is not linear."""
    count = 0 if few is None else few.n_features
    directions = dense if dense is not None else torch.zeros(0, 0)
    none = torch.zeros(len(directions))
    if few is None:
        centre = torch.zeros(directions.shape[-1])
        return Linear(features=0, rows=directions, centre=centre, bias=none, threshold=none)
    if few.architecture not in ("standard", "jumprelu") or few.normalisation != "none":
        return None
    centre = few.decoder_bias if few.subtract_decoder_bias else torch.zeros_like(few.decoder_bias)
    threshold = few.biases.get("threshold", torch.zeros(count))
    own = few.encoder.T
    return Linear(
        features=count, rows=own if dense is None else torch.cat([own, dense]), centre=centre,
        bias=torch.cat([few.biases["b_enc"].cpu(), none]),
        threshold=torch.cat([threshold.cpu(), none]),
    )  # fmt: skip


def _checked(features: Sequence[Push], sae: "Sae") -> Tensor:
    """The feature numbers `[k]`; SteeringError for one the SAE does not have."""
    for push in features:
        assert push.feature is not None
        if not 0 <= push.feature < sae.n_features:
            raise SteeringError(
                f"Feature {push.feature} does not exist: {sae.name} has features 0 to "
                f"{sae.n_features - 1}."
            )
    return torch.tensor([push.feature for push in features])


def _constants(
    pushes: Sequence[Push], strength: Tensor, unit: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Target, kept, lowest and highest change `[n]` of each push, in units of its own `a`."""
    target, kept = strength * unit, torch.ones_like(unit)
    lowest, highest = torch.full_like(unit, -math.inf), torch.full_like(unit, math.inf)
    for index, push in enumerate(pushes):
        match push.operation:
            case "add":
                kept[index] = 0
            case "min_clamp":
                lowest[index] = 0
            case "cap":
                highest[index] = 0
            case "ablate":
                target[index], kept[index] = 0, push.strength
            case "negative_clamp":
                target[index] = -target[index]
    return target, kept, lowest, highest
