"""Which records of an export a memory has already; knows lines and times, no ledger and no file."""

import hashlib
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from anima.memory.line import Content, Header, Line, pack


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of an export: the `lines` that it added, and the numbers of those there already.

    What is `known` counts or not as before: a line that was forgotten here stays forgotten.
    """

    lines: Sequence[Line]
    known: Sequence[int]


class Present:
    """The records of a memory by what they say, whose, when and about what.

    `moments` are the times that matter; records of other times are not kept in mind. Each record
    answers for one that says the same, so that what was said twice in one moment stays said twice.
    """

    def __init__(self, lines: Iterable[Line], moments: Collection[datetime]) -> None:
        self._found: defaultdict[bytes, deque[int]] = defaultdict(deque)
        for line in lines:
            if line.timestamp in moments and line.content is not None:
                self._found[_mark(line.header, line.content)].append(line.seq)

    def take(self, header: Header, content: Content) -> int | None:
        """The number of a record that says the same and answered for no other yet, else None."""
        there = self._found.get(_mark(header, content))
        return there.popleft() if there else None


def moments_of(timestamps: Iterable[datetime | None]) -> frozenset[datetime]:
    """The times of an export as lines have them; those that were not given are left out."""
    return frozenset(each.astimezone(UTC) for each in timestamps if each is not None)


def _mark(header: Header, content: Content) -> bytes:
    """Equal for records that say the same.

    The key counts only where there is no text: another encoder makes another one of the same words.
    Novelty is as of the writing, and valence is what was felt there.
    """
    said = replace(
        content, key=None if content.text.strip() else content.key, novelty=None, valence=None
    )
    return hashlib.blake2b(pack(replace(header, note="").canonical(), said.canonical())).digest()
