"""A turn while it is being made, before it is a record; knows no model and no disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch

from anima.context import Context, Role, Segment, Tokens
from anima.events import Event, Finish
from anima.organ import Contribution, LogitBias, Turn
from anima.runtime.feed import Call
from anima.trunk import taps as tapping
from anima.trunk.interface import NO_TAPS, Tap, Taps
from anima.trunk.sampler import Pick
from anima.trunk.settings import Sampling
from anima.trunk.tokens import TextStream

_UNSAID = -30.0  # logits; finite, so that differences of them are

Dictation = Callable[["Draft"], Sequence[int]]
"""The token ids that a draft is to say instead of what the model would choose."""


@dataclass(kw_only=True)
class Draft:
    """What a running turn has so far. The one mutable record of the loop: it lives one turn.

    `stage` names the stage of a turn that thinks before it answers, "" for an answer; `thoughts`
    are the records of its stages so far.
    """

    turn: Turn
    started: str
    contribution: Contribution
    sampling: Sampling
    context: Context
    dropped: int
    max_tokens: int
    limit: int
    stream: TextStream
    stopped: Callable[["Draft"], bool]
    dictated: "Dictation | None" = None
    asked: Tokens | None = None
    new_tokens: int = 0
    fresh: bool = True
    calls: list[Call] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    learned: list[Event] = field(default_factory=list)
    finish: Finish | None = None
    first_at: float = 0.0
    last_at: float = 0.0
    stage: str = ""
    thoughts: list[dict[str, Any]] = field(default_factory=list)
    _ended: bool = False

    def add(self, chosen: Pick, now: float) -> None:
        """Take a token in; `now` in seconds of a monotonic clock."""
        self.first_at = self.first_at if self.ids else now
        self.last_at = now
        self.ids.append(chosen.id)
        self.pieces.append(self.stream.feed(chosen.id))

    def take(self, other: "Draft") -> None:
        """Have been spoken as another draft was, whose prompt is not this one's."""
        self.ids, self.pieces, self.stream = other.ids, other.pieces, other.stream
        self.asked, self.new_tokens, self.calls = other.asked, other.new_tokens, other.calls
        self.finish, self.first_at, self.last_at = other.finish, other.first_at, other.last_at
        self._ended = other._ended

    def finish_text(self) -> None:
        """No token follows: an incomplete last character becomes visible."""
        if not self._ended:
            self._ended = True
            self.pieces.append(self.stream.finish())

    @property
    def limit_reached(self) -> Finish:
        """Which limit ends a reply that does not end itself: the tokens allowed, or the window."""
        return "length" if self.limit == self.max_tokens else "context"

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def per_second(self) -> float | None:
        """(tokens − 1) / (time of the last − time of the first), or None for fewer than two."""
        span = self.last_at - self.first_at
        return (len(self.ids) - 1) / span if len(self.ids) > 1 and span > 0 else None


def merged(parts: Sequence[Contribution]) -> Contribution:
    """What several organs add, as one: segments and taps in order, biases summed."""
    segments: list[Segment] = []
    taps: dict[int, tuple[Tap, ...]] = {}
    sampling: dict[str, float] = {}
    for part in parts:
        segments += part.segments
        sampling |= part.sampling
        for layer, more in part.taps.items():
            taps[layer] = (*taps.get(layer, ()), *more)
    biases = [part.attention_bias for part in parts if part.attention_bias]
    placed = [part.placed for part in parts if part.placed]
    return Contribution(
        segments=tuple(segments),
        taps=taps,
        placed=(lambda roles: reduce(tapping.merged, [place(roles) for place in placed], NO_TAPS))
        if placed
        else None,
        attention_bias=(lambda ids: _sum([bias(ids) for bias in biases])) if biases else None,
        logit_bias=_biases([part.logit_bias for part in parts]),
        unsaid=tuple(each for part in parts for each in part.unsaid),
        sampling=sampling,
        stale=any(part.stale for part in parts),
        events=tuple(event for part in parts for event in part.events),
    )


def taps_of(part: Contribution, roles: Sequence[Role]) -> Taps:
    """The taps of a call over tokens of these roles."""
    return tapping.merged(part.taps, part.placed(roles)) if part.placed else part.taps


def bias_at(part: Contribution, logits: torch.Tensor, *, first: bool) -> torch.Tensor | None:
    """What is added to the logits `[V]` of a step before its token is drawn, the `first` or a later."""
    bias = part.logit_bias
    made = bias(logits) if callable(bias) else bias
    if not first or not part.unsaid:
        return made
    against = torch.zeros_like(logits)
    against[list(part.unsaid)] = _UNSAID
    return _sum([against, None if made is None else made.to(against.device)])


def _biases(
    biases: Sequence[torch.Tensor | LogitBias | None],
) -> torch.Tensor | LogitBias | None:
    made = [bias for bias in biases if callable(bias)]
    fixed = _sum([bias for bias in biases if isinstance(bias, torch.Tensor)])
    if not made:
        return fixed
    return lambda logits: _sum([fixed, *(bias(logits) for bias in made)])


def _sum(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        return None
    return present[0] if len(present) == 1 else torch.stack(present).sum(0)
