"""A session as it is lived: its context, the turns that stand, what the disk does not hold yet.

It knows records and who keeps them, and neither the model nor what organs do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from anima.context import Context, Segment
from anima.errors import StateError, SteeringError, UsageError
from anima.organ import OrganState
from anima.runtime.record import History, Record


class Keeper(Protocol):
    """Where a runtime's life is kept: a persona on disk, or a replay's list."""

    @property
    def name(self) -> str: ...

    def commit(self, *, states: Mapping[str, OrganState], records: Sequence[Record]) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Started:
    """A session as a runtime enters it: `records` are those that its file does not hold yet."""

    session: str
    context: Context
    history: History
    records: Sequence[Record] = ()


class Sessions(Protocol):
    """Begins sessions and takes old ones up again."""

    def begin(
        self, prefix: Sequence[Segment], base_seed: int, past: Sequence[Record] = ()
    ) -> Started:
        """A new session, which may begin with turns copied from another."""

    def resume(self, session: str) -> Started:
        """An old one by its id, its beginning or its name; raises StateError."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A point of a session to come back to: its context and its turns, and tokens read till then."""

    context: Context
    turns: Sequence[Record]
    draws: int
    held: int


class Life:
    """Where one persona's talk stands: in one session after another, in what is said there.

    `states` tells what organs keep, whenever something is saved.
    """

    session: str
    context: Context
    turns: list[Record]
    draws: int
    base_seed: int
    _unsaved: list[Record]

    def __init__(
        self,
        *,
        keeper: Keeper,
        sessions: Sessions,
        started: Started,
        states: Callable[[], Mapping[str, OrganState]],
    ) -> None:
        self.keeper = keeper
        self._sessions = sessions
        self._states = states
        self._enter(started)

    @property
    def seed(self) -> int:
        """The next reply's: consecutive, so that no two replies of a session share one."""
        return self.base_seed + self.draws

    @property
    def standing(self) -> Sequence[Record]:
        """The turns that are in the context."""
        kept = len(self.context.exchanges)
        return self.turns[-kept:] if kept else []

    @property
    def system(self) -> str | None:
        """The text that was set to come after the self-description, or None."""
        texts = [segment.text for segment in self.context.prefix if segment.role == "system"]
        return texts[0] if texts else None

    def record(self, turn: int) -> Record:
        """The record of a turn that stands, by its number from 1, or −1 for the last."""
        if not self.turns:
            raise SteeringError("There is no turn in this session yet to look at.")
        if turn == -1:
            return self.turns[-1]
        if not 1 <= turn <= len(self.turns):
            raise SteeringError(f"There is no turn {turn} in this session of {len(self.turns)}.")
        return self.turns[turn - 1]

    def add(self, context: Context, record: Record) -> int:
        """A turn was made, after which the context is this; returns the generation saved."""
        self.context = context
        self.draws += 1
        self.turns.append(record)
        return self.save(record)

    def drop_last(self, at: str) -> None:
        """The last turn was taken back."""
        self.turns.pop()
        if self.context.exchanges:
            self.context = self.context.without_last()
        self.save({"record": "undo", "turn": len(self.turns) + 1, "at": at})

    def set_seed(self, seed: int) -> None:
        """Let the next reply have this seed."""
        self.base_seed = seed - self.draws

    def set_system(self, text: str | None, window: int) -> None:
        """Put a text after the self-description, or take it out; UsageError where no room is left."""
        kept = [segment for segment in self.context.prefix if segment.role != "system"]
        if text is not None and text.strip():
            kept.append(Segment(role="system", text=text.strip()))
        head = Context.begin(self.context.encoder, self.context.format, kept)
        if len(head) + min(64, window // 4) > window:
            raise UsageError(
                f"This system text takes {len(head)} of the window's {window} tokens and "
                "leaves no room to talk: shorten it."
            )
        self.context = replace(head, exchanges=self.context.exchanges)

    def clear(self) -> str:
        """Go into a new session with the same prefix; returns its id."""
        self.leave()
        self._enter(self._sessions.begin(self.context.prefix, self.seed))
        return self.session

    def fork(self) -> str:
        """Go into a copy of this session, which the next commit saves; returns its id."""
        if not self.turns:
            raise StateError("There is nothing to fork yet: this session has no turn.")
        self.leave()
        copies = [{**turn, "dropped": 0, "copied": self.session} for turn in self.turns]
        copies[-1]["dropped"] = len(self.turns) - len(self.context.exchanges)
        seed = self.seed - len(copies)
        self._enter(self._sessions.begin(self.context.prefix, seed, copies))
        return self.session

    def load(self, session: str) -> str:
        """Go into another session, by id, its beginning or name; returns its id."""
        self.leave()
        self._enter(self._sessions.resume(session))
        return self.session

    def place(self, held: int) -> Place:
        """Where it stands, with so many tokens read."""
        return Place(context=self.context, turns=tuple(self.turns), draws=self.draws, held=held)

    def return_to(self, place: Place) -> None:
        """Stand where it stood, as if nothing had been said since; no record tells of it."""
        self.context, self.turns, self.draws = place.context, list(place.turns), place.draws

    def leave(self) -> None:
        """Save what could not be saved before; an opening alone is not worth it."""
        if any(record["record"] != "open" for record in self._unsaved):
            self.save()

    def save(self, record: Mapping[str, Any] | None = None) -> int:
        """Commit; what cannot be written now is kept and written with the next commit that can."""
        if record is not None:
            self._unsaved.append(record)
        # A session without a turn is not worth a file: its records wait for the first.
        worth = self._unsaved if self.turns or self.draws else []
        generation = self.keeper.commit(states=self._states(), records=worth)
        if worth:
            self._unsaved = []
        return generation

    def _enter(self, started: Started) -> None:
        self.session = started.session
        self.context = started.context
        self.base_seed = started.history.base_seed
        self.draws = started.history.draws
        self.turns = list(started.history.turns)
        self._unsaved = list(started.records)
