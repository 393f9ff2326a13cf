"""One prompt, one answer, out: as text, as one JSON object, or as a line per event.

The answer alone goes to the screen's `out`; knows the runtime's events and no model.
"""

import contextlib
import json
import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from anima.errors import Interrupted, UsageError
from anima.events import (
    Event,
    ModeChanged,
    Notice,
    Perceived,
    Recalled,
    Recomputed,
    Replied,
    Steered,
    Thinking,
    Thought,
    Token,
)
from anima.terminal import aloud, turns
from anima.terminal.screen import UNKNOWN_WIDTH, Screen, typed
from anima.terminal.signals import Signals
from anima.terminal.waking import Waking

if TYPE_CHECKING:
    from anima.runtime.loop import Runtime
    from anima.runtime.talk import Turning

Output = Literal["text", "json", "jsonl"]

Show = Callable[[Event, Screen], None]

LONGEST = 16 * 2**20
"""Bytes of standard input that are read; far more than any context holds."""

PATIENCE = 3.0
"""Seconds of silence on standard input after which a person is told what is waited for."""


def read_prompt(text: str | None, stdin: BinaryIO | None, screen: Screen) -> str:
    """The prompt: `text`, then after an empty line what is piped in, without control characters.

    What had to be mended is said on the screen. Raises UsageError for nothing and for too much.
    """
    parts = [] if text is None else [text.encode("utf-8", "surrogateescape")]
    if stdin is not None:
        if text is not None:
            _wait_for(stdin, screen)
        piped = stdin.read(LONGEST + 1)
        if len(piped) > LONGEST:
            raise UsageError(
                f"Standard input is longer than {LONGEST // 2**20} MiB, more than any model can "
                "read: give a part of it."
            )
        parts.append(piped.removeprefix(b"\xef\xbb\xbf"))
    decoded = [part.decode("utf-8", "replace") for part in parts]
    if any(part != again.encode() for part, again in zip(parts, decoded, strict=True)):
        screen.note("The prompt is not all valid UTF-8: what is not was replaced by �.")
    prompt, removed = typed("\n\n".join(part.strip("\r\n") for part in decoded if part.strip()))
    if removed:
        screen.note(f"Took {removed} control character{'s' * (removed > 1)} out of the prompt.")
    if not prompt.strip():
        raise UsageError("There is no prompt: give one with -p TEXT or on standard input.")
    return prompt


def answer(
    load: "Callable[[Callable[[str], None]], Runtime]",
    prompt: str,
    screen: Screen,
    signals: Signals,
    *,
    output: Output,
    cot: bool = False,
    think: bool = False,
) -> int:
    """Load, answer and save; returns the exit code. A signal keeps what was said until then."""
    waking = Waking(load)
    waking.start()
    shown = ""
    while not waking.wait(0.05):
        if signals.leave is not None:
            return signals.leave
        if signals.called:
            raise Interrupted("Stopped before the reply began.")
        if waking.note != shown:
            shown = waking.note
            screen.progress(shown)
    with contextlib.closing(waking.result()) as runtime:
        for notice in runtime.notices:
            screen.note(notice)
        reasoned = _reason(runtime, prompt, screen, signals, output) if cot else None
        events = runtime.think if think else runtime.turn
        stopped = (reasoned is None and cot) or _stream(
            runtime, events(prompt), screen, signals, output, reasoned
        )
    if signals.leave is not None:
        return signals.leave
    return Interrupted.exit_code if stopped else 0


def _reason(
    runtime: "Runtime", prompt: str, screen: Screen, signals: Signals, output: Output
) -> str | None:
    """Show a reasoning step before the answer; None where a signal ended it."""
    replied: Replied | None = None
    events = aloud.reasoning(runtime, prompt)
    with contextlib.closing(turns.until_stopped(events, runtime.stop, screen, signals)) as taken:
        for event in taken:
            replied = event if isinstance(event, Replied) else replied
    if replied is None or replied.finish == "stopped":
        return None
    text = aloud.step_of(replied)
    if output == "jsonl":
        screen.data(_json({"event": "reasoned", "text": text}))
    if output == "text":
        screen.note(f"{aloud.LABEL}\n{text}")
    return text


def _stream(
    runtime: "Runtime",
    events: "Turning",
    screen: Screen,
    signals: Signals,
    output: Output,
    reasoned: str | None = None,
) -> bool:
    """Show one turn, from inside where it was reasoned on; returns whether it was stopped."""
    show: Show = {"text": _show_text, "json": _show_nothing, "jsonl": _show_line}[output]
    if reasoned is not None:
        show = _from_inside(runtime, show, output)
    perceived: Perceived | None = None
    replied: Replied | None = None
    steered: Steered | None = None
    recalled: Recalled | None = None
    thoughts: list[dict[str, str]] = []
    taken = turns.until_stopped(events, runtime.stop, screen, signals)
    with contextlib.closing(taken):
        for event in taken:
            if isinstance(event, Perceived):
                perceived = event
            if isinstance(event, Replied):
                replied = event
            if isinstance(event, Steered):
                steered = event
            if isinstance(event, Recalled):
                recalled = event
            if isinstance(event, Thought):
                thoughts.append({"stage": event.stage, "text": event.text})
            show(event, screen)
    if output == "text" and replied:
        screen.progress(turns.figures(replied, steered))
    if output != "text" and perceived and replied:
        whole = summary(runtime, perceived, replied, steered, recalled)
        if reasoned is not None:
            whole["reasoning"] = reasoned
        if thoughts:
            whole["thoughts"] = thoughts
        screen.data(_json(whole))
    return replied is not None and replied.finish == "stopped"


def summary(
    runtime: "Runtime",
    perceived: Perceived,
    replied: Replied,
    steered: Steered | None,
    recalled: Recalled | None = None,
) -> dict[str, Any]:
    """The one object of a turn; what has no organ, or one that is off, is null."""
    status = runtime.status()
    prism = status["organs"].get("prism")
    return {
        "reply": replied.text,
        "persona": runtime.persona,
        "session": runtime.session,
        "turn": replied.turn,
        "mode": status["mode"] if prism else None,
        "seed": perceived.seed,
        "tokens": {
            "prompt": perceived.prompt_tokens,
            "reply": replied.tokens,
            "per_second": replied.per_second,
        },
        "valence": None,
        "arousal": None,
        "fatigue": None,
        "R": None,
        "recalled": _recalled(recalled) if status["organs"].get("memory") else None,
        "pushes": (list(steered.pushes) if steered else []) if prism else None,
    }


def _recalled(event: Recalled | None) -> list[dict[str, Any]]:
    return [] if event is None else list(event.lines)


def _from_inside(runtime: "Runtime", show: Show, output: Output) -> Show:
    """Each token with what was active there, then the answer whole; as JSON, between the events."""
    looking = aloud.Aloud(runtime)

    def shown(event: Event, screen: Screen) -> None:
        for seen in looking.look(event):
            if output == "jsonl":
                screen.data(_json(aloud.as_json(seen)))
            elif output == "text":
                screen.note(aloud.line(seen, UNKNOWN_WIDTH))
        if output == "text" and isinstance(event, Replied):
            screen.answer(event.text)
        if output != "text" or not isinstance(event, Token):
            show(event, screen)

    return shown


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _show_nothing(event: Event, screen: Screen) -> None:
    if isinstance(event, Notice):
        screen.note(event.message)


def _show_line(event: Event, screen: Screen) -> None:
    screen.data(_json(event.as_json()))


def _show_text(event: Event, screen: Screen) -> None:
    match event:
        case Token():
            screen.answer(event.text)
        case Recalled() if event.lines:
            screen.progress(turns.recalled(event))
        case Thinking():
            screen.murmur(event.stage, event.text)
        case Thought():
            screen.hush()
        case Recomputed() if event.dropped_turns:
            screen.note(turns.recomputed(event))
        case Replied():
            screen.end_answer()
            if remark := turns.ended(event):
                screen.note(remark)
        case ModeChanged():
            screen.progress(turns.mode_changed(event))
        case Steered():
            if remark := turns.scaled(event):
                screen.note(remark)
        case Notice():
            screen.note(event.message)


def _wait_for(stdin: BinaryIO, screen: Screen) -> None:
    """Say what is waited for where a pipe stays open and silent beside a prompt."""
    with contextlib.suppress(OSError, ValueError):  # no descriptor, or one that cannot be polled
        if not select.select([stdin.fileno()], [], [], PATIENCE)[0]:
            screen.note("Waiting for the end of standard input; with `< /dev/null` there is none.")


def piped(stdin: BinaryIO) -> bool:
    """Whether standard input is a pipe or a file, and so belongs to the prompt."""
    try:
        return not os.isatty(stdin.fileno())
    except (OSError, ValueError):
        return True
