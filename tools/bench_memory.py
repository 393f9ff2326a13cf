"""What the memory costs: puts, questions, opening, verifying, megabytes, beside the raw engine.

    python -m tools.bench --rows ledger [--lines N …]

Lines are a dozen words drawn by Zipf's law and a key of 384 numbers; nothing is encoded, so that no
encoder's time is in these figures. The raw engine is SQLite, FTS5 and numpy doing the same with no
chain, no checks and no lines made of what they give.
"""

import hashlib
import random
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anima.errors import UsageError
from anima.memory import Draft, Memory
from anima.memory.line import LINE, content_of, header_of
from anima.memory.ranking.faiss_index import FaissIndex, recall_of
from anima.memory.ranking.vectors import ExactIndex, VectorIndex
from tools.bench_table import Row, row, seconds

LINES = (1_000, 10_000, 100_000)
_WIDTH = 384
_INNER = 48
"""Dimensions in which keys really differ: those of sentences lie in few."""

_WORDS = 12
_VOCABULARY = 30_000
_AT_ONCE = 1_000
_QUESTIONS = 40
_PUTS = 50
_GRAPH = 20_000
"""Most keys of a graph: more take minutes to put into it."""

_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class Talk:
    """Made-up lines and questions, always the same for the same seed."""

    seed: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._generator = np.random.default_rng(self.seed)
        self._basis = self._generator.normal(size=(_INNER, _WIDTH)).astype(np.float32)
        # The first fifty ranks of English are words that no question is about.
        self._weights = np.cumsum([1.0 / (rank + 50) for rank in range(_VOCABULARY)]).tolist()
        self._vocabulary = [_word(number) for number in range(_VOCABULARY)]

    def text(self, words: int = _WORDS) -> str:
        return " ".join(self._chance.choices(self._vocabulary, cum_weights=self._weights, k=words))

    def key(self) -> "np.ndarray[Any, np.dtype[np.float32]]":
        inner = self._generator.normal(size=_INNER).astype(np.float32)
        return np.asarray(inner @ self._basis, np.float32)


def ledger_rows(lines: Sequence[int], repetitions: int) -> list[Row]:
    """Every figure at each number of lines."""
    rows: list[Row] = []
    for count in lines:
        with tempfile.TemporaryDirectory() as folder:
            rows += _of_size(Path(folder), count, repetitions)
    return rows


def _of_size(folder: Path, count: int, repetitions: int) -> list[Row]:
    talk, path = Talk(), folder / "memory.sqlite"
    with Memory.open(path, clock=_clock()) as memory:
        _fill(memory, talk, count)
        puts = [
            seconds(lambda: memory.put(talk.key(), talk.text(), {"session": "s", "turn": 1}))
            for _ in range(_PUTS)
        ]
    before = _resident()
    opened, asked, verified, megabytes = [], [], [], 0.0
    for repetition in range(min(3, repetitions)):
        start = time.perf_counter()
        # The key of a question is drawn, in some microseconds, where an encoder would make it.
        with Memory.open(path, clock=_clock(), encoder=lambda text: talk.key()) as memory:
            opened.append(time.perf_counter() - start)
            megabytes = max(megabytes, _resident() - before)
            if repetition == 0:
                memory.ask(talk.text(5))
                asked = [_asking(memory, talk) for _ in range(_QUESTIONS)]
                verified = [(count + _PUTS) / seconds(memory.verify)]
    raw_query = _raw_queries(Talk(), count)
    label = f"{count:,} lines"
    return [
        row(f"put, durable, {label}", "anima", [1e3 * each for each in puts], "ms"),
        row(f"put, durable, {label}", "raw engine", _raw_puts(folder), "ms"),
        *_quantiles(f"query, {label}", "anima", asked),
        *_quantiles(f"query, {label}", "raw engine", raw_query),
        row(f"open, {label}", "anima", opened, "s"),
        row(f"open, {label}", "raw engine", [_raw_read(path)], "s"),
        row(f"verify, {label}", "anima", verified, "lines/s"),
        row(f"memory while open, {label}", "anima", [megabytes], "MB"),
        *_faiss(count),
    ]


def _fill(memory: Memory, talk: Talk, count: int) -> None:
    for start in range(0, count, _AT_ONCE):
        moment = _START + timedelta(minutes=start)
        header = header_of(kind=LINE, role="user", timestamp=moment)
        # Not by `draft`: comparing each with all before it would take most of an hour.
        drafts = [
            Draft(
                header=header,
                content=content_of(
                    text=talk.text(),
                    context={"session": "s", "turn": 1},
                    key=talk.key(),
                    novelty=0.5,
                ),
            )
            for _ in range(min(_AT_ONCE, count - start))
        ]
        memory.commit(drafts)


def _asking(memory: Memory, talk: Talk) -> float:
    """Milliseconds of a question by text and vector, as a chat asks it."""
    text = talk.text(5)
    return 1e3 * seconds(lambda: memory.ask(text))


def _faiss(count: int) -> list[Row]:
    """The two kinds of FAISS index: milliseconds a search, and the share of the true five found."""
    talk = Talk(seed=1)
    keys = [talk.key() for _ in range(count)]
    exact: VectorIndex = ExactIndex()
    asked = [talk.key() for _ in range(_QUESTIONS)]
    try:
        found: dict[str, VectorIndex] = {"faiss flat": FaissIndex()}
        if count <= _GRAPH:
            found["faiss hnsw"] = FaissIndex("hnsw")
    except UsageError:  # it is an option
        return []
    rows = []
    for name, index in {"anima": exact, **found}.items():
        for seq, key in enumerate(keys, 1):
            index.add(seq, key)
        index.near(asked[0], 5)
        times = [1e3 * seconds(partial(index.near, at, 5)) for at in asked]
        rows += _quantiles(f"nearest keys, {count:,}", name, times)
        if name != "anima":
            rows.append(row(f"recall@5, {count:,}", name, [recall_of(index, exact, asked)], ""))
    return rows


def _raw_puts(folder: Path) -> list[float]:
    """Milliseconds of one insert of as many bytes, as durable."""
    connection = sqlite3.connect(folder / "raw.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE lines (seq INTEGER PRIMARY KEY, content BLOB)")
    content = bytes(4 * _WIDTH + 300)
    times = [
        1e3
        * seconds(lambda: connection.execute("INSERT INTO lines(content) VALUES (?)", (content,)))
        for _ in range(_PUTS)
    ]
    connection.close()
    return times


def _raw_queries(talk: Talk, count: int) -> list[float]:
    """Milliseconds of one product of matrix and vector and one search in FTS5."""
    texts = ((at, talk.text()) for at in range(1, count + 1))
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE lines USING fts5(text, tokenize='porter unicode61')")
    connection.executemany("INSERT INTO lines (rowid, text) VALUES (?, ?)", texts)
    keys = np.stack([talk.key() for _ in range(count)])

    def ask() -> None:
        words = " OR ".join(talk.text(5).split())
        connection.execute(
            "SELECT rowid, rank FROM lines WHERE lines MATCH ? ORDER BY rank LIMIT 5", (words,)
        ).fetchall()
        np.argpartition(keys @ talk.key(), -5)

    return [1e3 * seconds(ask) for _ in range(_QUESTIONS)]


def _raw_read(path: Path) -> float:
    """Seconds to read and hash every row, and nothing else."""
    connection = sqlite3.connect(path)

    def read() -> None:
        for header, content in connection.execute("SELECT header, content FROM entries"):
            hashlib.blake2b(header + content, digest_size=32)

    taken = seconds(read)
    connection.close()
    return taken


def _quantiles(what: str, whose: str, values: Sequence[float]) -> list[Row]:
    ordered = statistics.quantiles(values, n=10)
    return [
        row(f"{what}, p50", whose, values, "ms"),
        Row(
            what=f"{what}, p90", whose=whose, median=ordered[8], least=min(values),
            most=max(values), n=len(values), unit="ms",
        ),
    ]  # fmt: skip


def _word(number: int) -> str:
    """A pronounceable word for a number, so that stems are cut as English ones are."""
    letters: list[str] = []
    number += 400
    while number:
        number, consonant = divmod(number, 20)
        number, vowel = divmod(number, 5)
        letters += ["bcdfghjklmnpqrstvwxz"[consonant], "aeiou"[vowel]]
    return "".join(letters)


def _clock() -> Callable[[], datetime]:
    moments: Iterator[datetime] = (_START + timedelta(seconds=at) for at in range(10**9))
    return lambda: next(moments)


def _resident() -> float:
    """Megabytes that this process holds at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
