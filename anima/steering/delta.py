"""The one delta that pushes add to a residual stream, and the tap that adds it.

It knows a ready state and tensors, and nothing of modes, organs or text.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from anima.steering.state import State, Written


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
    state: State, mask: Tensor | None = None, log: Callable[[Tensor, Written], None] | None = None
) -> Callable[[Tensor], Tensor | None]:
    """A tap that applies a state; `log` gets h and what was written, to be looked at later."""

    def tap(h: Tensor) -> Tensor | None:
        written = delta(h, state, mask)
        if log is not None:
            log(h, written)
        return written.delta if state.applied else None

    return tap
