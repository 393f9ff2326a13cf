"""Whole screens: a person types into a terminal, an emulator shows what they see."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("terminals there are none of these", allow_module_level=True)

from tests.terminal.window import Window, talker

BAR = "default · scripted · mode off · context 130/2048"


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    with Window(talker(str(tmp_path), "2")) as window:
        window.until(BAR)
        yield window


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Window]:
    """Replies take a few seconds."""
    with Window(talker(str(tmp_path), "60", "0.05")) as window:
        window.until(BAR)
        yield window


def test_a_turn_stands_between_its_question_and_the_next_prompt(window: Window) -> None:
    window.press("Hello\r")
    window.until("context 14/2048\n\n>", BAR)
    window.settle()
    assert window.lines == [
        "A talker.", "",
        "> Hello",
        "one two",
        "2 tokens · 20.0 tokens/s · context 14/2048",
        "", ">", *[""] * 16,
        BAR,
    ]  # fmt: skip


def test_the_commands_that_fit_are_offered_while_one_types(window: Window) -> None:
    window.press("/sta")
    window.until("/status  the persona, its model")
    assert "/stats   figures of this session" in window.text
    window.press("\t\r")
    window.until("session               20260101-120000-abcd")


def test_leaving_takes_the_toolbar_away_and_leaves_the_terminal_as_it_was(window: Window) -> None:
    window.press("\x04")
    assert window.end() == 0
    assert window.text == "A talker.\n\n>"
    assert window.raw.rstrip().endswith(b"\x1b[?2004l")


def test_esc_stops_a_reply_and_other_keys_wait_for_the_next_prompt(slow: Window) -> None:
    slow.press("Count\r")
    slow.until("one two three")
    slow.press("\x04ahead of tome\x1b[D\x1bOD")  # Ctrl-D; twice the left arrow
    slow.until("five six seven eight nine")
    slow.press("\x1b")
    slow.until("⏹ stopped", "> ahead of tome")
    slow.press("\x7fi")
    slow.until("> ahead of time")
    assert slow.text.count("stopped") == 1


def test_ctrl_c_pressed_again_and_again_stops_a_reply_and_nothing_else(slow: Window) -> None:
    slow.press("Count\r")
    slow.until("one two three")
    for _ in range(8):
        slow.press("\x03")
        slow.settle(0.05)
    slow.until("⏹ stopped")
    slow.press("still here")
    slow.until("> still here")
    assert "Traceback" not in slow.everything


def test_a_paste_while_a_reply_streams_is_one_message_and_not_sent(slow: Window) -> None:
    slow.press("Count\r")
    slow.until("one two three")
    assert slow.raw.rindex(b"\x1b[?2004h") > slow.raw.rindex(b"\x1b[?2004l")
    slow.press("\x1b[200~first\rsecond\r\x1b[201~")
    slow.press("\x03")
    slow.until("⏹ stopped", "> first\n  second")


def test_a_long_paste_is_shown_as_a_mark_that_one_key_takes_out(window: Window) -> None:
    window.press("Look: \x1b[200~" + "a line of some words\r" * 9_999 + "\x1b[201~")
    window.until("> Look: [pasted text 1: 10,000 lines]")
    window.press(" and")
    window.until("lines] and")
    window.press("\x7f" * 5)
    window.until("> Look:\n")


def test_a_search_in_what_was_typed_brings_it_back_and_sends_nothing(window: Window) -> None:
    window.press("the quick fox\r")
    window.until("2 tokens")
    window.press("\x12quick")
    window.until("I-search backward: quick")
    window.press("\r!")
    window.until("> the !quick fox")
    assert window.text.count("2 tokens") == 1


def test_the_window_may_change_its_size_in_the_middle_of_a_reply(slow: Window) -> None:
    slow.press("Count\r")
    slow.until("one two three")
    begun = len(slow.raw)
    slow.resize(100, 30)
    slow.until("seven")
    slow.resize(60, 20)
    slow.until("60 tokens")
    streamed, _, rest = slow.raw[begun:].partition(b"60 tokens")
    assert b"\x1b" not in streamed
    assert rest
    slow.until(f"\n{BAR}")


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(tmp_path: Path) -> None:
    environ = {"PS1": "$ ", "ENV": "", "HISTFILE": ""}
    with Window(["sh", "-i"], environ=environ) as shell:
        shell.until("$")
        shell.press(" ".join(talker(str(tmp_path), "60", "0.05")) + "\r")
        shell.until(BAR)
        shell.press("Count\r")
        shell.until("one two three")
        shell.press("\x1a")
        shell.until("Stopped", "\n$")
        shell.press("stty -a | grep -c -- ' -echo \\| -icanon '\r")
        shell.until("icanon '\n0\n$")
        shell.press("fg\r")
        shell.until("seven eight nine")
        shell.press("\x1b")
        shell.until("⏹ stopped")
        shell.press("\x1a")
        shell.until_again("Stopped", 2)
        shell.until_again("\n$", 3)
        shell.press("fg\r")
        shell.until(BAR)
        shell.press("back again")
        shell.until("> back again")


def test_a_stop_signal_at_an_open_line_gives_the_terminal_back(tmp_path: Path) -> None:
    environ = {"PS1": "$ ", "ENV": "", "HISTFILE": ""}
    with Window(["sh", "-i"], environ=environ) as shell:
        shell.until("$")
        shell.press(" ".join(talker(str(tmp_path))) + "\r")
        shell.until(BAR)
        shell.press("a draft")
        shell.until("> a draft")
        shell.signal_foreground(signal.SIGTSTP)
        shell.until("Stopped", "\n$")
        shell.press("echo $((40 + 2))\r")
        shell.until("echo $((40 + 2))\n42")
        shell.press("fg\r")
        shell.until_again("> a draft", 2)
        shell.press(" goes on\r")
        shell.until("> a draft goes on", "2 tokens", BAR)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_termination_in_the_middle_of_a_reply_leaves(slow: Window, number: int, code: int) -> None:
    slow.press("Count\r")
    slow.until("one two three")
    slow.signal(number)
    assert slow.end() == code
    assert "Traceback" not in slow.everything


def test_the_editor_changes_the_line_and_a_dead_one_leaves_it(tmp_path: Path) -> None:
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\nprintf "from the editor\\n" > "$1"\n', encoding="utf-8")
    script.chmod(0o700)
    for editor, *expected in (
        (str(script), "> from the editor"),
        ("/no/such/editor", "cannot be started", "> a draft"),
    ):
        with Window(talker(str(tmp_path)), environ={"EDITOR": editor, "VISUAL": ""}) as window:
            window.until(BAR)
            window.press("a draft\x18\x05")
            window.until(*expected, BAR)
            assert ("cannot be started" in window.text) is (editor == "/no/such/editor")


def test_a_dumb_terminal_gets_lines_and_nothing_else(tmp_path: Path) -> None:
    with Window(talker(str(tmp_path)), environ={"TERM": "dumb"}) as window:
        window.until("\n>")
        window.press("Hello\n")
        window.until("one two\n2 tokens")
        window.until_again("\n>", 2)
        window.press("\x03")
        window.until("Ctrl-C again leaves")
        window.press("/exit\n")
        assert window.end() == 0
        assert b"\x1b" not in window.raw
        assert os.fsdecode(window.raw).count("> ") == 3


def test_a_narrow_window_breaks_what_is_said_at_words(tmp_path: Path) -> None:
    with Window(talker(str(tmp_path)), columns=40, rows=15) as window:
        window.until("default ·", "mode off")
        window.press("/hlep\r")
        window.until("There is no command /hlep. Did you mean\n/help? /help lists all of them.")
