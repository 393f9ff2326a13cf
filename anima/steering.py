"""Pushes on one layer's residual stream: their one delta, their budget, and the record each leaves.

It knows tensors and what an SAE reads and writes, and nothing of modes, organs or text.
Shapes: h `[..., d]` the residual stream, n pushes, a `[..., n]` what is there of each now.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor

from anima.errors import SteeringError
from anima.trunk.edits import compiled_edit

if TYPE_CHECKING:
    from anima.features.sae import Sae

OPERATIONS = ("add", "clamp", "min_clamp", "ablate", "cap", "negative_clamp")

BUDGET = 0.5
"""The longest sum of all pushes, as a fraction of ‖h‖."""

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


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Pushes made ready to apply: immutable tensors, so that swapping states is one assignment.

    Made by `ready`. The change of each `a` is `clip(target − kept·a, lowest, highest)` where
    `a > above`, else 0; all six operations are this with other constants. `rows` `[n, d]` are what
    one unit of change adds to h; `room` is the longest delta. `instead` `[d]`, a unit vector, takes
    the delta's place at the same length (the placebo). `applied` False computes and writes nothing.
    """

    pushes: tuple[Push, ...]
    norm: float
    room: float
    read: Callable[[Tensor], Tensor]
    rows: Tensor
    lengths: Tensor
    target: Tensor
    kept: Tensor
    lowest: Tensor
    highest: Tensor
    above: Tensor
    conditional: bool
    applied: bool = True
    instead: Tensor | None = None
    linear: "Linear | None" = None

    @cached_property
    def compiled(self) -> "Callable[[Tensor], Written] | None":
        """What computes `delta` in one call on the CPU, where there is such a thing."""
        edit = compiled_edit()
        if edit is None or self.linear is None or self.rows.device.type != "cpu":
            return None
        return _compiled(self, self.linear, edit)

    @property
    def nominal(self) -> float:
        """How long the delta is where nothing is there yet, as a fraction of ‖h‖, before the budget.

        What only takes away or holds down has no part in it.
        """
        taking = torch.tensor([push.operation in ("ablate", "cap") for push in self.pushes])
        asked = torch.where(taking.to(self.target.device), 0.0, self.target)
        return float(torch.linalg.vector_norm(asked @ self.rows)) / self.norm


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """A `read` that is linear but for thresholds: n rows, features first, then directions.

    `rows` `[n, d]`; features read h less `centre` `[d]`, plus `bias` `[n]`, and count above 0 and
    `threshold` `[n]`.
    """

    features: int
    rows: Tensor
    centre: Tensor
    bias: Tensor
    threshold: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """One call's delta `[..., d]`, what was there `actual` and its `change` `[..., n]`, and `scale`.

    `scale` `[..., 1]` is 1, or less where the budget bound. All are columns of one `table`, in this
    order: at each token only the delta is looked at, the rest when the turn is over.
    """

    table: Tensor
    pushes: int

    @property
    def delta(self) -> Tensor:
        return self.table.narrow(-1, 0, self.table.shape[-1] - 2 * self.pushes - 1)

    @property
    def actual(self) -> Tensor:
        return self.table[..., -2 * self.pushes - 1 : -self.pushes - 1]

    @property
    def change(self) -> Tensor:
        return self.table[..., -self.pushes - 1 : -1]

    @property
    def scale(self) -> Tensor:
        return self.table[..., -1:]


@dataclass(frozen=True, kw_only=True)
class PushRecord:
    """What one push did over some tokens; means over them, `share` and `strength` of ‖h‖.

    `target` and `actual` are activations (projections for a direction); `scaled` is the least
    factor that the budget left, 1 where it never bound.
    """

    label: str
    feature: int | None
    operation: str
    strength: float
    target: float
    actual: float
    share: float
    tokens: int
    scaled: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


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
    units = [_unit(push.direction) for push in dense if push.direction is not None]
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


def _compiled(
    state: State, linear: Linear, edit: Callable[..., None]
) -> "Callable[[Tensor], Written]":
    """`delta` of a state in one compiled call, on the CPU."""
    constants = torch.stack(
        [linear.bias, linear.threshold, state.target, state.kept, state.lowest, state.highest,
         state.above], dim=1
    )  # fmt: skip
    instead = torch.zeros(0) if state.instead is None else state.instead
    encode, centre, told, rows, other = (
        each.float().contiguous().numpy()
        for each in (linear.rows, linear.centre, constants, state.rows, instead)
    )
    columns = state.rows.shape[1] + 2 * len(rows) + 1

    def compute(h: Tensor) -> Written:
        table = numpy.empty((*h.shape[:2], columns), numpy.float32)
        edit(h.numpy(), encode, centre, linear.features, told, rows, state.room, other, table)
        return Written(table=torch.from_numpy(table), pushes=len(rows))

    return compute


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


def _unit(direction: Tensor) -> Tensor:
    wide = direction.detach().double()
    unit: Tensor = wide / torch.linalg.vector_norm(wide)
    return unit.float()


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


def delta(h: Tensor, state: State, mask: Tensor | None = None) -> Written:
    """What the pushes add to h `[..., d]`, in float32; `mask` `[..., 1]` is 0 where nothing may be.

    Equals decode(edited) + error − h exactly, for the decoder is linear: no reconstruction enters.
    """
    if mask is None and _at_hand(h) and state.compiled is not None:
        return state.compiled(h)
    x = h.float()
    actual = state.read(x)
    change = (state.target - state.kept * actual).clamp(min=state.lowest, max=state.highest)
    if state.conditional:
        change = change * (actual > state.above)
    total = change @ state.rows
    length = torch.linalg.vector_norm(total, dim=-1, keepdim=True)
    # 0 / 0 cannot be: the room is above 0, so a delta of length 0 gives infinity, and then 1.
    scale = (state.room / length).clamp(max=1)
    if state.instead is not None:
        total = length * state.instead
    total = total * scale
    if mask is not None:
        total = total * mask
    table = torch.cat([total, actual, change, scale], dim=-1)
    return Written(table=table, pushes=len(state.pushes))


def _at_hand(h: Tensor) -> bool:
    """Whether h is what compiled code takes: `[B, q, d]` in float32, in order, on the CPU."""
    return h.dtype == torch.float32 and h.device.type == "cpu" and h.ndim == 3 and h.is_contiguous()


def pushing(
    state: State, mask: Tensor | None = None, log: "Callable[[Tensor, Written], None] | None" = None
) -> Callable[[Tensor], Tensor | None]:
    """A tap that applies a state; `log` gets h and what was written, to be looked at later."""

    def tap(h: Tensor) -> Tensor | None:
        written = delta(h, state, mask)
        if log is not None:
            log(h, written)
        return written.delta if state.applied else None

    return tap


def zombie(state: State) -> State:
    """Everything computed and recorded, nothing written."""
    return replace(state, applied=False)


def opposed(state: State) -> State:
    """The same pushes with the opposite sign: exactly minus the delta on every token."""
    return replace(state, rows=-state.rows)


def placebo(state: State, generator: torch.Generator) -> State:
    """One random direction in place of the delta, at the same length on every token."""
    noise = torch.randn(state.rows.shape[-1], generator=generator, dtype=torch.float64)
    return replace(state, instead=_unit(noise).to(state.rows.device))


def shuffled(
    pushes: Sequence[Push], choices: Sequence[int], width: int, generator: torch.Generator
) -> list[Push]:
    """The same operations and strengths on features drawn from `choices`, on random directions."""
    order = torch.randperm(len(choices), generator=generator).tolist()
    drawn = iter(order)
    moved = []
    for push in pushes:
        if push.feature is not None:
            moved.append(replace(push, feature=int(choices[next(drawn)]), label=""))
        else:
            moved.append(replace(push, direction=torch.randn(width, generator=generator)))
    return moved


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """What one state did on t tokens, kept as tensors: `actual` and `share` `[t, n]`, per push.

    `length` `[t]` is the whole delta's, as a fraction of ‖h‖, `scale` `[t]` what the budget left.
    """

    state: State
    actual: Tensor
    share: Tensor
    length: Tensor
    scale: Tensor


def traced(state: State, calls: Sequence[tuple[Written, Tensor | None]]) -> Trace:
    """The content tokens of several calls on one row, each with its mask, one after the other."""
    actual, change, length, scale = [], [], [], []
    for each, mask in calls:
        kept = slice(None) if mask is None else mask.bool().reshape(-1)
        n = len(state.pushes)
        actual.append(each.actual.reshape(-1, n)[kept])
        change.append(each.change.reshape(-1, n)[kept])
        length.append(torch.linalg.vector_norm(each.delta, dim=-1).reshape(-1)[kept])
        scale.append(each.scale.reshape(-1)[kept])
    left = torch.cat(scale)
    share = torch.cat(change).abs() * (state.lengths / state.norm) * left[:, None]
    return Trace(
        state=state, actual=torch.cat(actual), share=share,
        length=torch.cat(length) / state.norm, scale=left,
    )  # fmt: skip


def records(trace: Trace) -> tuple[PushRecord, ...]:
    """One record per push, largest share first; empty where no token was content."""
    tokens = len(trace.actual)
    if tokens == 0:
        return ()
    actual, share = trace.actual.mean(0).tolist(), trace.share.mean(0).tolist()
    scaled = round(float(trace.scale.min()), 6)
    targets = trace.state.target.tolist()
    made = [
        PushRecord(
            label=push.label, feature=push.feature, operation=push.operation,
            strength=push.strength, target=round(targets[index], 6),
            actual=round(actual[index], 6), share=round(share[index], 6),
            tokens=tokens, scaled=scaled,
        )
        for index, push in enumerate(trace.state.pushes)
    ]  # fmt: skip
    return tuple(sorted(made, key=lambda record: -record.share))
