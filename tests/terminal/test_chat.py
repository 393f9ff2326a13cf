import itertools
import os
import re
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prism_rig import furnished
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from runtime_rig import wake

from anima.errors import BusyError, ContextError, StorageError
from anima.events import Event, Recomputed, Remembered
from anima.home import Home
from anima.terminal.chat import Chat
from anima.terminal.screen import Screen
from anima.terminal.signals import Signals
from anima.terminal.waking import Waking
from tests.terminal.scripted import ScriptedRuntime, Terminal

GREETING = "Anima.\n"
SAVED = "Saved. anima --continue goes on here (20260101-120000-abcd).\n"


@dataclass
class Talk:
    code: int
    shown: str
    runtime: ScriptedRuntime


def home_in(folder: Path) -> Home:
    return Home(root=folder, cache=folder, config=folder / "config.toml")


def talk(
    keys: str,
    runtime: ScriptedRuntime | None = None,
    *,
    load: Callable[[Terminal], ScriptedRuntime] | None = None,
    clock: Callable[[], float] | None = None,
    home: Path | None = None,
    cot: bool = False,
) -> Talk:
    """Type keys into a chat and return what a terminal showed, but for the input line itself."""
    runtime = runtime or ScriptedRuntime()
    terminal = Terminal()
    with (
        create_pipe_input() as keyboard,
        create_app_session(input=keyboard, output=DummyOutput()),
        Signals() as signals,
    ):
        keyboard.send_text(keys)
        code = Chat(
            Waking(lambda say: load(terminal) if load else runtime),
            Screen(terminal, terminal),
            signals,
            home=home_in(home or Path("/nowhere")),
            persona="default",
            greeting="Anima.",
            kept=home is not None,
            cot=cot,
            **({"clock": clock} if clock else {}),
        ).run()
    return Talk(code=code, shown=terminal.getvalue(), runtime=runtime)


def ticking(*seconds: float) -> Callable[[], float]:
    return iter(seconds).__next__


def without_waiting(text: str) -> str:
    """The transcript without the line that appears only where the loading is not yet through."""
    return text.replace("waking up…\n", "")


def test_a_turn_is_streamed_and_ends_with_its_figures(tmp_path: Path) -> None:
    done = talk("Hello\r\x04", home=tmp_path)
    assert done.runtime.asked == ["Hello"]
    assert without_waiting(done.shown) == (
        GREETING + "Good day.\n2 tokens · 20.0 tokens/s · context 14/2048\n" + SAVED
    )
    assert (done.code, done.runtime.closed) == (0, True)


def test_leaving_at_once_saves_nothing_and_says_nothing() -> None:
    done = talk("\x04")
    assert (done.code, done.shown, done.runtime.asked) == (0, GREETING, [])


def test_an_ephemeral_chat_does_not_promise_to_go_on() -> None:
    assert "Saved" not in talk("Hello\r\x04", home=None).shown


def test_empty_lines_are_not_sent() -> None:
    assert talk("\r   \r\x04").runtime.asked == []


def test_a_second_line_is_begun_by_alt_enter_and_a_pasted_text_stays_one_message() -> None:
    done = talk(
        "one\x1b\rtwo\r\x1b[200~three\r\nfour\x1b[201~\r\x04", ScriptedRuntime(replies=["a", "b"])
    )
    assert done.runtime.asked == ["one\ntwo", "three\nfour"]


def test_an_unknown_command_never_reaches_the_model() -> None:
    done = talk("/hlep\r\x04")
    assert "There is no command /hlep. Did you mean /help?" in done.shown
    assert done.runtime.asked == []


def test_two_slashes_send_one() -> None:
    assert talk("//help\r\x04").runtime.asked == ["/help"]


def test_exit_leaves() -> None:
    done = talk("/exit\rnever read\r")
    assert (done.code, done.runtime.asked) == (0, [])


def test_a_bare_exit_points_to_the_command_and_enter_then_leaves() -> None:
    done = talk("exit\r\rnever read\r")
    assert "The command is /exit: Enter runs it." in done.shown
    assert (done.code, done.runtime.asked) == (0, [])


def test_a_bare_word_sent_once_more_is_a_message() -> None:
    assert talk("help\r\x03help\r\x04").runtime.asked == ["help"]


def test_regen_answers_the_same_text_again() -> None:
    done = talk("Hello\r/regen\r\x04", ScriptedRuntime(replies=["Once.", "Twice."]))
    assert done.runtime.asked == ["Hello", "Hello"]
    assert "Twice.\n" in done.shown


def test_an_error_is_one_line_and_the_chat_goes_on() -> None:
    def refuse(n: int) -> None:
        if not runtime.committed:
            raise ContextError("The text has 9000 tokens, the window 2048: shorten it.")

    runtime = ScriptedRuntime(replies=["lost", "Still here."], before_token=refuse)
    done = talk("too long\rHello\r\x04", runtime)
    assert "The text has 9000 tokens, the window 2048: shorten it.\n" in done.shown
    assert "Still here.\n" in done.shown
    assert done.code == 0


def test_control_characters_that_a_model_emits_do_not_reach_the_screen() -> None:
    done = talk("Hello\r\x04", ScriptedRuntime(replies=["\x1b[2Jgone \u202eback"]))
    assert "[2Jgone back\n" in done.shown


def test_ctrl_c_stops_the_reply_and_keeps_the_partial(tmp_path: Path) -> None:
    def press(n: int) -> None:
        if n == 2:
            signal.raise_signal(signal.SIGINT)

    runtime = ScriptedRuntime(replies=["one two three four"], before_token=press)
    done = talk("Count\r\x04", runtime, home=tmp_path)
    assert without_waiting(done.shown) == (
        GREETING + "one two\n⏹ stopped\n2 tokens · 20.0 tokens/s · context 14/2048\n" + SAVED
    )
    assert (done.code, runtime.heard) == (0, ["Count"])


def test_pressing_on_while_it_stops_changes_nothing() -> None:
    def press(n: int) -> None:
        for _ in range(5):
            signal.raise_signal(signal.SIGINT)

    runtime = ScriptedRuntime(replies=["one two", "Hello again."], before_token=press)
    runtime.before_token = lambda n: press(n) if not runtime.committed else None
    done = talk("Count\rHello\r\x04", runtime)
    assert "⏹ stopped\n" in done.shown
    assert "Hello again.\n" in done.shown
    assert done.code == 0


def test_pressing_on_after_it_stopped_does_not_leave_by_accident() -> None:
    runtime = ScriptedRuntime(
        replies=["one two", "Hello again."],
        before_token=lambda n: None if runtime.committed else signal.raise_signal(signal.SIGINT),
    )
    done = talk("Count\r\x03\x03\x03Hello\r\x04", runtime, clock=ticking(10.0, 10.2, 10.4, 10.6))
    assert runtime.asked == ["Count", "Hello"]
    assert "Ctrl-C again leaves" not in done.shown


def test_ctrl_c_clears_a_half_typed_line() -> None:
    done = talk("half a thou\x03Hello\r\x04")
    assert done.runtime.asked == ["Hello"]
    assert "Ctrl-C" not in done.shown


def test_ctrl_c_at_an_empty_line_hints_and_a_second_one_soon_after_leaves() -> None:
    done = talk("\x03\x03never read\r", clock=ticking(10.0, 11.9))
    assert done.shown == GREETING + "Ctrl-C again leaves; so do Ctrl-D and /exit.\n"
    assert (done.code, done.runtime.asked) == (0, [])


def test_a_second_ctrl_c_later_only_hints_again() -> None:
    done = talk("\x03\x03Hello\r\x04", clock=ticking(10.0, 12.1))
    assert done.shown.count("Ctrl-C again leaves") == 2
    assert done.runtime.asked == ["Hello"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_termination_stops_the_reply_commits_it_and_leaves(number: int, code: int) -> None:
    runtime = ScriptedRuntime(
        replies=["one two three"],
        before_token=lambda n: signal.raise_signal(number) if n == 1 else None,
    )
    done = talk("Count\rnever read\r", runtime)
    assert (done.code, runtime.heard, runtime.closed) == (code, ["Count"], True)


def test_termination_at_the_prompt_leaves() -> None:
    def load(terminal: Terminal) -> ScriptedRuntime:
        os.kill(os.getpid(), signal.SIGTERM)
        return ScriptedRuntime()

    done = talk("half a thou", load=load)
    assert (done.code, done.runtime.asked) == (143, [])


def test_a_hang_up_writes_nothing_more() -> None:
    runtime = ScriptedRuntime(
        replies=["one two"], before_token=lambda n: signal.raise_signal(signal.SIGHUP)
    )
    assert without_waiting(talk("Count\r", runtime).shown) == GREETING


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that comes of itself."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("It did not come within ten seconds.")


def test_one_can_leave_and_get_help_while_the_model_loads() -> None:
    go_on = threading.Event()

    def load(terminal: Terminal) -> ScriptedRuntime:
        go_on.wait(10)
        return ScriptedRuntime()

    done = talk("/help\r\x04", load=load)
    go_on.set()
    assert "/undo" in done.shown
    assert "waking up" not in done.shown
    assert done.code == 0


def test_a_message_sent_early_waits_for_the_model() -> None:
    runtime = ScriptedRuntime()

    def load(terminal: Terminal) -> ScriptedRuntime:
        until(lambda: "waking up" in terminal.getvalue())
        return runtime

    done = talk("Hello\r\x04", runtime, load=load)
    assert done.shown.startswith(GREETING + "waking up…\nGood day.\n")


def test_ctrl_c_while_the_model_loads_gives_the_message_back() -> None:
    runtime = ScriptedRuntime()

    def load(terminal: Terminal) -> ScriptedRuntime:
        until(lambda: "waking up" in terminal.getvalue())
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: terminal.getvalue().count("waking up…") == 2)
        return runtime

    done = talk("Hello\r there\r\x04", runtime, load=load)
    assert "Still waking up; nothing was sent.\n" in done.shown
    assert runtime.asked == ["Hello there"]


def test_a_loading_that_fails_ends_the_chat_with_its_error() -> None:
    def load(terminal: Terminal) -> ScriptedRuntime:
        raise BusyError("Another process has the persona open.")

    with pytest.raises(BusyError, match="Another process"):
        talk("typing someth", load=load)
    with pytest.raises(BusyError, match="Another process"):
        talk("Hello\r", load=load)


def test_what_the_opening_mended_is_said_once() -> None:
    runtime = ScriptedRuntime(replies=["a", "b"], notices=("A torn last line was dropped.",))
    assert talk("Hello\rHello\r\x04", runtime).shown.count("A torn last line") == 1


def test_going_on_in_a_session_is_said() -> None:
    runtime = ScriptedRuntime(heard=["one", "two"])
    done = talk("Hello\r\x04", runtime)
    assert "Going on in session 20260101-120000-abcd, 2 turns.\n" in done.shown


def test_a_rolled_over_context_is_said() -> None:
    runtime = ScriptedRuntime(
        recomputed=Recomputed(reason="rolled over", tokens=900, dropped_turns=3)
    )
    assert (
        "the oldest 3 turns were dropped (900 tokens are left)"
        in talk("Hello\r\x04", runtime).shown
    )


def test_what_was_typed_comes_back_in_the_next_chat_and_is_its_owners_alone(tmp_path: Path) -> None:
    talk("Hello\r\x04", home=tmp_path)
    done = talk("\x1b[A\r\x04", home=tmp_path)
    assert done.runtime.asked == ["Hello"]
    kept = home_in(tmp_path).persona("default") / "input_history"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_history_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where a folder should be", encoding="utf-8")
    done = talk("Hello\r\x04", home=tmp_path)
    assert (done.code, done.runtime.asked) == (0, ["Hello"])


def test_every_commit_of_many_turns_is_made() -> None:
    lines = "".join(f"{n}\r" for n in range(5))
    runtime = ScriptedRuntime(replies=[str(n) for n in itertools.islice(itertools.count(), 5)])
    done = talk(lines + "\x04", runtime)
    assert (done.runtime.asked, done.runtime.committed) == (["0", "1", "2", "3", "4"], 5)


def test_a_disk_that_is_full_costs_neither_the_turn_nor_the_chat() -> None:
    class Full(ScriptedRuntime):
        def turn(self, text: str) -> Iterator[Event]:
            yield from list(super().turn(text))[:-1]
            raise StorageError("There is no room on the disk.")

    done = talk("Hello\r\x04", Full())
    assert "Good day.\n2 tokens" in done.shown
    assert "There is no room on the disk. The turn stands, and is saved with the next" in done.shown
    assert (done.code, done.runtime.turns) == (0, 1)


def test_regen_edit_and_the_like_stop_as_a_turn_does() -> None:
    runtime = ScriptedRuntime(replies=["once", "one two three"])

    def press(n: int) -> None:
        if runtime.committed and n == 1:
            signal.raise_signal(signal.SIGINT)

    runtime.before_token = press
    assert "one\n⏹ stopped\n" in talk("Hello\r/regen\r\x04", runtime).shown


def test_what_an_edit_could_not_ask_stands_in_the_next_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Small(ScriptedRuntime):
        def preview(self, text: str | None = None, **given: Any) -> Iterator[Event]:
            raise ContextError("It does not fit.")

    monkeypatch.setattr("anima.terminal.editor.edited", lambda text, environ: f"{text}, again")
    runtime = Small(replies=["a", "b"])
    talk("Hello\r/edit\r!\r\x04", runtime)
    assert runtime.asked == ["Hello", "Hello, again!"]


def test_names_that_are_damaged_cost_the_toolbar_its_name_and_nothing_else(tmp_path: Path) -> None:
    sessions = home_in(tmp_path).persona("default") / "sessions"
    sessions.mkdir(parents=True)
    (sessions / "names.json").write_text("{", encoding="utf-8")
    assert talk("Hello\r\x04", home=tmp_path).code == 0


class Slow:
    """A real runtime that waits a little at each token, and gets a line typed at the third."""

    def __init__(self, runtime: Any, type_line: Callable[[], None]) -> None:
        self._runtime = runtime
        self._type_line = type_line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def turn(self, text: str) -> Iterator[Event]:
        for number, event in enumerate(self._runtime.turn(text)):
            if number == 3:
                self._type_line()
            time.sleep(0.02 if self._runtime.mode == "off" else 0)
            yield event


def steered_talk(folder: Path, line: str) -> tuple[str, Any]:
    """A chat in whose first reply a line is typed; what it showed, and its runtime."""
    runtime = wake(furniture=furnished(folder), max_tokens=300)
    terminal = Terminal()
    with (
        create_pipe_input() as keyboard,
        create_app_session(input=keyboard, output=DummyOutput()),
        Signals() as signals,
    ):
        slow = Slow(runtime, lambda: keyboard.send_text(line))
        waking: Any = Waking(lambda say: slow)
        chat = Chat(
            waking, Screen(terminal, terminal), signals, home=home_in(folder),
            persona="default", greeting="Anima.", kept=False,
        )  # fmt: skip
        keyboard.send_text("Hello\r")
        left = threading.Event()
        leaving = threading.Thread(target=_leave_after, args=(runtime, keyboard, left), daemon=True)
        leaving.start()
        chat.run()
        left.set()
        leaving.join()
    return terminal.getvalue(), runtime


def _leave_after(runtime: Any, keyboard: Any, left: threading.Event) -> None:
    """Ctrl-D until it is heard: while the reply's end is still being drawn it means nothing."""
    while not left.wait(0.05):
        if runtime.turns:
            keyboard.send_text("\x04")


def test_a_mode_typed_while_a_reply_streams_acts_on_that_reply(tmp_path: Path) -> None:
    shown, runtime = steered_talk(tmp_path, "/mode dream\r")
    assert runtime.mode == "dream"
    (pushed,) = runtime.prism.pushes(1)
    assert 0 < pushed.tokens < 300
    assert "\nMode dream (was off): up to 30% of ‖h‖ is pushed.\n" in shown
    assert shown.index("Mode dream") < shown.index("300 tokens")
    assert re.search(r"300 tokens · .* · context .* · dream \d", shown)


def test_a_mode_that_is_not_there_typed_meanwhile_is_one_line_and_the_reply_goes_on(
    tmp_path: Path,
) -> None:
    shown, runtime = steered_talk(tmp_path, "/mode draem\r")
    assert "There is no mode 'draem'. Did you mean dream?\n" in shown
    assert (runtime.mode, runtime.turns) == ("off", 1)


def test_from_inside_both_replies_of_a_comparison_show_each_token(tmp_path: Path) -> None:
    runtime = wake(furniture=furnished(tmp_path), max_tokens=4)
    runtime.mode = "dream"
    done = talk("Hello\r/compare temperature=1\r\x04", runtime, cot=True)  # type: ignore[arg-type]
    lines = without_waiting(done.shown).splitlines()
    first, second = (next(i for i, line in enumerate(lines) if line.startswith(f"{letter}: "))
                     for letter in "AB")  # fmt: skip
    tokens = [i for i, line in enumerate(lines) if re.search(r"\d+%  #", line)]
    assert [sum(i < first for i in tokens), sum(first < i < second for i in tokens),
            sum(second < i for i in tokens)] == [3, 3, 3]  # fmt: skip


def test_from_inside_a_step_of_reasoning_comes_first_and_then_each_token(tmp_path: Path) -> None:
    runtime = wake(furniture=furnished(tmp_path), max_tokens=4)
    runtime.mode = "dream"
    done = talk("Hello\r\x04", runtime, cot=True)  # type: ignore[arg-type]
    lines = without_waiting(done.shown).splitlines()
    assert lines[1] == "Reasoning (a step of its own, no part of the answer):"
    tokens = [line for line in lines if line.startswith("“")]
    # The fourth token of a reply that was cut off is read by no call.
    assert len(tokens) == 3
    assert all(re.fullmatch(r"“.”\s+\d+%  #.*%", line) for line in tokens)
    assert runtime.turns == 1
    assert any(line.startswith("4 tokens") for line in lines)


def test_what_took_the_place_of_something_is_shown_with_its_words() -> None:
    line = {"seq": 7, "role": "user", "decision": "close", "target": 4, "closed": [4]}
    runtime = ScriptedRuntime(learned=(Remembered(lines=(line,)),))
    runtime.memory = SimpleNamespace(line={4: SimpleNamespace(text="I live in Rome.")}.__getitem__)
    shown = talk("I moved to Oslo.\r\x04", runtime).shown
    assert "remembered: #7 takes the place of #4 “I live in Rome.”" in shown
