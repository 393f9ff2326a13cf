"""A memory notes what made its keys, with the first of them, and refuses another by name."""

from pathlib import Path

import numpy as np
import pytest

from anima.errors import UsageError
from anima.memory import Memory

from .conftest import Ticking


class Named:
    """An encoder with a name; its vectors count two letters."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, text: str) -> np.ndarray:
        return np.float32([1 + text.count("a"), text.count("b")])


def test_the_name_is_noted_with_the_first_key_in_every_ledger(path: Path, clock: Ticking) -> None:
    with Memory.open(path, clock=clock, encoder=Named("one")) as memory:
        assert memory.encoder_name is None
        memory.put([1.0, 2.0], "a key of its own says nothing of an encoder")
        assert memory.encoder_name is None
        memory.put(None, "abba")
        assert memory.encoder_name == "one"
    with Memory.open(path, clock=clock) as memory:
        assert memory.encoder_name == "one"


def test_another_encoder_is_refused_and_vectors_still_work(shelf: Path, clock: Ticking) -> None:
    path = shelf / "memory.sqlite"
    with Memory.open(path, clock=clock, encoder=Named("one")) as memory:
        memory.put(None, "abba")
    with Memory.open(path, clock=clock, encoder=Named("two")) as memory:
        for act in (lambda: memory.put(None, "bab"), lambda: memory.query("bab")):
            with pytest.raises(
                UsageError, match=r"one, and this one is two.*convert --encoder two"
            ):
                act()
        assert memory.count == 1
        assert [hit.line.seq for hit in memory.query([1.0, 0.0])] == [1]


def test_an_encoder_that_has_no_vector_leaves_the_line_to_its_words(
    shelf: Path, clock: Ticking
) -> None:
    with Memory.open(shelf / "memory.sqlite", clock=clock, encoder=lambda text: None) as memory:
        memory.put(None, "My dog is called Rex")
        assert memory.line(1).key is None
        assert memory.ask("dog").hits[0].line.seq == 1
