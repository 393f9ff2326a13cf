"""A memory notes what made its keys, with the first of them, and refuses another by name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from anima.errors import UsageError
from anima.memory import Memory, Said
from anima.memory.exchange import given

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


class Together(Named):
    """Encodes many at once, and counts how often it is asked."""

    asked = 0

    def __call__(self, text: str) -> np.ndarray:
        self.asked += 1
        return super().__call__(text)

    def many(self, texts: Sequence[str]) -> Sequence[np.ndarray]:
        self.asked += 1
        return [super(Together, self).__call__(text) for text in texts]


TEXTS = [f"the boat number {at} left at {'ab' * at}" for at in range(1, 20)]


def test_lines_that_come_together_are_encoded_together_as_they_would_be_alone(
    shelf: Path, clock: Ticking
) -> None:
    together, alone = Together("one"), Named("one")
    lines = list(given([(f"line {at}", {"text": text}) for at, text in enumerate(TEXTS)]))
    with (
        Memory.open(shelf / "one.sqlite", clock=clock, encoder=together) as first,
        Memory.open(shelf / "two.sqlite", clock=clock, encoder=alone) as second,
    ):
        assert [line.text for line in first.remember(lines)] == TEXTS
        assert together.asked == 1
        for text in TEXTS:
            second.put(None, text)
        for seq in range(1, len(TEXTS) + 1):
            assert (first.line(seq).key == second.line(seq).key).all()
        first.race([Said(text=f"{text} again") for text in TEXTS])
        assert together.asked == 2
        assert first.encoder_name == "one"
        first.put(None, TEXTS[0])
        assert together.asked == 3


def test_a_text_that_cannot_be_kept_is_named_and_nothing_of_its_company_is(
    shelf: Path, clock: Ticking
) -> None:
    with Memory.open(shelf / "memory.sqlite", clock=clock, encoder=Together("one")) as memory:
        with pytest.raises(UsageError):
            memory.race([Said(text=text) for text in [*TEXTS, "\ud800"]])
        assert memory.count == 0
