"""What the turns of a session add up to; knows their records, and nothing of how they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anima.runtime.record import Record


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Sums over the turns that stand; `taken_back` counts the others.

    `tokens_read` are those that went through the model before a reply, `seconds` the time from
    the first token of each reply to its last, `per_second` the median speed in that time (None
    where no reply had two tokens), `stopped` the replies that a person cut short.
    """

    turns: int
    taken_back: int
    stopped: int
    tokens_read: int
    tokens_said: int
    per_second: float | None
    seconds: float
    context_used: int
    context_window: int


def figures(
    turns: "Sequence[Record]", *, draws: int, context_used: int, context_window: int
) -> Figures:
    """Sum up turn records; `draws` is the number of replies ever begun in the session."""
    speeds = [(len(turn["reply_ids"]) - 1, turn["per_second"]) for turn in turns]
    timed = [(tokens, speed) for tokens, speed in speeds if speed]
    return Figures(
        turns=len(turns),
        taken_back=draws - len(turns),
        stopped=sum(turn["finish"] == "stopped" for turn in turns),
        tokens_read=sum(len(turn["ids"]) for turn in turns),
        tokens_said=sum(len(turn["reply_ids"]) for turn in turns),
        per_second=median(speed for _, speed in timed) if timed else None,
        seconds=sum(tokens / speed for tokens, speed in timed),
        context_used=context_used,
        context_window=context_window,
    )
