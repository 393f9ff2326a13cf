"""Evidence recall on a public set: which turns and sessions a ranking finds; reads no file itself.

A conversation of LoCoMo is a unit, and a question of LongMemEval, since each has its own history.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from anima.encoding import Encoder
from anima.errors import UsageError
from anima.evaluation import recall_arms
from anima.evaluation.harness import Cell, Request, Row, Study
from anima.evaluation.recall_arms import Kept, Ranking
from anima.evaluation.recall_metrics import Tally
from anima.evaluation.recall_public import Asked, History, read_locomo, read_longmemeval
from anima.evaluation.recall_table import named_arms, tabulate

GAPS = {"1 hour": timedelta(hours=1), "1 day": timedelta(days=1)}
MIDDLE = "1 day"
READERS = {"locomo": read_locomo, "longmemeval": read_longmemeval}
_UNITS = {"locomo": "conversation", "longmemeval": "question"}
_FEW = {"locomo": 1, "longmemeval": 5}
_KS = (1, 5, 10)
_DEEP = 100
"""Lines that are looked at for the sessions they are of."""


def study(request: Request, name: str, path: str, encoders: Sequence[Encoder]) -> Study:
    """A public set under every arm; at smoke size its first conversation or five questions."""
    histories, digest = READERS[name](Path(path))
    histories = [each for each in histories if each.asked]
    if not histories:
        raise UsageError(f"{path} holds no question whose evidence is in it.")
    shown = histories[: _FEW[name] if request.size == "smoke" else None]
    by_name = {each.name: each for each in shown}
    arms = named_arms(encoders)

    def measured(cells: Sequence[Cell]) -> list[Row]:
        return [row(by_name[cell.unit], *arms[cell.arm], seed=request.seed) for cell in cells]

    return Study(
        name=f"recall {name}",
        unit=_UNITS[name],
        cells=tuple(Cell(unit=unit, arm=arm) for unit in by_name for arm in arms),
        measure=measured,
        tabulate=tabulate,
        settings={
            "size": request.size,
            "seed": request.seed,
            "sha256": digest,
            "encoders": [each.name for each in encoders],
        },
        batch=1,
    )


def row(history: History, arm: str, encoder: Kept | None, *, seed: int) -> dict[str, Any]:
    """Every question of one history under one arm."""
    tally = Tally()
    with recall_arms.remembered(arm, history.lines, encoder, seed=seed) as memory:
        for asked in history.asked:
            for gap, after in GAPS.items():
                ranking = memory.ask(asked.text, now=history.end + after, k=_DEEP)
                figures = found(ranking, asked, history.session_of)
                tally.add(f"after {gap}", **figures)
                if gap == MIDDLE:
                    tally.add(asked.kind, **figures)
    return tally.row()


def found(ranking: Ranking, asked: Asked, session_of: Sequence[int]) -> Mapping[str, float]:
    """Any and all of the evidence, and its share, within the first lines and sessions.

    A line stands for what was merged into it as well. Sessions come in the order of their first
    line; LongMemEval counts them so (recall_any and recall_all).
    """
    figures: dict[str, float] = {}
    lines = [(line, *ranking.merged.get(line, ())) for line in ranking.ids]
    sessions = list(dict.fromkeys(session_of[each] for line in lines for each in line))
    for k in _KS:
        if asked.turns:
            first = {each for line in lines[:k] for each in line}
            figures[f"any@{k}"] = float(bool(first & asked.turns))
            figures[f"all@{k}"] = float(asked.turns <= first)
            figures[f"recall@{k}"] = len(first & asked.turns) / len(asked.turns)
        among = set(sessions[:k])
        figures[f"session any@{k}"] = float(bool(among & asked.sessions))
        figures[f"session all@{k}"] = float(asked.sessions <= among)
    return figures
