import errno
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import StorageError
from anima.terminal.screen import (
    Screen,
    columns,
    json_shown,
    shortened,
    shown,
    typed,
    wants_color,
)
from tests.terminal.scripted import Terminal


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]0;title\x07", "]0;title"),
        ("bell\x07 back\x08 delete\x7f", "bell back delete"),
        ("C1 \x9b31m", "C1 31m"),
        ("over\u202eride\u2066\u2069", "override"),
        ("half\ud83d", "half"),
        ("line\nand\ttab\r\n", "line\nand\ttab\n"),
        ("family \U0001f468\u200d\U0001f469 שלום", "family \U0001f468\u200d\U0001f469 שלום"),
        ("[bold]not markup[/]", "[bold]not markup[/]"),
    ],
)
def test_model_text_is_data(text: str, left: str) -> None:
    assert shown(text) == left


@given(st.text(), st.text())
def test_stripping_a_stream_piece_by_piece_is_stripping_it_whole(left: str, right: str) -> None:
    assert shown(left) + shown(right) == shown(left + right)


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Ll"])))
def test_nothing_that_moves_a_cursor_is_shown(text: str) -> None:
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in shown(text))


def test_what_is_typed_loses_control_characters_and_keeps_lines() -> None:
    assert typed("a\x00b\r\nc\rd\x1be") == ("ab\nc\nde", 2)


def test_json_keeps_its_content_while_nothing_in_it_can_move_the_cursor() -> None:
    assert json_shown('{"reply": "a\x9bb\u202ec é"}') == '{"reply": "a\\u009bb\\u202ec é"}'


@pytest.mark.parametrize(
    ("setting", "terminal", "environ", "expected"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("always", False, {"NO_COLOR": "1"}, True),
        ("never", True, {}, False),
    ],
)
def test_colour(setting: str, terminal: bool, environ: dict[str, str], expected: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert wants_color(setting, stream, environ) is expected


def test_the_answer_and_all_else_go_different_ways() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err)
    screen.answer("one ")
    screen.note("a note in the middle")
    screen.answer("two")
    screen.end_answer()
    screen.end_answer()
    assert (out.getvalue(), err.getvalue()) == ("one two\n", "a note in the middle\n")


def test_on_one_terminal_a_note_begins_on_its_own_line() -> None:
    both = Terminal()
    screen = Screen(both, both)
    screen.answer("half a sen")
    screen.note("note")
    assert both.getvalue() == "half a sen\nnote\n"


def test_without_colour_nothing_is_escaped_and_with_it_notes_are_dim() -> None:
    plain, colored = io.StringIO(), io.StringIO()
    Screen(plain, plain).note("figures")
    Screen(colored, colored, color=True).note("figures")
    assert (plain.getvalue(), colored.getvalue()) == ("figures\n", "\x1b[2mfigures\x1b[0m\n")


def test_progress_is_for_someone_who_watches() -> None:
    nobody, somebody = io.StringIO(), Terminal()
    Screen(nobody, nobody).progress("loading")
    Screen(somebody, somebody).progress("loading")
    assert (nobody.getvalue(), somebody.getvalue()) == ("", "loading\n")


def test_a_muted_screen_writes_nothing() -> None:
    out = io.StringIO()
    screen = Screen(out, out)
    screen.mute()
    screen.answer("lost")
    screen.error("lost")
    assert out.getvalue() == ""


class _Refusing(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        raise OSError(self.number, "refused")


def test_a_full_disk_behind_stdout_is_said_and_a_closed_pipe_is_passed_on() -> None:
    with pytest.raises(StorageError, match="could not be written: refused"):
        Screen(_Refusing(errno.ENOSPC), io.StringIO()).answer("x")
    with pytest.raises(BrokenPipeError):
        Screen(_Refusing(errno.EPIPE), io.StringIO()).answer("x")


def test_columns_stand_below_each_other() -> None:
    assert columns([("a", "bb", ""), ("ccc", "d", "e")]) == ["a    bb", "ccc  d   e"]


def test_a_long_text_is_shortened_to_one_line() -> None:
    assert shortened("one\n two", 7) == "one two"
    assert shortened("one\n two three", 7) == "one tw…"


def test_an_aside_comes_between_two_words_of_the_answer_that_streams() -> None:
    both = Terminal()
    screen = Screen(both, both)
    for piece in ("The", " win"):
        screen.answer(piece)
    screen.aside("Mode dream.")
    for piece in ("dows", ".", " They"):
        screen.answer(piece)
    screen.end_answer()
    assert both.getvalue() == "The windows.\nMode dream.\nThey\n"


def test_an_aside_waits_for_the_end_of_a_table_or_code_and_of_the_answer() -> None:
    both = Terminal()
    screen = Screen(both, both, rendered=True)
    screen.answer("```\none = 1\n")
    screen.aside("Mode dream.")
    screen.answer("two = 2\n```\n")
    assert "Mode dream" not in both.getvalue()
    screen.end_answer()
    assert both.getvalue().endswith("Mode dream.\n")


def test_an_aside_beside_no_answer_comes_at_once() -> None:
    both = Terminal()
    Screen(both, both).aside("Mode dream.")
    assert both.getvalue() == "Mode dream.\n"


def test_what_is_murmured_stands_under_its_name_beside_the_answer() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err)
    for label, piece in (("plan", " Look"), ("plan", " it\x1b up."), ("draft", "Rome")):
        screen.murmur(label, piece)
    screen.answer("Rome.")
    screen.end_answer()
    screen.hush()
    assert err.getvalue() == "plan: Look it up.\ndraft: Rome\n"
    assert out.getvalue() == "Rome.\n"


def test_what_is_murmured_is_broken_at_words() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err)
    for piece in [" First", " look", "ing", *(" up" for _ in range(30)), "\nthen", " done"]:
        screen.murmur("plan", piece)
    screen.hush()
    first, *rest = err.getvalue().splitlines()
    assert first.startswith("plan: First looking up up")
    assert max(map(len, (first, *rest))) <= 80
    assert rest[-1] == "then done"
    assert err.getvalue().count("up") == 30
