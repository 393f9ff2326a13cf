"""A small memory with something of everything, and how its content is compared."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from anima.memory import Line, Memory


def lived(path: Path, clock: Callable[[], datetime]) -> None:
    """Six records: three lines, a pop, an erasure, and a line after them."""
    with Memory.open(path, clock=clock) as memory:
        memory.put([1.0, 0.0], "My name is Ada", {"session": "s1", "turn": 1}, valence=0.5)
        memory.put([0.0, 1.0], ("Grüße", [0.5, 0.25, 0.125]), role="assistant")
        memory.put(None, "I am allergic to nuts")
        memory.pop()
        memory.erase(2)
        memory.put([0.6, 0.8], "Tomorrow I fly to Rome")


def observe(memory: Memory) -> list[Any]:
    """Everything that a memory holds, to be compared."""
    return [as_tuple(line) for line in memory.lines()]


def as_tuple(line: Line) -> tuple[Any, ...]:
    vectors = [None if each is None else each.tolist() for each in (line.key, line.value)]
    content = (line.text, dict(line.context), *vectors, line.novelty, line.valence)
    return (line.seq, line.anchor, line.header, line.content is None, *content)
