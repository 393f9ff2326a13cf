"""Which lines share words with a question, and how telling the words are; knows no vectors.

SQLite's FTS5 in a database in memory, English stems: BM25 with k1 = 1.2 and b = .75 (Robertson and
Zaragoza 2009). It is made anew from the ledger at every opening and never lies on a disk, where it
would tell what an encrypted ledger hides.
"""

import math
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_PENDING: Final = 4096
"""Lines that are written into the index together: one at a time takes three times as long."""

_MOST_WORDS: Final = 32
"""Words of a question that are looked up, the rarest; more cost time and tell nothing more."""

_READ: Final = 20_000
"""Characters of a question whose words are considered."""

_LOOKED_AT: Final = 4000
"""Characters of a line that are given back to be looked at."""

_COMMON: Final = 0.2
"""A word that this share of the lines has is left out beside rarer ones: it costs much, tells little."""

_FEW: Final = 50
"""With fewer lines than this no word counts as common."""

_PADDING: Final = 50
"""Lines of nothing beside the real ones. FTS5 gives a word that half of all lines have no weight at
all, which in a memory of three lines would be most words."""

_NOTHING: Final = " ".join(["qzxqpadding"] * 10)

_WORD = re.compile(r"[^\W_]+")
# Scripts without spaces: each character counts as a word, in the lines and in the question.
_UNSPACED = re.compile("([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003fa1f])")

STOP_WORDS: Final = frozenset(
    _WORD.findall("""a about again all also am an and any are as at be because been before being but by can could
    d did do does doing don down for from had has have having he her here hers him his how i if in
    into is isn it its just ll m me might mine more most must my no nor not now of off on once only
    or other our ours out over own re s same shall she should so some still such t than that the
    their theirs them then there these they this those to too under until up ve very was wasn we
    were what when where which while who whom whose why will with would you your yours""")
)
"""English words that say what kind of sentence it is, not what it is about."""


class Hits(NamedTuple):
    """Lines that share a word with a question and their BM25, both `[n]`, best first."""

    seqs: NDArray[np.int64]
    scores: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The words of a question that are looked up, each with its inverse document frequency.

    `mass` is the sum of all of them, of those no line has as well; `rarest` is that of a
    word which one line has, and `known` how many words some line has.
    """

    weights: dict[str, float]
    mass: float
    rarest: float = 0.0
    known: int = 0


class KeywordIndex:
    """The words of lines by the number of each line."""

    def __init__(self) -> None:
        self._pending: dict[int, str] = {}
        self._seqs: set[int] = set()
        self._frequencies: dict[str, int] = {}
        self._counted_at = 0
        self._connection = self._opened()

    def __len__(self) -> int:
        return len(self._seqs)

    def add(self, seq: int, text: str) -> None:
        if seq in self._seqs or not text:
            return
        self._seqs.add(seq)
        self._pending[seq] = spaced(text)
        if len(self._pending) >= _PENDING:
            self._write()

    def drop(self, seq: int) -> None:
        """Forget a line's words, so that nothing of them is left; unknown numbers are passed over."""
        if seq not in self._seqs:
            return
        self._seqs.discard(seq)
        if self._pending.pop(seq, None) is None:
            self._connection.execute("DELETE FROM lines WHERE rowid = ?", (seq,))
            self._connection.commit()

    def clear(self) -> None:
        self._connection.close()
        self._pending.clear()
        self._seqs.clear()
        self._frequencies.clear()
        self._counted_at = 0
        self._connection = self._opened()

    def asked(self, text: str) -> Asked:
        """What of a text is worth looking up; nothing where it is all stop words or none."""
        self._write()
        words = content_words(text)
        every = {word: self._idf(word) for word in words}
        lines = len(self._seqs)
        rarest = sorted(every, key=lambda word: -every[word])[:_MOST_WORDS]
        telling = [word for word in rarest if self._frequency(word) <= _COMMON * lines]
        kept = telling if telling and lines >= _FEW else rarest
        return Asked(
            weights={word: every[word] for word in kept},
            mass=math.fsum(every[each] for each in kept),
            rarest=_idf(1, lines + _PADDING),
            known=sum(self._frequency(word) > 0 for word in kept),
        )

    def search(self, asked: Asked, most: int) -> Hits:
        """The `most` best lines by BM25, as positive numbers."""
        self._write()
        if not asked.weights:
            return Hits(np.empty(0, np.int64), np.empty(0))
        rows = self._connection.execute(
            "SELECT rowid, rank FROM lines WHERE lines MATCH ? AND rowid > 0 ORDER BY rank LIMIT ?",
            (" OR ".join(f'"{word}"' for word in asked.weights), most),
        ).fetchall()
        return Hits(
            np.fromiter((seq for seq, _ in rows), np.int64, len(rows)),
            # FTS5 gives the negative, so that an ascending order is best first.
            np.fromiter((max(0.0, -rank) for _, rank in rows), np.float64, len(rows)),
        )

    def coverage(self, asked: Asked, seqs: Sequence[int]) -> dict[int, float]:
        """The share of the question's IDF that the words of each line make up, in [0, 1]."""
        covered = dict.fromkeys(seqs, 0.0)
        if not asked.mass:
            return covered
        for word, weight in asked.weights.items():
            for seq in self._having(word, seqs):
                covered[seq] += weight / asked.mass
        return covered

    def beginnings(self, seqs: Sequence[int]) -> dict[int, str]:
        """How these lines begin, with a space around each character of an unspaced script."""
        self._write()
        marks = ", ".join("?" * len(seqs))
        rows = self._connection.execute(
            f"SELECT rowid, substr(text, 1, {_LOOKED_AT}) FROM lines WHERE rowid IN ({marks})",
            tuple(seqs),
        )
        return dict(rows.fetchall())

    def _having(self, word: str, seqs: Sequence[int]) -> list[int]:
        if not seqs or not self._frequency(word):
            return []
        marks = ", ".join("?" * len(seqs))
        rows = self._connection.execute(
            f"SELECT rowid FROM lines WHERE lines MATCH ? AND rowid IN ({marks})",
            (f'"{word}"', *seqs),
        )
        return [row[0] for row in rows]

    def _idf(self, word: str) -> float:
        return _idf(self._frequency(word), len(self._seqs) + _PADDING)

    def _frequency(self, word: str) -> int:
        # Counting a frequent word takes milliseconds: what was counted holds while the number of
        # lines is about the same.
        if abs(len(self._seqs) - self._counted_at) > self._counted_at // 10:
            self._frequencies.clear()
            self._counted_at = len(self._seqs)
        found = self._frequencies.get(word)
        if found is None:
            (found,) = self._connection.execute(
                "SELECT count(*) FROM lines WHERE lines MATCH ? AND rowid > 0", (f'"{word}"',)
            ).fetchone()
            self._frequencies[word] = found
        return int(found)

    def _write(self) -> None:
        if not self._pending:
            return
        with self._connection:
            self._connection.executemany(
                "INSERT INTO lines (rowid, text) VALUES (?, ?)", self._pending.items()
            )
        self._pending.clear()

    @staticmethod
    def _opened() -> sqlite3.Connection:
        # The memory's lock sees to it that one thread at a time comes here.
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.execute(
            "CREATE VIRTUAL TABLE lines USING fts5(text, tokenize = 'porter unicode61')"
        )
        with connection:
            connection.executemany(
                "INSERT INTO lines (rowid, text) VALUES (?, ?)",
                ((-number, _NOTHING) for number in range(1, _PADDING + 1)),
            )
        return connection


def _idf(count: int, lines: int) -> float:
    """ln(1 + (n − f + ½) / (f + ½)) of a word that f of n lines have; never negative."""
    return math.log1p((lines - count + 0.5) / (count + 0.5))


def content_words(text: str) -> list[str]:
    """The different words of a question's beginning, small letters, without stop words, in order.

    Only letters and digits are left, so that no word is an operator or ends a quotation.
    """
    words = _WORD.findall(spaced(text[:_READ]).lower())
    return [word for word in dict.fromkeys(words) if word not in STOP_WORDS]


def spaced(text: str) -> str:
    """The text with a space around each character of a script that writes none."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)
