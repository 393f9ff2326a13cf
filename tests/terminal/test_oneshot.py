import io
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prism_rig import furnished
from runtime_rig import wake

from anima.errors import BusyError, Interrupted, UsageError
from anima.events import Recomputed, Steered
from anima.terminal import oneshot
from anima.terminal.screen import Screen, shown
from anima.terminal.signals import Signals
from tests.terminal.scripted import ScriptedRuntime, Terminal


def read(text: str | None, stdin: bytes | None) -> tuple[str, str]:
    err = io.StringIO()
    source = None if stdin is None else io.BytesIO(stdin)
    return oneshot.read_prompt(text, source, Screen(io.StringIO(), err)), err.getvalue()


def ask(
    runtime: ScriptedRuntime,
    *,
    output: oneshot.Output = "text",
    err: io.StringIO | None = None,
    load: Callable[[Callable[[str], None]], ScriptedRuntime] | None = None,
    cot: bool = False,
    think: bool = False,
) -> tuple[int, str, str]:
    """The exit code, and what came on stdout and on stderr."""
    out, err = io.StringIO(), err or io.StringIO()
    with Signals() as signals:
        code = oneshot.answer(
            load or (lambda say: runtime), "Hello", Screen(out, err), signals,
            output=output, cot=cot, think=think,
        )  # fmt: skip
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("text", "stdin", "prompt"),
    [
        ("Hello", None, "Hello"),
        (None, b"Hello\n", "Hello"),
        ("Shorten this.", b"A long story.\n", "Shorten this.\n\nA long story."),
        ("Hello", b"", "Hello"),
        ("Hello", b" \n", "Hello"),
        (None, b"\xef\xbb\xbfone\r\ntwo\r\n", "one\ntwo"),
        (None, b"  indented\n\n  lines\n", "  indented\n\n  lines"),
    ],
)
def test_the_prompt_is_the_flag_and_then_what_is_piped_in(
    text: str | None, stdin: bytes | None, prompt: str
) -> None:
    assert read(text, stdin) == (prompt, "")


def test_half_utf8_is_replaced_and_said() -> None:
    prompt, said = read(None, b"caf\xc3\xa9 and caf\xc3")
    assert prompt == "café and caf�"
    assert "not all valid UTF-8" in said


def test_a_replacement_character_that_was_typed_is_nothing_to_say() -> None:
    assert read(None, "caf�".encode()) == ("caf�", "")


def test_an_argument_that_is_not_utf8_is_mended_too() -> None:
    prompt, said = read(os.fsdecode(b"caf\xc3"), None)
    assert prompt == "caf�"
    assert "not all valid UTF-8" in said


def test_control_characters_are_taken_out_and_counted() -> None:
    assert read(None, b"a\x00b\x1b[31mc") == (
        "ab[31mc",
        "Took 2 control characters out of the prompt.\n",
    )
    assert read("a\x07", None)[1] == "Took 1 control character out of the prompt.\n"


@pytest.mark.parametrize(
    ("text", "stdin"), [("", None), (None, b""), (" ", b"\n"), (None, b"\x00")]
)
def test_an_empty_prompt_is_a_usage_error(text: str | None, stdin: bytes | None) -> None:
    with pytest.raises(UsageError, match="There is no prompt"):
        read(text, stdin)


def test_an_endless_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oneshot, "LONGEST", 2**20)
    with pytest.raises(UsageError, match="longer than 1 MiB"):
        read(None, b"a" * (2**20 + 1))
    assert len(read(None, b"a" * 2**20)[0]) == 2**20


def test_a_silent_open_pipe_beside_a_prompt_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oneshot, "PATIENCE", 0.01)
    reading, writing = os.pipe()
    err = io.StringIO()

    class Screening(Screen):
        def note(self, text: str) -> None:
            super().note(text)
            os.close(writing)  # what was waited for comes: the end

    with os.fdopen(reading, "rb") as stdin:
        assert oneshot.read_prompt("Hello", stdin, Screening(io.StringIO(), err)) == "Hello"
    assert "Waiting for the end of standard input" in err.getvalue()


def test_the_answer_alone_is_on_stdout() -> None:
    runtime = ScriptedRuntime(
        notices=("Mended.",), recomputed=Recomputed(reason="rolled over", tokens=9, dropped_turns=1)
    )
    code, out, err = ask(runtime)
    assert (code, out) == (0, "Good day.\n")
    assert (
        err == "Mended.\nThe context was full: the oldest turn was dropped (9 tokens are left).\n"
    )
    assert runtime.closed


def test_one_who_watches_sees_progress_and_figures() -> None:
    def load(say: Callable[[str], None]) -> ScriptedRuntime:
        say("Loading smollm2")
        return ScriptedRuntime()

    _, out, err = ask(ScriptedRuntime(), err=Terminal(), load=load)
    assert out == "Good day.\n"
    assert err.endswith("2 tokens · 20.0 tokens/s · context 14/2048\n")


def test_json_is_one_object_with_the_fixed_fields() -> None:
    code, out, err = ask(ScriptedRuntime(), output="json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == {
        "reply": "Good day.",
        "persona": "default",
        "session": "20260101-120000-abcd",
        "turn": 1,
        "mode": None,
        "seed": 7,
        "tokens": {"prompt": 12, "reply": 2, "per_second": 20.0},
        "valence": None,
        "arousal": None,
        "fatigue": None,
        "R": None,
        "recalled": None,
        "pushes": None,
    }


def test_jsonl_is_an_event_a_line_and_the_object_last() -> None:
    _, out, _ = ask(ScriptedRuntime(), output="jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("event") for line in lines] == [
        "perceived", "token", "token", "replied", "persisted", None,
    ]  # fmt: skip
    assert lines[1]["text"] == "Good"
    assert lines[-1]["reply"] == "Good day."


def test_json_is_exact_where_text_is_stripped() -> None:
    reply = "\x1b[31mred\x9b\u202e é"
    assert json.loads(ask(ScriptedRuntime(replies=[reply]), output="json")[1])["reply"] == reply
    assert ask(ScriptedRuntime(replies=[reply]))[1] == "[31mred é\n"


def press(number: int, at: int) -> Callable[[int], None]:
    return lambda n: signal.raise_signal(number) if n >= at else None


def test_ctrl_c_keeps_the_partial_and_exits_130_however_often_it_is_pressed() -> None:
    runtime = ScriptedRuntime(replies=["one two three"], before_token=press(signal.SIGINT, at=2))
    code, out, err = ask(runtime)
    assert (code, out, err) == (130, "one two\n", "⏹ stopped\n")
    assert (runtime.heard, runtime.closed) == (["Hello"], True)


def test_a_stopped_turn_is_an_object_too() -> None:
    runtime = ScriptedRuntime(replies=["one two three"], before_token=press(signal.SIGINT, at=1))
    code, out, _ = ask(runtime, output="json")
    assert (code, json.loads(out)["reply"]) == (130, "one")


def test_termination_keeps_the_partial_and_exits_with_its_signal() -> None:
    runtime = ScriptedRuntime(replies=["one two three"], before_token=press(signal.SIGTERM, at=2))
    assert ask(runtime)[:2] == (143, "one two\n")
    assert runtime.closed


def loading(number: int, go_on: threading.Event) -> Callable[..., ScriptedRuntime]:
    def load(say: Callable[[str], None]) -> ScriptedRuntime:
        os.kill(os.getpid(), number)
        go_on.wait(10)
        return ScriptedRuntime()

    return load


def test_ctrl_c_while_it_loads_does_not_wait_for_it() -> None:
    go_on = threading.Event()
    with pytest.raises(Interrupted, match="before the reply began"):
        ask(ScriptedRuntime(), load=loading(signal.SIGINT, go_on))
    go_on.set()


def test_termination_while_it_loads_does_not_wait_for_it() -> None:
    go_on = threading.Event()
    assert ask(ScriptedRuntime(), load=loading(signal.SIGTERM, go_on)) == (143, "", "")
    go_on.set()


def test_a_loading_that_fails_is_raised() -> None:
    def load(say: Callable[[str], None]) -> ScriptedRuntime:
        raise BusyError("Another process has the persona open.")

    with pytest.raises(BusyError):
        ask(ScriptedRuntime(), load=load)


def test_a_reader_that_goes_away_ends_the_turn_which_is_kept() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    runtime = ScriptedRuntime()
    with Signals() as signals, pytest.raises(BrokenPipeError):
        oneshot.answer(
            lambda say: runtime, "Hello", Screen(Gone(), io.StringIO()), signals, output="text"
        )
    assert (runtime.heard, runtime.closed) == (["Hello"], True)


PUSH = {"label": "rain", "feature": 3, "operation": "clamp", "share": 0.08}
STEERED = Steered(mode="dream", share=0.083, scaled=0.5, pushes=(PUSH,))


def steered() -> ScriptedRuntime:
    return ScriptedRuntime(steering={"mode": "dream"}, organs={"prism": True}, learned=(STEERED,))


def test_json_holds_the_mode_and_every_push() -> None:
    found = json.loads(ask(steered(), output="json")[1])
    assert (found["mode"], found["pushes"]) == ("dream", [PUSH])


def test_json_of_a_turn_without_a_push_says_that_there_was_none() -> None:
    found = json.loads(ask(ScriptedRuntime(organs={"prism": True}), output="json")[1])
    assert (found["mode"], found["pushes"]) == ("off", [])


def test_jsonl_has_the_steering_as_an_event_of_its_own() -> None:
    lines = [json.loads(line) for line in ask(steered(), output="jsonl")[1].splitlines()]
    assert [line for line in lines if line.get("event") == "steered"] == [
        {"event": "steered", "mode": "dream", "share": 0.083, "scaled": 0.5, "pushes": [PUSH]}
    ]


def test_a_budget_that_bound_is_said_beside_the_answer_and_not_in_it() -> None:
    _, out, err = ask(steered(), err=Terminal())
    assert out == "Good day.\n"
    assert err == (
        "The pushes asked for more than the norm budget: they were scaled down, to 50% at the "
        "least.\n2 tokens · 20.0 tokens/s · context 14/2048 · dream 8.3%\n"
    )


def looked_into(folder: Path) -> Any:
    """A real runtime in mode dream whose replies are cut off at four tokens."""
    runtime = wake(furniture=furnished(folder), max_tokens=4)
    runtime.mode = "dream"
    return runtime


def test_from_inside_the_answer_still_stands_alone_on_stdout(tmp_path: Path) -> None:
    runtime = looked_into(tmp_path)
    code, out, err = ask(runtime, cot=True)
    assert (code, runtime.turns) == (0, 1)
    assert out == f"{shown(runtime.last['reply'])}\n"
    first, _, *rest = err.splitlines()
    assert first == "Reasoning (a step of its own, no part of the answer):"
    assert sum("%  #" in line for line in rest) == 3


def test_from_inside_every_token_looked_at_is_a_line_of_jsonl(tmp_path: Path) -> None:
    _, out, _ = ask(looked_into(tmp_path), output="jsonl", cot=True)
    lines = [json.loads(line) for line in out.splitlines()]
    looked = [line for line in lines if line.get("event") == "looked"]
    assert len(looked) == 3
    assert all(line["features"] and line["pushes"][0]["label"] == "x" for line in looked)
    assert lines[0] == {"event": "reasoned", "text": lines[-1]["reasoning"]}


def test_thinking_shows_its_stages_beside_the_answer() -> None:
    code, out, err = ask(wake(max_tokens=4), think=True)
    assert code == 0
    assert out == ask(wake(max_tokens=4), think=True)[1]
    assert [line.partition(":")[0] for line in err.splitlines() if ": " in line] == [
        "plan", "draft", "reflect",
    ]  # fmt: skip


def test_thinking_as_json_has_its_stages_and_one_reply() -> None:
    code, out, _ = ask(wake(max_tokens=4), output="json", think=True)
    (whole,) = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [each["stage"] for each in whole["thoughts"]] == ["plan", "draft", "reflect"]
    assert whole["tokens"]["reply"] == 4
