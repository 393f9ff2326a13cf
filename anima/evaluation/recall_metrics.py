"""What a ranking of lines is worth, as pure functions, and how they are pooled over lives.

A ranking is the ids of lines, best first. `gold` holds, for each claim that answers, the lines that
say it; finding any of them is finding the claim. Knows nothing of how rankings are made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray

from anima.evaluation.statistics import Estimate, bootstrap

Ranked = Sequence[int]
Claims = Sequence[frozenset[int]]
Figures = dict[str, list[float]]
"""Figures by name, each as the sum of its values and how many they are."""


def hit(ranked: Ranked, gold: Claims, k: int) -> float:
    """1 where one of the first `k` lines says a claim that answers, else 0."""
    return float(any(line in claim for claim in gold for line in ranked[:k]))


def recall(ranked: Ranked, gold: Claims, k: int) -> float:
    """The share of the claims that the first `k` lines say."""
    return sum(any(line in claim for line in ranked[:k]) for claim in gold) / len(gold)


def stale_first(ranked: Ranked, gold: Claims, stale: frozenset[int]) -> float:
    """1 where what no longer holds is ranked above all that holds, else 0."""
    right = frozenset[int]().union(*gold)
    for line in ranked:
        if line in right:
            return 0.0
        if line in stale:
            return 1.0
    return 0.0


def right_then(ranked: Ranked, gold: Claims, stale: frozenset[int], k: int) -> float:
    """1 where the first `k` lines say what held then, above any other value of the slot."""
    return hit(ranked, gold, k) * (1.0 - stale_first(ranked[:k], gold, stale))


def crowding(ranked: Ranked, gold: Claims, k: int) -> float:
    """How many of the first `k` lines only say again what one above them said."""
    return float(sum(max(0, sum(line in claim for line in ranked[:k]) - 1) for claim in gold))


def wins(higher: Sequence[float], lower: Sequence[float]) -> float:
    """In how many pairs the first is greater; a tie is half a pair (Mann–Whitney U)."""
    if not len(higher) or not len(lower):
        return 0.0
    ordered = numpy.sort(numpy.asarray(lower, dtype=float))
    below = numpy.searchsorted(ordered, higher, side="left")
    not_above = numpy.searchsorted(ordered, higher, side="right")
    return float((below + not_above).sum()) / 2


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float | None:
    """The chance that one of the first is greater than one of the second; None without a pair."""
    pairs = len(higher) * len(lower)
    return wins(higher, lower) / pairs if pairs else None


@dataclass(kw_only=True)
class Tally:
    """The figures of one unit by group, to be pooled with those of others."""

    figures: dict[str, Figures] = field(default_factory=dict)
    told: dict[str, list[float]] = field(default_factory=dict)
    untold: dict[str, list[float]] = field(default_factory=dict)

    def add(self, group: str, **values: float) -> None:
        """Count one value of each figure."""
        figures = self.figures.setdefault(group, {})
        for name, value in values.items():
            both = figures.setdefault(name, [0.0, 0.0])
            both[0] += value
            both[1] += 1

    def surer(self, group: str, confidence: float, *, told: bool) -> None:
        """Note how sure an answer was, by whether there was anything to answer with."""
        (self.told if told else self.untold).setdefault(group, []).append(confidence)

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return {"figures": self.figures, "told": self.told, "untold": self.untold}


def pooled(
    rows: Sequence[Mapping[str, Any]], group: str, generator: numpy.random.Generator
) -> dict[str, Estimate]:
    """Each figure of a group over all units: Σ sums / Σ counts, resampling whole units.

    With a figure "AUROC" where rows hold confidences of told and of untold questions.
    """
    names = dict.fromkeys(name for row in rows for name in row["figures"].get(group, {}))
    found = {}
    for name in names:
        pairs = [row["figures"].get(group, {}).get(name, (0.0, 0.0)) for row in rows]
        found[name] = _ratio(numpy.array([pair for pair in pairs if pair[1]]), generator)
    sure = [(row["told"].get(group, []), row["untold"].get(group, [])) for row in rows]
    sure = [(told, untold) for told, untold in sure if told or untold]
    if any(told for told, _ in sure) and any(untold for _, untold in sure):
        found["AUROC"] = _pooled_auroc(sure, generator)
    return found


def _ratio(pairs: NDArray[numpy.float64], generator: numpy.random.Generator) -> Estimate:
    def ratio(draws: NDArray[Any]) -> NDArray[Any]:
        picked = pairs[draws.astype(int)].sum(axis=1)
        return numpy.asarray(picked[:, 0] / picked[:, 1])

    return bootstrap(list(range(len(pairs))), generator, statistic=ratio)


def _pooled_auroc(
    sure: Sequence[tuple[Sequence[float], Sequence[float]]], generator: numpy.random.Generator
) -> Estimate:
    # Won pairs between every two units once, so that a draw is a sum over a small matrix.
    won = numpy.array([[wins(told, untold) for _, untold in sure] for told, _ in sure])
    told = numpy.array([len(each) for each, _ in sure], dtype=float)
    untold = numpy.array([len(each) for _, each in sure], dtype=float)

    def area(draws: NDArray[Any]) -> NDArray[Any]:
        picked = draws.astype(int)
        counts = numpy.stack([numpy.bincount(each, minlength=len(sure)) for each in picked])
        pairs = (counts @ told) * (counts @ untold)
        total = numpy.einsum("di,ij,dj->d", counts, won, counts)
        return numpy.asarray(total / numpy.maximum(pairs, 1.0))

    return bootstrap(list(range(len(sure))), generator, statistic=area)
