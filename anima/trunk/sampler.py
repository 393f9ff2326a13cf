"""From logits to one token id under sampling settings and a seed; knows no model and no text."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anima.errors import ModelError
from anima.trunk.settings import Sampling

_FIRST_LOOK = 256


@dataclass(frozen=True, kw_only=True)
class Pick:
    """One sampled token: `surprisal` −log p(id) and `entropy` of the untouched distribution, nats."""

    id: int
    surprisal: float
    entropy: float


def pick(
    logits: Tensor,
    sampling: Sampling,
    generator: torch.Generator,
    seen: Tensor | None = None,
    bias: Tensor | None = None,
    guard: Callable[[Tensor], Tensor] = lambda logits: logits,
) -> Pick:
    """Draw one id from logits `[V]`; `seen` `[n]` are the ids that the repetition penalty meets.

    `bias` `[V]` is added to the logits, and then `guard` changes them, before sampling settings act. Exactly one uniform number is
    drawn unless the temperature is 0. Raises ModelError when the logits are not finite.
    """
    logits = logits.detach().float()
    if not logits.is_cuda:  # a large vocabulary is quicker looked through where it lies
        logits = logits.cpu()
    normaliser, entropy = surveyed(logits)
    if not math.isfinite(entropy):
        raise ModelError(
            "The model's logits are not finite: its weights or a tap are broken, or its dtype is "
            "too small; try --dtype float32."
        )
    bent = logits if bias is None else logits + bias.to(logits.device)
    met = None if seen is None else seen.to(logits.device)
    bent = guard(bent)
    chosen = _choose(penalise(bent, met, sampling.repetition_penalty), sampling, generator)
    return Pick(id=chosen, surprisal=normaliser - logits[chosen].item(), entropy=entropy)


def surveyed(logits: Tensor, temperature: float = 1.0) -> tuple[float, float]:
    """log Σ e^(logits / temperature) and the entropy in nats of the distribution it makes.

    On the CPU numpy computes it on the one core that is at work: torch would share 49,152 numbers
    out among all threads, and at every token wait for one that another program holds up.
    """
    if logits.device.type != "cpu":
        scaled = (logits / temperature).double()
        log_p = scaled.log_softmax(-1)
        entropy = -(log_p.exp() * log_p).sum()
        return torch.logsumexp(scaled, -1).item(), entropy.item()
    values = logits.numpy()
    most = float(values.max())
    if not math.isfinite(most):
        return most, math.nan
    below = (values - values.max()) / np.float32(temperature)
    share = np.exp(below)
    total = float(share.sum(dtype=np.float64))
    mean = float(np.einsum("i,i->", share, below, dtype=np.float64)) / total
    return most / temperature + math.log(total), math.log(total) - mean


def penalise(logits: Tensor, seen: Tensor | None, penalty: float) -> Tensor:
    """Divide positive and multiply negative logits of seen ids by the penalty (arXiv 1909.05858)."""
    if penalty == 1 or seen is None or len(seen) == 0:
        return logits
    values = logits[seen]
    return logits.scatter(0, seen, torch.where(values > 0, values / penalty, values * penalty))


def candidates(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The ids `[n]` that may be drawn and their probabilities `[n]`, most probable first.

    Temperature, then top-k, then top-p (the smallest set that reaches the mass), then min-p.
    Top-p looks at 256 logits first and widens until the mass is reached, because a full sort of a
    large vocabulary costs more than the rest of the sampling together.
    """
    width = min(sampling.top_k or _FIRST_LOOK, len(logits))
    if sampling.top_k == 0 and sampling.top_p >= 1:
        width = len(logits)
    total = surveyed(logits, sampling.temperature)[0] if sampling.top_k == 0 else None
    while True:
        values, ids = logits.topk(width)
        scaled = values.double() / sampling.temperature
        p = (scaled - (torch.logsumexp(scaled, 0) if total is None else total)).exp()
        if sampling.top_k or width == len(logits) or p.sum() >= sampling.top_p:
            break
        width = min(4 * width, len(logits))
    if sampling.top_p < 1:
        before = p.cumsum(0) - p
        ids, p = ids[before < sampling.top_p], p[before < sampling.top_p]
    if sampling.min_p > 0:
        kept = p >= sampling.min_p * p[0]
        ids, p = ids[kept], p[kept]
    return ids, p / p.sum()


def _choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    if sampling.temperature == 0:
        return int(logits.argmax())
    ids, p = candidates(logits, sampling)
    u = torch.rand((), generator=generator, dtype=torch.float64).to(p.device)
    index = int(torch.searchsorted(p.cumsum(0), u, right=True))
    return int(ids[min(index, len(ids) - 1)])
