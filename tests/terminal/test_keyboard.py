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

from anima.terminal.keyboard import Keyboard, LastWord


def test_completion_replaces_the_last_word() -> None:
    completer = LastWord(lambda line: ["temperature"] if line == "/set te" else [])
    found = list(completer.get_completions(Document("/set te"), CompleteEvent()))
    assert [(each.text, each.start_position) for each in found] == [("temperature", -2)]


def test_a_draft_stands_in_the_line() -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
    ):
        keys.send_text(" and more\r")
        assert Keyboard(lambda line: (), history=None).read("a draft") == "a draft and more"


def test_closing_an_open_line_ends_it_and_without_one_does_nothing() -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
    ):
        keyboard = Keyboard(lambda line: (), history=None)
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
        keyboard = Keyboard(lambda line: (), history=None)
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
        Keyboard(lambda line: (), history=None).silent(),
    ):
        os.close(outer)
        signal.raise_signal(signal.SIGCONT)  # which a terminal sends as it hangs up


def test_silence_is_nothing_where_there_is_no_terminal(tmp_path: Path) -> None:
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
        Keyboard(lambda line: (), history=tmp_path / "history").silent(),
    ):
        assert not (tmp_path / "history").exists()
