"""What steering costs, in nats: the same tokens scored with and without taps; knows no mode.

A reply of n tokens is forced through the model twice: as it was made (the arm's own prompt and
taps) and under the bare model after the plain prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anima.errors import ModelError
from anima.trunk.interface import NO_TAPS, Taps, Trunk


@dataclass(frozen=True, kw_only=True)
class Price:
    """Per token of one reply: `surprise` −log p_bare(token), `divergence` KL(arm ‖ bare), in nats."""

    surprise: tuple[float, ...]
    divergence: tuple[float, ...]

    @property
    def nll(self) -> float:
        """Mean surprise per token."""
        return sum(self.surprise) / len(self.surprise)

    @property
    def kl(self) -> float:
        """Mean divergence per token."""
        return sum(self.divergence) / len(self.divergence)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, linearly interpolated; ModelError for none.

    Pool the tokens of all replies before taking the 95th percentile that steering is calibrated to.
    """
    if not values:
        raise ModelError(
            "There is no token whose divergence could be taken: every reply was empty."
        )
    return float(torch.quantile(torch.tensor(values, dtype=torch.float64), share))


def log_probabilities(
    trunk: Trunk, prompt: Sequence[int], reply: Sequence[int], *, taps: Taps = NO_TAPS
) -> Tensor:
    """log p `[n, V]` float32 of the next token at each of the n places of the reply.

    Row i is what was predicted before reply token i, given prompt and the tokens before it. Raises
    ModelError for an empty prompt or reply.
    """
    if not prompt or not reply:
        raise ModelError("Scoring needs a prompt and a reply of at least one token each.")
    cache = trunk.cache()
    if len(prompt) > 1:
        trunk.forward(torch.tensor([list(prompt[:-1])]), cache, taps=taps)
    ids = torch.tensor([[prompt[-1], *reply[:-1]]])
    step = trunk.forward(ids, cache, taps=taps, logits_at="all")
    return step.logits[0].float().log_softmax(-1)


def price(
    trunk: Trunk,
    reply: Sequence[int],
    *,
    prompt: Sequence[int],
    arm_prompt: Sequence[int] | None = None,
    taps: Taps = NO_TAPS,
) -> Price:
    """The cost of a reply that was made after `arm_prompt` (`prompt` by default) under `taps`.

    Taps have to act as they did when the reply was made. Without taps and another prompt the
    divergence is exactly 0 and the bare model runs once.
    """
    bare = log_probabilities(trunk, prompt, reply)
    tokens = torch.tensor(list(reply), device=bare.device)
    surprise = -bare.gather(1, tokens[:, None])[:, 0]
    if not taps and (arm_prompt is None or list(arm_prompt) == list(prompt)):
        return Price(surprise=_floats(surprise), divergence=(0.0,) * len(reply))
    arm = log_probabilities(trunk, arm_prompt or prompt, reply, taps=taps)
    divergence = (arm.exp() * (arm - bare)).sum(-1).clamp_min(0)
    return Price(surprise=_floats(surprise), divergence=_floats(divergence))


def _floats(values: Tensor) -> tuple[float, ...]:
    return tuple(float(value) for value in values.cpu())
