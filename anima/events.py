"""The typed, frozen events that a turn yields; knows neither who makes nor who shows them."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Finish = Literal["end", "stopped", "length", "context"]
"""Why a reply ended: its own end token, a stop, the token limit, or a full context window."""

Reason = Literal["resumed", "rolled over", "system changed", "mode switched"]
"""Why a context was computed again: in a new process, after a roll-over, an edit, a switch."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """The root of all events."""

    def as_json(self) -> dict[str, Any]:
        """The event as a JSON object; `event` holds its name in lower case."""
        return {"event": type(self).__name__.lower(), **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Recomputed(Event):
    """The context was prefilled anew: why, how many tokens, and which oldest turns were dropped."""

    reason: Reason
    tokens: int
    dropped_turns: int = 0


@dataclass(frozen=True, kw_only=True)
class Perceived(Event):
    """The user's turn is in the context: its number, seed, and how many tokens were new or kept."""

    turn: int
    seed: int
    prompt_tokens: int
    new_tokens: int


@dataclass(frozen=True, kw_only=True)
class Token(Event):
    """One sampled token: the text that became certain with it, and its figures in nats.

    `text` may be empty while a character is incomplete. `surprisal` is −log p of the token and
    `entropy` that of the whole distribution, both before sampling settings bend it.
    """

    id: int
    text: str
    surprisal: float
    entropy: float


@dataclass(frozen=True, kw_only=True)
class Thinking(Event):
    """A piece of text of a stage before the answer, as it comes: `plan`, `draft` or `reflect`."""

    stage: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Thought(Event):
    """A stage before the answer is whole: its text, how many tokens it took, why it ended."""

    stage: str
    text: str
    tokens: int
    finish: Finish


@dataclass(frozen=True, kw_only=True)
class Replied(Event):
    """The reply is whole: its text, why it ended, its number of tokens and their speed."""

    turn: int
    text: str
    finish: Finish
    tokens: int
    per_second: float | None
    context_used: int
    context_window: int


@dataclass(frozen=True, kw_only=True)
class ModeChanged(Event):
    """The text of a turn made `auto` choose another mode for it."""

    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Steered(Event):
    """What was pushed while a reply was made, in the mode it ended in.

    `share` is the mean length of all pushes together and `scaled` the least factor that the norm
    budget left (1 where it never bound); `pushes` are records as JSON, largest share first.
    """

    mode: str
    share: float
    scaled: float
    pushes: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Recalled(Event):
    """Lines of the memory that answer the text, best first, quoted before it.

    Each is {seq, anchor, text, role, timestamp, score, terms}. Where the memory `abstained`, it
    holds nothing that answers, and there are none.
    """

    lines: tuple[dict[str, Any], ...]
    abstained: bool


@dataclass(frozen=True, kw_only=True)
class Remembered(Event):
    """What the memory made of the turn, its lines in their order.

    Each is {seq, anchor, role, decision, target, closed}: a line was inserted, merged into
    `target`, put in place of those `closed`, or skipped (seq null).
    """

    lines: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Persisted(Event):
    """The turn is on disk: the generation of the commit that holds it."""

    generation: int


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something a person should know that is no error."""

    message: str
