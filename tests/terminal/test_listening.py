import threading

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from anima.terminal.listening import listening, sorted_out, text_of

ESC, ENTER, LEFT = KeyPress(Keys.Escape), KeyPress(Keys.Enter), KeyPress(Keys.Left)


@pytest.mark.parametrize(
    ("keys", "stops", "rest"),
    [
        ([], 0, []),
        ([ESC], 1, []),
        ([ESC, ESC], 2, []),
        ([ESC, ENTER], 0, [ESC, ENTER]),  # Alt-Enter
        ([LEFT, ESC], 1, [LEFT]),
        ([KeyPress(Keys.ControlC)], 1, []),
        ([KeyPress(Keys.ControlD), LEFT], 0, [LEFT]),
        ([KeyPress(Keys.CPRResponse)], 0, []),
    ],
)
def test_which_keys_stop_a_reply(keys: list[KeyPress], stops: int, rest: list[KeyPress]) -> None:
    assert sorted_out(keys) == (stops, rest)


def test_keys_wait_for_the_next_prompt_and_a_lone_escape_stops() -> None:
    stopped = threading.Event()
    with create_pipe_input() as keys:
        with listening(keys, stopped.set):
            keys.send_text("ab\x1b[D\x1b")
            assert stopped.wait(10)
        assert [key.key for key in get_typeahead(keys)] == ["a", "b", Keys.Left]


def test_what_comes_right_before_the_end_is_not_lost() -> None:
    with create_pipe_input() as keys:
        keys.send_text("ab")
        with listening(keys, lambda: None):
            pass
        typed = get_typeahead(keys)
        assert [key.key for key in typed + keys.read_keys()] == ["a", "b"]


def test_a_terminal_that_is_gone_ends_the_listening() -> None:
    with create_pipe_input() as keys:
        keys.close()
        with listening(keys, lambda: None):
            pass


def keys_of(text: str) -> list[KeyPress]:
    with create_pipe_input() as keys:
        keys.send_text(text)
        return keys.read_keys()


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("/mode dream", "/mode dream"),
        ("/modx\x7fe dream", "/mode dream"),
        ("\x7f\x7fa", "a"),
        ("\x1b[200~/mode dream\x1b[201~", "/mode dream"),
        ("/mode\x1b[D", None),  # the left arrow: only a prompt can tell what comes of it
        ("a\tb", None),
    ],
)
def test_what_keys_write_into_an_empty_line(typed: str, text: str | None) -> None:
    assert text_of(keys_of(typed)) == text


def test_a_line_that_is_taken_does_not_wait_for_the_prompt_and_others_do() -> None:
    seen: list[str] = []
    second = threading.Event()

    def take(line: str) -> bool:
        seen.append(line)
        if len(seen) == 2:
            second.set()
        return line.startswith("/mode")

    with create_pipe_input() as keys:
        with listening(keys, lambda: None, take):
            keys.send_text("hello\r/mode dream\rab")
            assert second.wait(10)
        waiting = get_typeahead(keys) + keys.read_keys()
    assert seen == ["hello", "/mode dream"]
    assert [key.key for key in waiting] == [*"hello", Keys.ControlM, "a", "b"]
