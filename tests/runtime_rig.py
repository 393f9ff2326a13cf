"""A runtime over the tiny model whose keeper is a list: everything real but the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import tiny

from anima import config
from anima.errors import StateError, StorageError
from anima.memory import Memory
from anima.runtime.life import Started
from anima.runtime.loop import Runtime
from anima.runtime.opening import assemble, context_of, prefix
from anima.runtime.record import fold, segments_json


@dataclass(kw_only=True)
class Shelf:
    """Keeps records and states in memory; `full` makes it refuse like a full disk."""

    name: str = "tester"
    records: list[Mapping[str, Any]] = field(default_factory=list)
    states: dict[str, Any] = field(default_factory=dict)
    commits: int = 0
    full: bool = False
    closed: bool = False

    def commit(self, *, states: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> int:
        if self.full:
            raise StorageError("The disk is full.")
        self.records += records
        self.states = dict(states)
        self.commits += 1
        return self.commits

    def close(self) -> None:
        self.closed = True


class Desk:
    """Begins sessions s1, s2 … and remembers them, without a disk."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.begun = 0
        self.pasts: dict[str, list[Mapping[str, Any]]] = {}

    def begin(self, prefix: Any, base_seed: int, past: Sequence[Any] = ()) -> Started:
        self.begun += 1
        header = {"record": "session", "prefix": segments_json(prefix), "base_seed": base_seed}
        name = f"s{self.begun}"
        self.pasts[name] = [header]
        return self._started(name, [*past, self._opened()])

    def resume(self, session: str) -> Started:
        if session not in self.pasts:
            raise StateError(f"There is no session {session!r}.")
        return self._started(session, [self._opened()])

    def _started(self, name: str, records: Any) -> Started:
        history = fold([*self.pasts[name], *records], name)
        context = context_of(self.model.tokenizer, history)
        return Started(session=name, context=context, history=history, records=records)

    def _opened(self) -> Mapping[str, Any]:
        model = asdict(self.model.trunk.info)
        return {"record": "open", "format": asdict(tiny.chat_format()), "model": model}


def wake(
    shelf: Shelf | None = None,
    loaded: Any = None,
    furniture: Any = None,
    remembering: Memory | None = None,
    organs: Sequence[Any] = (),
    **settings: Any,
) -> Runtime:
    """A runtime at the beginning of a session, greedy and short unless settings say otherwise."""
    usual = {"temperature": 0.0, "max_tokens": 8, "seed": 5}
    usual["memory"] = "off" if remembering is None else "on"
    given = config.Settings(**{**usual, **settings})
    model = loaded or tiny.loaded()
    desk = Desk(model)
    return assemble(
        model, given, desk.begin(prefix(given.system), given.seed or 0),
        states={}, keeper=shelf or Shelf(), sessions=desk, clock=lambda: tiny.NOON,
        furniture=furniture, memory=remembering, organs=organs,
    )  # fmt: skip


def kinds(events: Sequence[Any]) -> list[str]:
    """The names of events, in order."""
    return [type(event).__name__ for event in events]


def turns(shelf: Shelf) -> list[Mapping[str, Any]]:
    """The records of turns that a shelf keeps."""
    return [record for record in shelf.records if record["record"] == "turn"]


def only(events: Sequence[Any], kind: type) -> Any:
    """The one event of a kind."""
    (found,) = [event for event in events if isinstance(event, kind)]
    return found
