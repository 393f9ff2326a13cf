"""How likely the model finds a text after another one; knows the trunk and texts, and no memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from anima.trunk.interface import Trunk

LONGEST = 512
"""Tokens of a context that are read, its last ones."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Mean NLL in nats per token of a text after a context, on a cache of its own."""

    trunk: "Trunk"
    encode: Callable[[str], Sequence[int]]

    def __call__(self, context: str, text: str) -> float:
        """0 for a text without a token to judge; the first of all has nothing before it."""
        before = list(self.encode(f"{context}\n"))[-LONGEST:] if context else []
        own = list(self.encode(text))[:LONGEST]
        judged = len(own) if before else len(own) - 1
        if judged < 1:
            return 0.0
        ids = torch.tensor([[*before, *own]])
        with torch.inference_mode():
            step = self.trunk.forward(ids, self.trunk.cache(), logits_at="all")
            rows = step.logits[0, -judged - 1 : -1].float().log_softmax(-1)
            picked = rows.gather(-1, ids[0, -judged:, None].to(rows.device))
        return float(-picked.mean())
