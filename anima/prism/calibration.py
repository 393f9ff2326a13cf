"""Finds the strength at which a push costs so many nats; the solver knows nothing but numbers.

Source: the p95 of KL(steered ‖ base) over greedy tokens as the common scale of steering methods
(steering-lite's iso-KL); it grows about with the square of a small strength.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anima.prism.measuring import Said

TARGET = 1.0
"""Nats: the 95th percentile of KL(steered ‖ base) that a mode is calibrated to."""
_LARGEST_STEP = 4.0


@dataclass(frozen=True, kw_only=True)
class Solved:
    """The strength found, what was measured there, and all that was tried, in order."""

    strength: float
    value: float
    tried: tuple[tuple[float, float], ...]


def solve(
    measure: Callable[[float], float],
    target: float,
    *,
    start: float,
    lowest: float,
    highest: float,
    tolerance: float = 0.1,
    evaluations: int = 6,
) -> Solved:
    """The strength whose measure comes nearest to `target`, by secants in logarithms.

    `measure` is taken to grow with strength; where it does not, the nearest tried is returned.
    `tolerance` is relative. A value that is not finite counts as far too large.
    """
    tried: list[tuple[float, float]] = []
    strength = min(max(start, lowest), highest)
    for _ in range(evaluations):
        value = measure(strength)
        tried.append((strength, value if math.isfinite(value) else math.inf))
        if abs(_distance(tried[-1][1], target)) <= math.log1p(tolerance):
            break
        following = _next(tried, target, lowest, highest)
        if any(math.isclose(following, seen, rel_tol=1e-3) for seen, _ in tried):
            break
        strength = following
    best = min(tried, key=lambda pair: abs(_distance(pair[1], target)))
    return Solved(strength=best[0], value=best[1], tried=tuple(tried))


def _distance(value: float, target: float) -> float:
    """log(value / target); minus infinity for a value of 0."""
    if value <= 0:
        return -math.inf
    return math.log(value / target) if math.isfinite(value) else math.inf


def _next(
    tried: Sequence[tuple[float, float]], target: float, lowest: float, highest: float
) -> float:
    """Where to measure next: on the secant, within what is known to hold the answer."""
    below = max((s for s, v in tried if v < target), default=None)
    above = min((s for s, v in tried if v >= target and (below is None or s > below)), default=None)
    floor = lowest if below is None else below
    roof = highest if above is None else above
    guess = _secant(tried, target)
    last = tried[-1][0]
    guess = min(max(guess, last / _LARGEST_STEP), last * _LARGEST_STEP)
    if below is not None and above is not None and not floor < guess < roof:
        return math.sqrt(floor * roof)
    return min(max(guess, floor), roof)


def _secant(tried: Sequence[tuple[float, float]], target: float) -> float:
    """The zero of the line through the two last points in logarithms; slope 2 to begin with."""
    strength, value = tried[-1]
    if value <= 0:
        return strength * _LARGEST_STEP
    if not math.isfinite(value):
        return strength / _LARGEST_STEP
    slope = 2.0
    usable = [(s, v) for s, v in tried[:-1] if 0 < v < math.inf and s != strength]
    if usable:
        other, there = usable[-1]
        # Differences of logarithms: the quotient of two very unlike values is 0 or infinite.
        found = (math.log(value) - math.log(there)) / math.log(strength / other)
        slope = found if found > 0.2 else slope
    steps = (math.log(target) - math.log(value)) / slope
    farthest = math.log(_LARGEST_STEP)
    return strength * math.exp(min(max(steps, -farthest), farthest))


def percentile(replies: Sequence[Said], share: float = 0.95) -> float:
    """The percentile of KL over all tokens of some replies, in nats; 0 where there is none."""
    import torch

    values = torch.cat([reply.kl for reply in replies]) if replies else torch.zeros(0)
    return float(values.quantile(share)) if len(values) else 0.0


def mean(replies: Sequence[Said]) -> float:
    """The mean KL over all tokens of some replies, in nats; 0 where there is none."""
    import torch

    values = torch.cat([reply.kl for reply in replies]) if replies else torch.zeros(0)
    return float(values.mean()) if len(values) else 0.0
