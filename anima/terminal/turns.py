"""A turn as the terminal takes it: its events until a signal, and what is said beside its text.

It knows the events and draws nothing.
"""

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from anima.events import (
    Event,
    ModeChanged,
    Recalled,
    Recomputed,
    Remembered,
    Replied,
    Steered,
)
from anima.terminal.screen import Screen, shortened
from anima.terminal.signals import Signals

if TYPE_CHECKING:
    from anima.runtime.loop import Runtime


def until_stopped(
    events: Iterator[Event], stop: Callable[[], None], screen: Screen, signals: Signals
) -> Generator[Event, None, None]:
    """The events of a turn; a signal stops it at the next token, and what was said is kept.

    To be closed: that closes, and so commits, the turn.
    """

    def end() -> None:
        if signals.hung_up:
            screen.mute()
        stop()

    try:
        with signals.calling(end):
            for event in events:
                if signals.called:
                    end()
                yield event
    finally:
        if isinstance(events, Generator):
            events.close()


def ended(event: Replied) -> str | None:
    """What to say of a reply that did not end by itself."""
    match event.finish:
        case "stopped":
            return "⏹ stopped"
        case "length":
            more = "/set max_tokens N or --max-tokens N allows more"
            return f"⏹ cut off after {count(event.tokens, 'token')}; {more}"
        case "context":
            return "⏹ the context is full; /clear begins a new session"
    return None


def recomputed(event: Recomputed) -> str:
    """Why the conversation was read again."""
    if event.dropped_turns:
        turns = "turn was" if event.dropped_turns == 1 else f"{event.dropped_turns} turns were"
        return f"The context was full: the oldest {turns} dropped ({event.tokens} tokens are left)."
    return f"Reading the conversation again ({event.reason}, {event.tokens} tokens) …"


def figures(event: Replied, steered: Steered | None = None) -> str:
    """The line of figures after a reply, with the mode and how far it pushed."""
    tokens = count(event.tokens, "token")
    speed = "" if event.per_second is None else f" · {event.per_second:.1f} tokens/s"
    pushed = "" if steered is None else f" · {_pushed(steered)}"
    return f"{tokens}{speed} · context {event.context_used}/{event.context_window}{pushed}"


def _pushed(event: Steered) -> str:
    name = "pushed" if event.mode == "off" else event.mode
    return f"{name} {percent(event.share)}"


def scaled(event: Steered) -> str | None:
    """What to say where the pushes asked for more than the budget."""
    if event.scaled >= 1:
        return None
    return (
        f"The pushes asked for more than the norm budget: they were scaled down, to "
        f"{percent(event.scaled)} at the least."
    )


def recalled(event: Recalled, width: int = 80) -> str:
    """What the memory brought into a turn, in one line: how many lines, and the best of them."""
    best = event.lines[0]
    head, day = f"recalled {len(event.lines)}: ", f" ({str(best['timestamp'])[:10]})"
    more = " …" if len(event.lines) > 1 else ""
    room = max(12, width - len(head) - len(day) - len(more) - 2)
    return f"{head}“{shortened(str(best['text']), room)}”{day}{more}"


def replaced(event: Remembered, text_of: Callable[[int], str]) -> str | None:
    """That something said took the place of what was known; None where nothing did.

    `text_of` gives what the line of a number says: nobody knows their lines by their numbers.
    """
    pairs = [(each["seq"], closed) for each in event.lines for closed in each["closed"]]
    if not pairs:
        return None
    told = (
        f"#{seq} takes the place of #{closed} “{shortened(text_of(closed), 40)}”"
        for seq, closed in pairs
    )
    return f"remembered: {', '.join(told)}"


def mode_changed(event: ModeChanged) -> str:
    """That `auto` chose another mode."""
    return f"auto: {event.before} → {event.after}, for what you wrote"


def going_on(runtime: "Runtime", name: str | None) -> str:
    """In which session one is, and where the talk stood."""
    session = f"{name} ({runtime.session})" if name else runtime.session
    lines = [f"Going on in session {session}, {count(runtime.turns, 'turn')}."]
    if runtime.last is not None:
        lines.append(f"> {shortened(str(runtime.last['text']))}")
        lines.append(f"  {shortened(str(runtime.last['reply']))}")
    return "\n".join(lines)


def count(number: int, word: str) -> str:
    """A number of things, such as 1 turn or 2 turns."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def percent(share: float) -> str:
    """A share as a person reads it: whole per cents, one digit below ten."""
    value = 100 * share
    if value == 0 or abs(value) >= 9.95:
        return f"{value:.0f}%"
    return f"{value:.1f}%" if abs(value) >= 0.05 else "<0.1%"
