"""A turn shown from inside: a reasoning step before it, then what was active on each token.

It knows the runtime's events and its Prism, and draws nothing. The reasoning is a generation of
its own, made like a reply that is not kept: the answer does not read it, and no record holds it.
"""

from collections.abc import Generator, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from anima.events import Event, Replied, Token
from anima.terminal import looking

if TYPE_CHECKING:
    from anima.runtime.loop import Runtime
    from anima.runtime.prism import WhyToken

LONGEST = 64
"""Tokens of a reasoning step."""

LABEL = "Reasoning (a step of its own, no part of the answer):"

_ASKED = 'Think step by step, in short: what has to be considered to answer "{}"?'


def reasoning(runtime: "Runtime", text: str) -> Generator[Event, None, None]:
    """The events of a short reasoning step on a text; raises what a turn on it would."""
    return runtime.preview(_ASKED.format(text), max_tokens=LONGEST)


def step_of(replied: Replied) -> str:
    """The reasoning as a person reads it: cut off where it was."""
    text = " ".join(replied.text.split())
    return text if replied.finish == "end" else f"{text} …"


class Aloud:
    """Follows one reply: each token with what was active on it, when the model has read it.

    A token is read when the next one is chosen, so what is shown is one token behind. The last
    token of a reply that was cut off is never read.
    """

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._before: str | None = None

    def look(self, event: Event) -> Iterator["WhyToken"]:
        """The tokens that can be looked at now that this event came."""
        if not isinstance(event, (Token, Replied)):
            return
        before, self._before = self._before, event.text if isinstance(event, Token) else None
        if before is None:
            return
        unread = isinstance(event, Replied) and event.finish != "end"
        seen = None if unread else self._runtime.prism.latest(before)
        if seen is not None:
            yield seen


def line(seen: "WhyToken", width: int) -> str:
    """One token in a line."""
    return looking.on_token(seen, width)


def as_json(seen: "WhyToken") -> dict[str, Any]:
    """One token as an event of `--output jsonl`."""
    return {"event": "looked", **asdict(seen)}
