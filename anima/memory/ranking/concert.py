"""The seed's formulas for ranking and blending, as it states them; pure, and known to rank badly.

    r = e^(−age / tau)    n = 1 − max_j sim(k, k_j)    w = .35 r + .50 s + .08 n    b = Σ w·v / Σ w

Real cosines span less than the recency term, so w puts the newest first whatever it says. It stays
under its own name, `concert = "seed"`, so that anybody can compare.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anima.errors import UsageError

Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Concert:
    """The seed's weights: recency, similarity, novelty, the least similarity, τ in seconds."""

    alpha: float = 0.35
    beta: float = 0.50
    gamma: float = 0.08
    floor: float = 0.15
    tau: float = 6 * 3600.0

    def __post_init__(self) -> None:
        numbers = (self.alpha, self.beta, self.gamma, self.floor, self.tau)
        if not all(math.isfinite(each) for each in numbers) or self.tau <= 0:
            raise UsageError(f"{self}: every weight must be finite and tau above 0 seconds.")

    def weigh(self, recency: Numbers, similarity: Numbers, novelty: Numbers) -> Numbers:
        """w of each line, from its three terms `[n]`."""
        return self.alpha * recency + self.beta * similarity + self.gamma * novelty


def recency(age: Numbers, *, tau: float) -> Numbers:
    """e^{−age/τ} of ages in seconds `[n]`; what is said to come from the future is of now."""
    return np.exp(-np.maximum(age, 0.0) / tau)


def novelty(greatest: float) -> float:
    """1 − the greatest similarity to what is known."""
    return 1.0 - greatest


def blend(weights: Numbers, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Σ w·v / Σ w of values `[n, d]`; zero where nothing has weight. Negative weights count as none."""
    positive = np.maximum(weights, 0.0)
    total = positive.sum()
    if total == 0:
        return np.zeros(values.shape[1], np.float32)
    mixed: NDArray[np.float32] = ((positive / total) @ values.astype(np.float64)).astype(np.float32)
    return mixed
