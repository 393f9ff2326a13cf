"""The seed's ΔW overlay, so that it holds: a few outer products beside the weights, never in them.

    ΔW = Σ_i v_i·k_iᵀ, truncated to rank r, ‖ΔW‖_F ≤ 1 % of ‖I‖_F = √d        h' = h + ΔW·(h − mean)

It knows tensors alone. k is the direction of the last residual before a token of a recalled line, v
what knowing the line adds to it there. The residual stream passes a layer's end through the
identity, so that is the W of which ΔW is a share. Applied as two thin products at the last layer,
it reaches the head and no key or value of the attention: the cache never learns of it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from anima.memory.into.nearest import directions

RANK = 8
CAP = 0.01
"""Greatest ‖ΔW‖_F as a share of ‖I‖_F."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlay:
    """ΔW = left·rightᵀ, both `[d, r]`; `offset` `[r]` is rightᵀ·mean. A tap that returns its delta."""

    left: Tensor
    right: Tensor
    offset: Tensor

    @property
    def norm(self) -> float:
        """‖ΔW‖_F."""
        return float(torch.linalg.matrix_norm(_core(self.left, self.right)))

    def __call__(self, h: Tensor) -> Tensor:
        """The delta `[..., d]` on h `[..., d]`."""
        left, right, offset = (each.to(h.device) for each in (self.left, self.right, self.offset))
        return (h.float() @ right - offset) @ left.T


def overlay_of(
    states: Tensor, changes: Tensor, mean: Tensor, *, share: float, rank: int = RANK
) -> Overlay | None:
    """The overlay of states `[n, d]` and the changes `[n, d]` wanted there.

    Its norm is `share` · 1 % of √d, `share` from 0 to 1. None where that is 0, where nothing is to
    change, or where a number is not finite.
    """
    if not len(states) or share <= 0 or not bool(torch.isfinite(states).all()):
        return None
    if not bool(torch.isfinite(changes).all()):
        return None
    left, right = truncated(changes.double(), directions(states, mean).double(), rank)
    norm = torch.linalg.matrix_norm(_core(left, right))
    if float(norm) == 0:
        return None
    left = left * (min(share, 1.0) * CAP * len(mean) ** 0.5 / norm)
    return Overlay(left=left.float(), right=right.float(), offset=(right.T @ mean.double()).float())


def truncated(values: Tensor, keys: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factors `[d, r]` of the best rank-r approximation of Σ v_i·k_iᵀ, rows `[n, d]` given.

    Never larger than d × n: two QR decompositions and one SVD of their small product.
    """
    left, small = torch.linalg.qr(values.T)
    right, tall = torch.linalg.qr(keys.T)
    u, s, v = torch.linalg.svd(small @ tall.T)
    kept = min(rank, len(s))
    return left @ (u[:, :kept] * s[:kept]), right @ v[:kept].T


def _core(left: Tensor, right: Tensor) -> Tensor:
    """A small matrix with the same Frobenius norm as left·rightᵀ."""
    core: Tensor = torch.linalg.qr(left)[1] @ torch.linalg.qr(right)[1].T
    return core
