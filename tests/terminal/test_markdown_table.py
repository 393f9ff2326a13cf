import pytest

from anima.terminal.markdown_table import drawn, is_delimiter, listed, split
from tests.terminal.reading import plain


@pytest.mark.parametrize("row", ["|---|", "| --- | :-: |", "|-|-", "  |:--|--:|  "])
def test_a_row_of_dashes_is_one(row: str) -> None:
    assert is_delimiter(row)


@pytest.mark.parametrize("row", ["|", "||", "| a |", "|-- --|", "---", "| - a |", "|:|"])
def test_no_other_row_is_a_row_of_dashes(row: str) -> None:
    assert not is_delimiter(row)


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("| a | b |", ["a", "b"]),
        ("|a|b", ["a", "b"]),
        ("| a || b |", ["a", "", "b"]),
        (r"| a \| b | c |", ["a | b", "c"]),
        ("| `a | b` | c |", ["`a | b`", "c"]),
        ("| `a | b |", ["`a", "b"]),
        ("|", []),
    ],
)
def test_a_row_has_these_cells(row: str, cells: list[str]) -> None:
    assert split(row) == cells


def lines(*rows: str, room: int = 80, ascii_only: bool = False) -> list[str] | None:
    found = drawn(rows, room, ascii_only=ascii_only)
    return None if found is None else [plain(line).rstrip() for line in found]


def test_columns_stand_as_their_dashes_say() -> None:
    assert lines("|left|right|mid|", "|:--|--:|:-:|", "|a|b|c|", "|aaaaaa|bbbbbb|ccccc|") == [
        "left      right    mid",
        "───────────────────────",
        "a             b     c",
        "aaaaaa   bbbbbb   ccccc",
    ]


def test_rows_may_have_more_or_fewer_cells_than_the_head() -> None:
    assert lines("|a|b|", "|-|-|", "|c|", "|d|e|f|") == [
        "a   b",
        "─────────",
        "c",
        "d   e   f",
    ]


def test_a_cell_may_take_several_lines_and_then_rows_stand_apart() -> None:
    rows = ("|a|b|", "|-|-|", "|one|two three four five six seven|", "|c|d|")
    assert lines(*rows, room=22) == [
        "a     b",
        "──────────────────────",
        "one   two three four",
        "      five six seven",
        "",
        "c     d",
    ]


def test_a_table_that_cannot_be_read_in_its_room_is_not_drawn() -> None:
    rows = ("|a|b|", "|-|-|", f"|{'word ' * 9}|{'word ' * 9}|")
    assert lines(*rows, room=26) is None
    assert lines(*rows, room=27) is not None


def test_it_is_listed_instead_cell_for_cell() -> None:
    found = listed(("|A|**B**|", "|-|-|", "|one|two|", "||three|", "|four|five|six|"))
    assert ["".join(span.text for span in line) for line in found] == [
        *("A: one", "B: two", "", "B: three", "", "A: four", "B: five", "six")
    ]


def test_without_unicode_it_is_drawn_in_ascii() -> None:
    assert lines("|a|b|", "|-|-|", "|c|d|", ascii_only=True) == ["a | b", "--+--", "c | d"]


def test_what_looks_like_rich_markup_is_text() -> None:
    assert lines("|[red]a[/]|", "|-|", "|[/b] :smile:|") == [
        "[red]a[/]",
        "────────────",
        "[/b] :smile:",
    ]
