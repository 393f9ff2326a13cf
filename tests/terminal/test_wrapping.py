import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.terminal.ink import DIM, Span
from anima.terminal.wrapping import LONG, Wrapping, cells


def wrapped(*texts: str, width: int, mark: tuple[str, str] = ("", "")) -> list[str]:
    spans: list[Span] = []
    wrapping = Wrapping(spans.append, lambda: width)
    wrapping.mark(Span(mark[0], DIM), Span(mark[1], DIM))
    for text in texts:
        wrapping.put(Span(text))
    wrapping.end()
    return "".join(span.text for span in spans).split("\n")


@given(
    st.lists(
        st.text(st.sampled_from("abc.中。\u0301é 「」🍅\u200d\t"), min_size=2, max_size=9),
        min_size=6,
    ),
    st.integers(18, 40),
)
def test_a_split_changes_nothing_and_only_space_is_lost(texts: list[str], width: int) -> None:
    rows = wrapped(*texts, width=width)
    assert rows == wrapped("".join(texts), width=width)
    assert "".join("".join(rows).split()) == "".join("".join(texts).split())


@given(st.lists(st.text(st.characters(categories=["Ll", "Lo"]), min_size=1, max_size=9)))
def test_no_row_of_short_words_is_longer_than_the_window(words: list[str]) -> None:
    assert all(cells(row) <= 40 for row in wrapped(" ".join(words), width=40))


def test_a_word_that_began_early_is_written_at_once_and_one_at_the_edge_is_moved_whole() -> None:
    spans: list[Span] = []
    wrapping = Wrapping(spans.append, lambda: LONG + 10)
    wrapping.put(Span("early"))
    assert spans == [Span("early")]
    wrapping.put(Span(" " * 8 + "late"))
    assert spans == [Span("early")]
    wrapping.put(Span("r"))
    wrapping.end()
    assert "".join(span.text for span in spans) == "early        later"


def test_a_word_longer_than_the_window_begins_on_its_own_row_and_is_left_to_the_terminal() -> None:
    assert wrapped("see " + "x" * 50 + " end", width=30) == ["see", "x" * 50 + " end"]


def test_a_word_longer_than_the_window_appears_as_it_comes() -> None:
    spans: list[Span] = []
    wrapping = Wrapping(spans.append, lambda: 25)
    wrapping.put(Span("x" * 25))
    assert spans == []
    wrapping.put(Span("yz"))
    assert "".join(span.text for span in spans) == "x" * 25 + "yz"


def test_what_hangs_is_repeated_on_each_row_unless_it_leaves_no_room() -> None:
    text = "one two three four five"
    assert wrapped(text, width=20, mark=("> ", "> ")) == ["> one two three four", "> five"]
    assert wrapped(text, width=20, mark=("-" * 15, " " * 15))[1:] == ["two three four five"]


def test_a_window_too_narrow_for_words_is_left_to_the_terminal() -> None:
    assert wrapped("one two three four five six", width=10) == ["one two three four five six"]


def test_a_tab_reaches_to_the_next_stop() -> None:
    assert wrapped("abc\tdefghijklmn", width=20) == ["abc\tdefghijklmn"]
    assert wrapped("abc\tdefghijklmnop", width=20) == ["abc", "defghijklmnop"]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("ab中文字段落没有空格", ["ab中文字段落没有空格"]),
        ("x" * 17 + "中文", ["x" * 17 + "中", "文"]),
        ("x" * 16 + "中文。", ["x" * 16 + "中", "文。"]),
        ("x" * 17 + "「中」", ["x" * 17, "「中」"]),
        ("x" * 17 + "🍅👩\u200d👩", ["x" * 17 + "🍅", "👩\u200d👩"]),
        ("x" * 18 + "e\u0301e\u0301", ["x" * 18 + "e\u0301e\u0301"]),
    ],
)
def test_rows_break_beside_wide_characters_and_never_within_one(text: str, rows: list[str]) -> None:
    assert wrapped(text, width=20) == rows
