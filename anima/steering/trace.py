"""What pushes did over the tokens of a turn: kept as tensors, told as one record each.

It knows what a state wrote, and no token's text.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from anima.steering.state import State, Written


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
