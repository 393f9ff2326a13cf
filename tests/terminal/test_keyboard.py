import os
import signal
import sys
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from anima.terminal.keyboard import LONGEST_KEPT, Choice, Completed, Keyboard, _Completer


def test_completion_replaces_what_is_being_typed() -> None:
    def complete(line: str) -> Completed:
        assert line == "/set te"
        return Completed(2, [Choice("temperature", "0.2")])

    (found,) = _Completer(complete).get_completions(Document("/set te"), CompleteEvent())
    assert (found.text, found.start_position) == ("temperature", -2)
    assert found.display_meta_text == "0.2"


def test_a_draft_stands_in_the_line() -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
    ):
        keys.send_text(" and more\r")
        assert (
            Keyboard(lambda line: Completed(0, ()), history=None).read("a draft")
            == "a draft and more"
        )


def test_closing_an_open_line_ends_it_and_without_one_does_nothing() -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
    ):
        keyboard = Keyboard(lambda line: Completed(0, ()), history=None)
        keyboard.close()
        with pytest.raises(EOFError):
            keyboard.read(opened=keyboard.close)
        keys.send_text("still works\r")
        assert keyboard.read() == "still works"


@pytest.mark.skipif(sys.platform == "win32", reason="terminals there have no modes of this kind")
def test_silence_turns_the_echo_off_and_on_again() -> None:
    import termios

    from prompt_toolkit.input.vt100 import Vt100Input

    outer, inner = os.openpty()

    def echoes() -> bool:
        return bool(termios.tcgetattr(inner)[3] & termios.ECHO)

    with (
        os.fdopen(inner, "r", closefd=False, encoding="utf-8") as stdin,
        create_app_session(input=Vt100Input(stdin), output=DummyOutput()),
    ):
        keyboard = Keyboard(lambda line: Completed(0, ()), history=None)
        assert echoes()
        with keyboard.silent():
            assert not echoes()
            loud = termios.tcgetattr(inner)
            loud[3] |= termios.ECHO
            termios.tcsetattr(inner, termios.TCSANOW, loud)
            signal.raise_signal(signal.SIGCONT)
            assert not echoes()
        assert echoes()
    os.close(outer)
    os.close(inner)


@pytest.mark.skipif(sys.platform == "win32", reason="terminals there have no modes of this kind")
def test_a_terminal_that_is_gone_does_not_break_the_silence() -> None:
    from prompt_toolkit.input.vt100 import Vt100Input

    outer, inner = os.openpty()
    with (
        os.fdopen(inner, "r", encoding="utf-8") as stdin,
        create_app_session(input=Vt100Input(stdin), output=DummyOutput()),
        Keyboard(lambda line: Completed(0, ()), history=None).silent(),
    ):
        os.close(outer)
        signal.raise_signal(signal.SIGCONT)  # which a terminal sends as it hangs up


def test_silence_is_nothing_where_there_is_no_terminal(tmp_path: Path) -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
        Keyboard(lambda line: Completed(0, ()), history=tmp_path / "history").silent(),
    ):
        assert not (tmp_path / "history").exists()


def test_what_was_pasted_is_kept_whole_and_a_very_long_text_not_at_all(tmp_path: Path) -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
    ):
        keyboard = Keyboard(lambda line: Completed(0, ()), history=tmp_path / "history")
        for pasted in ("some words " * 200, "x" * (LONGEST_KEPT + 1)):
            keys.send_text(f"\x1b[200~{pasted}\x1b[201~\r")
            assert keyboard.read() == pasted
    kept = (tmp_path / "history").read_text(encoding="utf-8")
    assert "some words some words" in kept
    assert "pasted text" not in kept
    assert "xxx" not in kept


def test_shift_enter_begins_a_new_line_where_the_terminal_tells_it() -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
    ):
        keys.send_text("a\x1b[13;2ub\x1b[27;2;13~c\r")
        assert Keyboard(lambda line: Completed(0, ()), history=None).read() == "a\nb\nc"


def test_a_long_draft_comes_back_as_a_mark_and_is_sent_whole() -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
    ):
        keys.send_text("!\r")
        keyboard = Keyboard(lambda line: Completed(0, ()), history=None)
        assert keyboard.read("x" * 200_000) == "x" * 200_000 + "!"
