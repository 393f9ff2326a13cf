"""Lines and records made by hand, to tell a recall of without a ledger."""

from datetime import UTC, datetime, timedelta

import numpy as np

from anima.memory import Content, Header, Line, Question
from anima.memory.line import CLOSE, LINE

START = datetime(2026, 11, 1, tzinfo=UTC)


def line(
    seq: int,
    text: str = "",
    key: object = None,
    *,
    hours: float | None = None,
    role: str = "user",
) -> Line:
    """Line `seq`, said an hour after the one before, or so many hours after the start."""
    said = START + timedelta(hours=seq if hours is None else hours)
    vector = None if key is None else np.array(key, np.float32)
    return Line(
        seq=seq,
        anchor="0" * 64,
        header=Header(kind=LINE, role=role, timestamp=said),
        content=Content(text=text, key=vector),
    )


def closing(seq: int, target: int, by: int, *, hours: float, whole: bool = True) -> Line:
    """The record that a line, or its home alone, stopped holding so many hours after the start."""
    context = {"by": by, "slots": [["user", "home"]], "whole": whole, "race": {}}
    return Line(
        seq=seq,
        anchor="0" * 64,
        header=Header(kind=CLOSE, timestamp=START + timedelta(hours=hours), target=target),
        content=Content(context=context),
    )


def question(
    text: str | None = None,
    vector: object = None,
    *,
    hours: float = 1000,
    as_of: float | None = None,
) -> Question:
    """A question asked so many hours after the start."""
    return Question(
        text=text,
        vector=None if vector is None else np.array(vector, np.float32),
        now=START + timedelta(hours=hours),
        as_of=None if as_of is None else START + timedelta(hours=as_of),
    )
