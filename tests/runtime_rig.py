"""A runtime over the tiny model whose keeper is a list: everything real but the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import tiny

from anima import config
from anima.errors import StorageError
from anima.runtime.loop import Runtime
from anima.runtime.opening import assemble, prefix
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


def wake(shelf: Shelf | None = None, loaded: Any = None, **settings: Any) -> Runtime:
    """A runtime at the beginning of a session, greedy and short unless settings say otherwise."""
    given = config.Settings(**{"temperature": 0.0, "max_tokens": 8, "seed": 5, **settings})
    model = loaded or tiny.loaded()
    header = {
        "record": "session",
        "prefix": segments_json(prefix(given.system)),
        "base_seed": given.seed,
    }
    opened = {
        "record": "open",
        "format": asdict(tiny.chat_format()),
        "model": asdict(model.trunk.info),
    }
    keeper = shelf or Shelf()
    sessions = iter(range(2, 100))
    return assemble(
        model, fold([header, opened], "s1"), given,
        states={}, keeper=keeper, session="s1", records=[opened],
        begin=lambda: (f"s{next(sessions)}", [opened]), clock=lambda: tiny.NOON,
    )  # fmt: skip
