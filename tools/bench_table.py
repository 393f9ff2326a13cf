"""Figures with their spread, and the table of them; knows nothing of what is measured."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: what, whose, its median, least and most over n measurements, and the unit."""

    what: str
    whose: str
    median: float
    least: float
    most: float
    n: int
    unit: str


def row(what: str, whose: str, values: Sequence[float], unit: str) -> Row:
    return Row(
        what=what, whose=whose, median=statistics.median(values), least=min(values),
        most=max(values), n=len(values), unit=unit,
    )  # fmt: skip


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def taking_turns(
    measures: Mapping[tuple[str, str], Callable[[], float]], repetitions: int, unit: str
) -> list[Row]:
    """Each measure once per repetition, so that a slow minute hits all alike; the first warms up."""
    figures: dict[tuple[str, str], list[float]] = {name: [] for name in measures}
    for repetition in range(repetitions + 1):
        for name, measure in measures.items():
            value = measure()
            if repetition:
                figures[name].append(value)
    return [row(what, whose, values, unit) for (what, whose), values in figures.items()]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, with the ratio to Anima's figure where there is one."""
    own = {each.what: each.median for each in rows if each.whose == "anima"}
    lines = ["| what | whose | median | min – max | n | Anima is |", "|---|---|---|---|---|---|"]
    for each in rows:
        ratio = ""
        if each.whose != "anima" and each.what in own:
            ratio = f"{own[each.what] / each.median:.2f} ×"
        lines.append(
            f"| {each.what} | {each.whose} | {each.median:.4g} {each.unit} "
            f"| {each.least:.4g} – {each.most:.4g} | {each.n} | {ratio} |"
        )
    return "\n".join(lines)
