"""Intervals over whole units; knows nothing of what the units are.

A unit is a concept, a prompt, a persona, a conversation: what would be drawn anew if the study
were repeated. Several values of one unit are averaged first, never resampled one by one.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from anima.errors import UsageError

Values = Sequence[float]
Statistic = Callable[["numpy.ndarray[Any, Any]"], "numpy.ndarray[Any, Any]"]
"""Reduces the last axis: values `[draws, n]` → one number per draw `[draws]`."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its interval; `n` counts whole units, `level` is the interval's confidence."""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95


def by_unit(values: Sequence[tuple[Hashable, float]]) -> dict[Hashable, float]:
    """The mean of each unit's values, in the order in which the units first appear."""
    groups: dict[Hashable, list[float]] = {}
    for unit, value in values:
        groups.setdefault(unit, []).append(value)
    return {unit: math.fsum(group) / len(group) for unit, group in groups.items()}


def _mean(values: "numpy.ndarray[Any, Any]") -> "numpy.ndarray[Any, Any]":
    return numpy.asarray(values.mean(axis=-1))


def bootstrap(
    values: Values,
    generator: numpy.random.Generator,
    *,
    statistic: Statistic = _mean,
    draws: int = 2000,
    level: float = 0.95,
) -> Estimate:
    """Percentile bootstrap of a statistic over units (Efron & Tibshirani 1993, ch. 13).

    Equal values give an interval of no width, and so does a single unit: read n beside it. Raises
    UsageError for no values or one that is not finite.
    """
    sample = _checked(values)
    picks = generator.integers(0, len(sample), size=(draws, len(sample)))
    means = statistic(sample[picks])
    tail = (1 - level) / 2
    low, high = numpy.quantile(means, [tail, 1 - tail])
    value = float(statistic(sample[None, :])[0])
    return Estimate(value=value, low=float(low), high=float(high), n=len(sample), level=level)


def paired_difference(
    treated: Mapping[Hashable, float],
    control: Mapping[Hashable, float],
    generator: numpy.random.Generator,
    *,
    draws: int = 2000,
    level: float = 0.95,
) -> Estimate:
    """The mean of treated − control over the units that both have, with its bootstrap interval."""
    shared = [unit for unit in treated if unit in control]
    differences = [treated[unit] - control[unit] for unit in shared]
    return bootstrap(differences, generator, draws=draws, level=level)


def harmonic_mean(values: Values) -> float:
    """The harmonic mean of non-negative values, 0 if any is 0 (AxBench's overall score).

    Raises UsageError for none, a negative one or one that is not finite.
    """
    if not values or any(not math.isfinite(value) or value < 0 for value in values):
        raise UsageError(f"A harmonic mean needs finite values from 0 up, not {list(values)}.")
    if min(values) == 0:
        return 0.0
    return len(values) / math.fsum(1 / value for value in values)


def macro_f1(truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> float:
    """The mean over labels of F1; a label that is neither there nor predicted counts 0.

    Raises UsageError for lists of different length or empty ones.
    """
    if len(truth) != len(predicted) or not truth:
        raise UsageError(f"F1 needs two equally long lists, not {len(truth)} and {len(predicted)}.")
    return math.fsum(_f1(truth, predicted, label) for label in labels) / len(labels)


def _f1(truth: Sequence[str], predicted: Sequence[str], label: str) -> float:
    hits = sum(t == label == p for t, p in zip(truth, predicted, strict=True))
    total = sum(t == label for t in truth) + sum(p == label for p in predicted)
    return 2 * hits / total if total else 0.0


def bootstrap_macro_f1(
    truth: Sequence[str],
    predicted: Sequence[str],
    labels: Sequence[str],
    generator: numpy.random.Generator,
    *,
    groups: Sequence[Hashable] | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> Estimate:
    """Macro-F1 with a percentile interval over units; `groups[i]` names the unit of text i.

    Without groups each text is a unit of its own.
    """
    value = macro_f1(truth, predicted, labels)
    units: dict[Hashable, list[int]] = {}
    for index, unit in enumerate(groups if groups is not None else range(len(truth))):
        units.setdefault(unit, []).append(index)
    members = list(units.values())
    scores = []
    for _ in range(draws):
        picked = [
            i for unit in generator.integers(0, len(members), len(members)) for i in members[unit]
        ]
        scores.append(macro_f1([truth[i] for i in picked], [predicted[i] for i in picked], labels))
    tail = (1 - level) / 2
    low, high = numpy.quantile(scores, [tail, 1 - tail])
    return Estimate(value=value, low=float(low), high=float(high), n=len(members), level=level)


def _checked(values: Values) -> "numpy.ndarray[Any, Any]":
    sample = numpy.asarray(values, dtype=float)
    if sample.ndim != 1 or len(sample) == 0:
        raise UsageError("A bootstrap needs at least one value, one per unit.")
    if not numpy.isfinite(sample).all():
        raise UsageError("A bootstrap needs finite values: average or leave out what is not.")
    return sample
