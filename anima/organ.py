"""The one contract of every organ: what it adds to a turn, learns from it, saves, and takes back.

It knows the trunk's taps and the context's segments, and no organ in particular.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from anima.context import Role, Segment
from anima.events import Event, Finish

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

    from anima.trunk.interface import Tap, Taps

Json = Any
"""A value that JSON can hold; what is inside is known to the organ alone."""


AttentionBias = Callable[[Sequence[int]], "Tensor | None"]
"""Given all token ids `[T]` that a call will attend to, the bias `[L, 1, H, 1, T]`, or None."""


LogitBias = Callable[["Tensor"], "Tensor | None"]
"""Given the logits `[V]` of a step, what to add to them, or None; asked once before each draw."""


PlacedTaps = Callable[[Sequence[Role]], "Taps"]
"""Given the roles `[q]` of the tokens of one call, its taps; asked before every call."""


@dataclass(frozen=True, kw_only=True)
class OrganState:
    """What an organ keeps between sessions, under its own schema version.

    `values` must survive JSON unchanged; `arrays` are stored as safetensors.
    """

    schema: int
    values: Mapping[str, Json] = field(default_factory=dict)
    arrays: Mapping[str, "numpy.ndarray[Any, Any]"] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What one turn or one setting changed in an organ, in JSON: enough for its `undo`."""

    values: Mapping[str, Json] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.values)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What an organ may know of the turn that begins: its number, the user's text, its seed.

    `session` says which session it is in, for what is recorded once in each. `past` are the values
    of the organ's own deltas of the turns that are still in the context, oldest first (empty where
    it had none); `room` is how many tokens may come before the text so that the turn still fits.
    """

    number: int
    text: str
    seed: int
    session: str = ""
    past: Sequence[Mapping[str, Json]] = ()
    room: int = 0


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One token that the model chose: its id, its surprisal and the entropy it came from, in nats."""

    id: int
    surprisal: float
    entropy: float


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """The reply of a turn, when it is over: its text, and why it ended.

    `thoughts` are the stages that came before it, (stage, text), where the turn had any.
    """

    text: str
    finish: Finish
    thoughts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What an organ adds to a turn; the empty one changes nothing, to the bit.

    `taps` by layer; `placed` those that depend on what a token is; `logit_bias` `[V]`, or what
    makes it at each step; `unsaid` are ids that do not begin the reply; `sampling` overrides sampling
    settings by name; `stale` asks to compute the whole context again; `events` are told before the
    reply.
    """

    segments: Sequence[Segment] = ()
    taps: Mapping[int, Sequence["Tap"]] = field(default_factory=dict)
    placed: PlacedTaps | None = None
    attention_bias: AttentionBias | None = None
    logit_bias: "Tensor | LogitBias | None" = None
    unsaid: Sequence[int] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)
    stale: bool = False
    events: Sequence[Event] = ()


class Organ(Protocol):
    """One organ. `finish` ends a turn; `undo` takes back what a delta of its own says."""

    name: str

    def contribute(self, turn: Turn) -> Contribution: ...

    def observe(self, reading: Reading) -> None: ...

    def finish(self) -> tuple[Sequence[Event], Delta]: ...

    def undo(self, delta: Delta) -> None: ...

    def state(self) -> OrganState: ...

    def load(self, state: OrganState) -> None: ...


@runtime_checkable
class Hearing(Protocol):
    """An organ that wants the reply as text; told before `finish`, not where a turn failed."""

    def hear(self, spoken: Spoken) -> None: ...
