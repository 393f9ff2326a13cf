import pytest

from anima.terminal.pasting import LONGEST, TALLEST, Pastes


@pytest.mark.parametrize("text", ["", "short", "x" * LONGEST, "\n" * (TALLEST - 1)])
def test_a_short_paste_is_itself(text: str) -> None:
    assert Pastes().short(text) == text


def test_long_pastes_have_marks_of_their_own_that_stand_for_them() -> None:
    pastes = Pastes()
    wide, tall = "x" * 200_000, "line\n" * 3_000
    line = f"See {pastes.short(wide)} and {pastes.short(tall)}."
    assert line == ("See [pasted text 1: 200,000 characters] and [pasted text 2: 3,001 lines].")
    assert pastes.whole(line) == f"See {wide} and {tall}."


def test_what_only_looks_like_a_mark_stays() -> None:
    assert Pastes().whole("[pasted text 9: 2 lines]") == "[pasted text 9: 2 lines]"


def test_the_mark_at_the_end_of_a_line_is_found() -> None:
    pastes = Pastes()
    mark = pastes.short("x" * 2_000)
    assert pastes.mark_before(f"See {mark}") == mark
    assert pastes.mark_before(f"{mark} ") is None
