"""The seed's logit bias, so that it holds: gate × centred output of the head; knows tensors alone.

The seed adds `alpha · bias_vector(hidden)` to the logits, which has the wrong width. Here the
vector is put through the model's own final norm and head, centred over the vocabulary and brought
to unit spread, so that its strength is in logits and the same for every model.
"""

import torch
from torch import Tensor

STRENGTH = 1.0
"""Logits that one standard deviation of the head's output becomes."""

LONGEST = 8.0
"""Most that one logit is moved by."""


def bias_of(output: Tensor, *, gate: float, strength: float = STRENGTH) -> Tensor | None:
    """The bias `[V]` of the head's output `[V]` for a value; None where it would change nothing.

    None as well for an output that is not finite or the same for every token.
    """
    scale = gate * strength
    wide = output.double()
    spread = wide.std(correction=0)
    if scale == 0 or not bool(torch.isfinite(spread)) or float(spread) == 0:
        return None
    centred = (wide - wide.mean()) / spread
    return (scale * centred).clamp(-LONGEST, LONGEST).float()


def blended(values: Tensor, weights: Tensor) -> Tensor:
    """Σ w·v / Σ w of values `[n, d]` and weights `[n]`, none negative; zero where none is positive."""
    positive = weights.clamp_min(0)
    total = positive.sum()
    return (positive @ values) / total if float(total) > 0 else torch.zeros_like(values[0])
