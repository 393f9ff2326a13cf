import fcntl
import os
import struct
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.terminal.layout import fitted, listing, side_by_side, window, wrapped
from anima.terminal.wrapping import cells


@pytest.fixture
def narrow() -> Iterator[TextIO]:
    """A stream into a window of 30 columns."""
    inside, outside = os.openpty()
    fcntl.ioctl(outside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
    with os.fdopen(outside, "w") as stream:
        yield stream
    os.close(inside)


def test_lines_are_broken_at_words_and_long_words_inside() -> None:
    text = "the quick brown fox jumps over\n\nthe dog"
    assert wrapped(text, 20) == ["the quick brown fox", "jumps over", "", "the dog"]
    assert wrapped("x" * 45, 20) == ["x" * 20, "x" * 20, "x" * 5]


@given(st.text(), st.integers(2, 30))
def test_no_line_is_wider_than_the_window(text: str, width: int) -> None:
    assert all(cells(line) <= width for line in wrapped(text, width))


def test_two_texts_stand_beside_each_other_though_one_is_longer() -> None:
    assert side_by_side("日本語 is a language", "one\ntwo\nthree", 43) == [
        "日本語 is a language │ one",
        "                     │ two",
        "                     │ three",
    ]


def test_a_listing_that_is_too_wide_goes_below() -> None:
    rows = [("/a", "does one thing or two"), ("/bb", "does another")]
    assert listing(rows, 40) == ["/a   does one thing or two", "/bb  does another"]
    assert listing(rows, 22) == ["/a", "  does one thing or", "  two", "/bb", "  does another"]


def test_a_message_is_broken_where_the_window_ends_and_stays_one_line_elsewhere(
    narrow: TextIO, tmp_path: Path
) -> None:
    message = f"There is no file {'/a' * 20} here: name another one, or leave it out."
    assert fitted(message, narrow) == (
        f"There is no file\n{'/a' * 20} here: name another\none, or leave it out."
    )
    with (tmp_path / "log").open("w") as file:
        assert (fitted(message, file), window(file)) == (message, None)
