"""A kNN-LM mixture over recalled lines (arXiv 1911.00172): p = (1 − λ)·p_LM + λ·p_kNN.

It knows tensors, and neither a model nor a memory. The datastore holds, for every token of the
lines, the state before it and the token itself. A step looks up its own state: what followed states
like it gets weight, and λ falls to nothing where no state is like it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SHARE = 0.9
"""λ where the nearest state is as near as can be."""

TEMPERATURE = 0.05
"""Of the softmax over cosines."""

FLOOR, FULL = 0.5, 0.7
"""Cosines of the nearest state at which λ begins and is whole."""

_MOST = 0.99  # of λ: whatever is recalled, the model keeps a say


@dataclass(frozen=True, kw_only=True, eq=False)
class Datastore:
    """States `[n, d]`, centred and of length 1, and the token `[n]` that followed each."""

    keys: Tensor
    tokens: Tensor
    mean: Tensor

    @classmethod
    def of(cls, states: Tensor, tokens: Tensor, mean: Tensor) -> "Datastore | None":
        """The store of raw states `[n, d]`; None for none, and where one is not finite."""
        if not len(states) or not bool(torch.isfinite(states).all()):
            return None
        return cls(keys=directions(states, mean), tokens=tokens, mean=mean)

    def nearest(self, state: Tensor) -> Tensor:
        """The cosine `[n]` of a state `[d]` to every key."""
        return self.keys @ directions(state[None], self.mean)[0]


def directions(states: Tensor, mean: Tensor) -> Tensor:
    """States `[n, d]` about the mean `[d]`, each of length 1 (of length 0 where it is the mean)."""
    return torch.nn.functional.normalize(states.float() - mean, dim=-1)


def share_of(similarity: float, *, gate: float, strength: float = 1.0) -> float:
    """λ of a step whose nearest key has this cosine: 0 below the floor, rising to the full."""
    rise = (similarity - FLOOR) / (FULL - FLOOR)
    return min(_MOST, max(0.0, gate * strength * SHARE * min(1.0, max(0.0, rise))))


def mixture_bias(logits: Tensor, tokens: Tensor, weights: Tensor, share: float) -> Tensor | None:
    """What to add to logits `[V]` so that their softmax becomes the mixture; None for a share of 0.

    p_kNN of a token is the sum of the weights `[n]` (which sum to 1) of its places in `tokens`.
    """
    if share == 0:
        return None
    kept = torch.log1p(torch.tensor(-share, dtype=torch.float64))
    ids, places = torch.unique(tokens, return_inverse=True)
    mass = torch.zeros(len(ids), dtype=torch.float64).index_add_(0, places, weights.double())
    log_p = logits.double().log_softmax(-1)[ids]
    added = torch.logaddexp(kept, (share * mass).log() - log_p)
    bias = kept.repeat(len(logits))
    bias[ids] = added
    return bias.float()


@dataclass(kw_only=True, eq=False)
class Mixture:
    """The mixture over one turn: hears each step's state, then bends its logits.

    `shares` counts steps, those bent, and the greatest λ, for the record.
    """

    store: Datastore
    gate: float
    strength: float
    steps: int = 0
    bent: int = 0
    most: float = 0.0
    _state: Tensor | None = None

    def hear(self, h: Tensor) -> None:
        """A tap at the last layer: takes the newest place of h `[1, q, d]`, writes nothing."""
        self._state = h[0, -1].detach().float().cpu()

    def bias(self, logits: Tensor) -> Tensor | None:
        """What to add to the logits `[V]` of the step that was heard last."""
        if self._state is None:
            return None
        cosines = self.store.nearest(self._state)
        share = share_of(float(cosines.max()), gate=self.gate, strength=self.strength)
        self.steps += 1
        if share == 0 or not bool(torch.isfinite(cosines).all()):
            return None
        self.bent += 1
        self.most = max(self.most, share)
        weights = (cosines / TEMPERATURE).softmax(-1)
        return mixture_bias(logits.cpu(), self.store.tokens, weights, share)
