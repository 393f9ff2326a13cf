"""Which layer to train on: a small SAE on each, judged by fidelity and by output scores.

Knows rows, a trunk and pieces of held-out text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from anima.context import Tokens
from anima.features.fidelity import Loss, fidelity, loss, with_threshold
from anima.features.sae import Sae
from anima.features.scoring import output_scores
from anima.features.statistics import measure
from anima.features.training import threshold_for
from anima.trunk.interface import Trunk

MOST_RISE = 0.5
"""Nats per token that a layer's small SAE may cost; beyond, it is not chosen.

More than the 0.3 wanted of what ships, which has four times the features and half as many again
active.
"""
_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a small SAE showed of a layer; shares are of `scored` features drawn at random."""

    layer: int
    l0: float
    fvu: float
    loss: Loss
    weak: float
    strong: float
    scored: int


def calibrated(sae: Sae, rows: torch.Tensor, l0: float) -> Sae:
    """The JumpReLU SAE with the one threshold at which `l0` features are active on rows `[n, d]`."""
    bare = with_threshold(sae, torch.zeros_like(sae.biases["threshold"]))
    threshold = threshold_for(bare.encode(rows), l0)
    return with_threshold(sae, torch.full_like(sae.biases["threshold"], threshold))


def candidate(
    sae: Sae,
    held: torch.Tensor,
    trunk: Trunk,
    pieces: Sequence[Tokens],
    prompt: Sequence[int],
    *,
    sample: int = 1000,
    seed: int = 0,
) -> Candidate:
    """Measure one layer's small SAE on held-out rows `[n, d]` and texts."""
    found = fidelity(sae, torch.split(held, _BATCH))
    statistics = measure(sae, torch.split(held, _BATCH))
    # Neither the dense ones, which no short text can be about, nor those too rare to have a maximum.
    apt = ((statistics.density > 1e-4) & (statistics.density < 0.02)).nonzero()[:, 0]
    order = torch.randperm(len(apt), generator=torch.Generator().manual_seed(seed))[:sample]
    features = apt[order]
    scores = output_scores(sae, trunk, prompt, features, maximum=statistics.maximum[features])
    return Candidate(
        layer=sae.layer, l0=found.l0, fvu=found.fvu, loss=loss(sae, trunk, pieces),
        weak=_share(scores >= 0.01), strong=_share(scores >= 0.1), scored=len(features),
    )  # fmt: skip


def _share(flags: torch.Tensor) -> float:
    return float(flags.float().mean()) if len(flags) else 0.0


def best(candidates: Sequence[Candidate]) -> Candidate:
    """The layer with the largest share of features that show in the output, among those faithful.

    Where none costs at most `MOST_RISE`, the most faithful.
    """
    faithful = [one for one in candidates if one.loss.rise <= MOST_RISE]
    if not faithful:
        return min(candidates, key=lambda one: one.loss.rise)
    return max(faithful, key=lambda one: (one.weak, one.strong))
