"""A BatchTopK training step that computes only what is not zero, inside sae-lens's own trainer.

Knows one batch and the weights. The loss and its gradients are those of sae-lens's dense
`BatchTopKTrainingSAE` with `rescale_acts_by_decoder_norm` (a test): with z = pre·‖W_dec‖ a feature
is chosen by z but decoded as z/‖W_dec‖ = pre, so the norms take part in the choice alone. Of the
dense step's products only the one that chooses stays dense; the others touch k features of F.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anima.features.lens import BatchTopKTrainingSAE, TrainStepInput, TrainStepOutput

with warnings.catch_warnings():
    # torch says once per process that CSR tensors are in beta.
    warnings.simplefilter("ignore")
    torch.eye(1).to_sparse_csr()


@dataclass(frozen=True, kw_only=True, eq=False)
class Active:
    """Which features `columns` are active on which of `n` rows, ordered by row, then by column."""

    rows: Tensor
    columns: Tensor
    n: int
    features: int

    def matrix(self, values: Tensor) -> Tensor:
        """CSR `[n, F]`."""
        return _csr(self.rows, self.columns, values, (self.n, self.features))

    def transposed(self, values: Tensor) -> Tensor:
        """CSR `[F, n]`."""
        order = torch.argsort(self.columns, stable=True)
        size = (self.features, self.n)
        return _csr(self.columns[order], self.rows[order], values[order], size)


def _csr(rows: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    starts = torch.zeros(size[0] + 1, dtype=torch.long, device=rows.device)
    starts[1:] = torch.bincount(rows, minlength=size[0]).cumsum(0)
    return torch.sparse_csr_tensor(starts, columns, values, size, check_invariants=False)


def strongest(z: Tensor, count: int, guess: float) -> tuple[Active, Tensor]:
    """The `count` largest positive entries of z `[n, F]`, and their values.

    `guess` is a threshold that fewer than all and at least `count` entries should pass; where it
    is too high, all are looked at.
    """
    flat = z.flatten()
    candidates = (flat > max(0.0, guess)).nonzero()[:, 0]
    if len(candidates) < count:
        candidates = (flat > 0).nonzero()[:, 0]
    values = flat[candidates].float()
    if len(candidates) > count:
        best = values.topk(count, sorted=False).indices.sort().values
        candidates, values = candidates[best], values[best]
    features = z.shape[1]
    active = Active(
        rows=candidates // features, columns=candidates % features, n=len(z), features=features
    )
    return active, values


class _Reconstruct(torch.autograd.Function):
    """x̂ `[n, d]` from x through the active features; the gradients touch no other."""

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        w_enc: Tensor,
        b_enc: Tensor,
        w_dec: Tensor,
        b_dec: Tensor,
        active: Active,
        subtract: bool,
    ) -> tuple[Tensor, Tensor]:
        centred = x - b_dec if subtract else x
        pattern = active.matrix(b_enc[active.columns])
        pre = torch.sparse.sampled_addmm(pattern, centred, w_enc).values()
        context.save_for_backward(centred, w_enc, w_dec, pre)
        context.active, context.subtract = active, subtract
        context.mark_non_differentiable(pre)
        return active.matrix(pre) @ w_dec + b_dec, pre

    @staticmethod
    def backward(context: Any, gradient: Tensor, unused: Tensor) -> tuple[Tensor | None, ...]:
        centred, w_enc, w_dec, pre = context.saved_tensors
        active: Active = context.active
        gradient = gradient.contiguous()
        pattern = active.matrix(torch.zeros_like(pre))
        inner = torch.sparse.sampled_addmm(pattern, gradient, w_dec.T, beta=0.0).values()
        d_dec = active.transposed(pre) @ gradient
        d_enc = (active.transposed(inner) @ centred).T
        d_bias = torch.zeros(active.features, device=inner.device).index_add_(
            0, active.columns, inner
        )
        d_out = gradient.sum(0)
        if context.subtract:
            d_out = d_out - w_enc @ d_bias
        return None, d_enc, d_bias, d_dec, d_out, None, None


class SparseBatchTopK(BatchTopKTrainingSAE):
    """sae-lens's BatchTopK training SAE with the sparse step; saved as JumpReLU like its parent.

    `half` chooses features by products in bfloat16 (their values are computed in float32 all the
    same); `auxiliary_rows` of each batch carry the loss that revives dead features (0: all rows).
    """

    half: bool = False
    auxiliary_rows: int = 0
    topk_threshold: Tensor

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        x = step_input.sae_in
        active, z = self._chosen(x)
        out, _ = _Reconstruct.apply(  # type: ignore[no-untyped-call]
            x, self.W_enc, self.b_enc, self.W_dec, self.b_dec, active, self.cfg.apply_b_dec_to_input
        )
        loss = (out - x).pow(2).sum(-1).mean()
        auxiliary = self._auxiliary(x, out.detach(), step_input.dead_neuron_mask)
        self._follow(z)
        acts = torch.sparse_coo_tensor(
            torch.stack([active.rows, active.columns]), z, (active.n, active.features),
            is_coalesced=True, check_invariants=False,
        )  # fmt: skip
        return TrainStepOutput(
            sae_in=step_input.sae_in, sae_out=out, feature_acts=acts, hidden_pre=acts,
            loss=loss + auxiliary,
            losses={"mse_loss": loss.detach(), "auxiliary_reconstruction_loss": auxiliary.detach()},
        )  # fmt: skip

    @torch.no_grad()
    def _chosen(self, x: Tensor) -> tuple[Active, Tensor]:
        norms = self.W_dec.norm(dim=-1)
        centred = x - self.b_dec if self.cfg.apply_b_dec_to_input else x
        weights = self.W_enc * norms
        dtype = torch.bfloat16 if self.half else weights.dtype
        z = torch.addmm((self.b_enc * norms).to(dtype), centred.to(dtype), weights.to(dtype))
        # A little below the running threshold there are enough candidates, and not many more.
        return strongest(z, int(self.cfg.k * len(x)), 0.8 * float(self.topk_threshold))

    def _auxiliary(self, x: Tensor, out: Tensor, dead: Tensor | None) -> Tensor:
        """sae-lens's loss for dead features: they reconstruct what the live ones left over."""
        count = 0 if dead is None else int(dead.sum())
        if count == 0 or dead is None:
            return out.new_zeros(())
        rows = slice(0, self.auxiliary_rows or None)
        residual = (x - out)[rows]
        columns = dead.nonzero()[:, 0]
        most = x.shape[-1] // 2
        w_dec = self.W_dec[columns]
        norms = w_dec.norm(dim=-1)
        centred = x[rows] - self.b_dec if self.cfg.apply_b_dec_to_input else x[rows]
        z = (centred @ self.W_enc[:, columns] + self.b_enc[columns]) * norms
        best = z.topk(min(most, count), sorted=False)
        acts = torch.zeros_like(z).scatter(-1, best.indices, best.values)
        recons = (acts / norms) @ w_dec
        loss = (recons - residual).pow(2).sum(-1).mean()
        weight: float = self.cfg.aux_loss_coefficient * min(count / most, 1.0)
        weighted: Tensor = weight * loss
        return weighted

    @torch.no_grad()
    def _follow(self, z: Tensor) -> None:
        """Move the running threshold towards the batch's smallest activation."""
        if len(z):
            rate = self.cfg.topk_threshold_lr
            least = z.min().to(self.topk_threshold.dtype)
            self.topk_threshold = (1 - rate) * self.topk_threshold + rate * least
