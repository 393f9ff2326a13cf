"""What a life to remember is: what was said in it, what is true, what can be asked; draws nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from anima.evaluation.material import Half
from anima.evaluation.texts import read

Kind = Literal["fact", "update", "again", "before", "other", "trap", "chat", "reply"]
Asks = Literal["now", "as of", "past", "by date", "nothing"]
"""now: what holds when asked. as of: the same words, asked of an earlier time. past: words that ask
for what held before. by date: what is on a day. nothing: what was never told."""

COMING, GONE, YEARLY = "coming", "gone", "yearly"
"""The pools of days: ahead of what is said, in the past, and of every year."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """One line of a life, in the order of arrival; `id` is its place in it.

    Only facts, updates and what is said again claim something: that `slot` has `value`. A line
    that arrives late has a `when` before that of its forerunners.
    """

    id: int
    text: str
    when: datetime
    kind: Kind
    role: Literal["user", "assistant"] = "user"
    slot: str = ""
    value: str = ""
    valence: float | None = None

    @property
    def claims(self) -> bool:
        return self.kind in ("fact", "update", "again")


@dataclass(frozen=True, kw_only=True)
class Query:
    """One question; `gold` holds for each true claim the lines that say it, none where it is untold.

    `stale` are lines that say a value of the same slot that does not hold at the time asked for,
    which is `at`, or the end where that is None. `paraphrased` shares few words with the lines.
    `lure` is whether somebody else's fact of the same kind was told.
    """

    text: str
    asks: Asks
    slot: str
    gold: tuple[frozenset[int], ...]
    stale: frozenset[int] = frozenset()
    at: datetime | None = None
    paraphrased: bool = False
    many: bool = False
    feeling: bool = False
    dated: bool = False
    late: bool = False
    lure: bool = False


@dataclass(frozen=True, kw_only=True)
class Life:
    """A life: its lines as they arrived, and what can be asked of it after the last."""

    name: str
    lines: tuple[Said, ...]
    queries: tuple[Query, ...]

    @property
    def end(self) -> datetime:
        """When the last line was said."""
        return max(line.when for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """What can be told of a life, and how it behaves; see `texts/recall.toml`."""

    name: str
    pool: str
    changes: bool = False
    many: bool = False
    feeling: float | None = None

    @property
    def dated(self) -> bool:
        return self.pool in (COMING, GONE, YEARLY)


def attributes() -> list[Attribute]:
    """Every attribute, in its fixed order."""
    return [Attribute(**entry) for entry in read("recall")["attribute"]]


def forms(half: Half) -> Mapping[str, Any]:
    """The surface forms of a half."""
    return read(f"recall_{half}")
