"""The arms by name, and the table that is made of their rows; measures nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anima.encoding import Encoder
from anima.evaluation import recall_metrics
from anima.evaluation.harness import Line, Row
from anima.evaluation.recall_arms import WITH_VECTORS, WITHOUT_VECTORS, Kept

if TYPE_CHECKING:
    import numpy


def named_arms(encoders: Sequence[Encoder]) -> dict[str, tuple[str, Kept | None]]:
    """Every arm by its name in the table; those with vectors once for each encoder."""
    found: dict[str, tuple[str, Kept | None]] = {arm: (arm, None) for arm in WITHOUT_VECTORS}
    for encoder in map(Kept, encoders):
        for arm in WITH_VECTORS:
            found[arm if len(encoders) == 1 else f"{arm} ({encoder.name})"] = (arm, encoder)
    return found


def tabulate(rows: Sequence[Row], generator: "numpy.random.Generator") -> list[Line]:
    """A line for each group and arm; figures are pooled over the rows and resample whole ones."""
    arms: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        arms.setdefault(row["arm"], []).append(row)
    groups = {group for row in rows for part in ("figures", "untold") for group in row[part]}
    return [
        Line(group=group, arm=arm, figures=figures)
        for group in sorted(groups, key=_order)
        for arm, members in arms.items()
        if (figures := recall_metrics.pooled(members, group, generator))
    ]


def _order(group: str) -> tuple[int, str]:
    """Gaps first, the shortest first, then the rest by name."""
    gaps = ("after 1 hour", "after 1 day", "after 30 days")
    return (gaps.index(group) if group in gaps else len(gaps), group)
