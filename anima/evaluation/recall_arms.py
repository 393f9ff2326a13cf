"""The ways of finding lines that are compared; knows nothing of which answers are right.

The plain ones rank the lines as they were said. Those of the memory go through `Memory` itself, on
a ledger of their own: everything appended as it was said, also without the questions that lines
reply to, or each line sent through race and trace.
"""

import contextlib
import random
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy
from numpy.typing import NDArray

from anima.encoding import Encoder
from anima.evaluation.recall_life import Said
from anima.memory.api import Hit, Memory
from anima.memory.line import LINE
from anima.memory.ranking import concert
from anima.memory.ranking.hybrid import HybridRecall, Mixture
from anima.memory.ranking.keywords import KeywordIndex

RANDOM, RECENCY, KEYWORDS, VECTORS, FUSED, SEED, ALONE, APPENDED, OURS = (
    "random", "recency only", "BM25 only", "vectors only", "RRF", "seed's concert",
    "ours, append only, each line alone", "ours, append only", "ours",
)  # fmt: skip
WITHOUT_VECTORS = (RANDOM, RECENCY, KEYWORDS)
WITH_VECTORS = (VECTORS, FUSED, SEED, ALONE, APPENDED, OURS)

_K = 60.0
"""Reciprocal rank fusion: Σ 1 / (60 + rank) (Cormack et al. 2009)."""

Vectors = NDArray[numpy.float32]
Numbers = NDArray[numpy.float64]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The ids of the lines that were found, best first; `abstained` is None without a gate.

    `merged` holds the ids of what was merged into a line, by its id.
    """

    ids: tuple[int, ...]
    confidence: float
    abstained: bool | None = None
    merged: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


class Remembered(Protocol):
    """Lines that were taken in, ready to be asked."""

    def ask(self, text: str, *, now: datetime, k: int) -> Ranking:
        """The `k` best lines for a question at this time; what was said later does not exist."""
        ...


class Letters:
    """Counts of words and of three letters in a row, hashed into 512 numbers: needs no model.

    It knows no meaning. It stands in for an encoder where only the machinery is tried.
    """

    name = "letters"
    width = 512

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors `[n, 512]`."""
        found = numpy.zeros((len(texts), self.width), numpy.float32)
        for row, text in zip(found, texts, strict=True):
            for word in text.lower().split():
                padded = f" {word.strip('.,!?;:')} "
                pieces = [padded[at : at + 3] for at in range(len(padded) - 2)]
                for piece in (padded, *pieces):
                    row[zlib.crc32(piece.encode()) % self.width] += 1.0
            row /= max(float(numpy.linalg.norm(row)), 1e-9)
        return found


class Kept:
    """An encoder that encodes a text once for all arms, while not too many are kept."""

    def __init__(self, encoder: Encoder, *, most: int = 20_000) -> None:
        self.name = encoder.name
        self.width = encoder.width
        self._encoder = encoder
        self._most = most
        self._known: dict[str, Vectors] = {}
        self.states = getattr(encoder, "states", None)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors `[n, e]`."""
        if len(self._known) + len(texts) > self._most:
            self._known.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._encoder.encode(new), strict=True))
        return numpy.stack([self._known[text] for text in texts])

    def __call__(self, text: str) -> Vectors:
        """The vector `[e]` of one text, as a memory asks for it."""
        return numpy.asarray(self.encode([text])[0])


@contextlib.contextmanager
def remembered(
    arm: str, lines: Sequence[Said], encoder: Kept | None, *, seed: int
) -> Iterator[Remembered]:
    """Lines taken in by an arm, until the end; those of the memory with what they decided."""
    if encoder is not None:
        encoder.encode([line.text for line in lines])
    if arm in (ALONE, APPENDED, OURS):
        mixture = Mixture(asked=0.0) if arm == ALONE else Mixture()
        with remembering(lines, encoder, race=arm == OURS, mixture=mixture) as found:
            yield found
        return
    yield Plain(arm=arm, lines=lines, encoder=encoder, seed=seed)


@dataclass(kw_only=True)
class Plain:
    """Ranks all lines that were said by then, by one formula; equal ones: the newest first."""

    arm: str
    lines: Sequence[Said]
    encoder: Kept | None
    seed: int
    _index: KeywordIndex = field(default_factory=KeywordIndex)

    def __post_init__(self) -> None:
        self._times = numpy.array([line.when.timestamp() for line in self.lines])
        for at, line in enumerate(self.lines):
            self._index.add(at + 1, line.text)  # numbers of lines begin at 1
        self._units = (
            numpy.zeros((len(self.lines), 1), numpy.float32)
            if self.encoder is None
            else self.encoder.encode([line.text for line in self.lines])
        )
        likeness = numpy.tril(self._units @ self._units.T, -1).astype(float)
        self._novelty = 1.0 - likeness.max(axis=1, initial=0.0)

    def ask(self, text: str, *, now: datetime, k: int) -> Ranking:
        scores = self._scores(text, now)
        there = numpy.flatnonzero((self._times <= now.timestamp()) & numpy.isfinite(scores))
        order = there[numpy.lexsort((-self._times[there], -scores[there]))][:k]
        best = float(scores[order[0]]) if order.size else 0.0
        return Ranking(ids=tuple(self.lines[at].id for at in order), confidence=best)

    def _scores(self, text: str, now: datetime) -> Numbers:
        if self.arm == RANDOM:
            drawn = random.Random(f"{self.seed} {text} {now}")
            return numpy.array([drawn.random() for _ in self.lines])
        if self.arm == RECENCY:
            return self._times.copy()
        if self.arm == KEYWORDS:
            return self._bm25(text)
        cosines = self._cosines(text)
        if self.arm == FUSED:
            return _fused(self._bm25(text)) + _fused(cosines)
        if self.arm == SEED:
            return self._by_the_seed(cosines, now)
        return cosines

    def _bm25(self, text: str) -> Numbers:
        """−∞ for a line that shares no word."""
        found = self._index.search(self._index.asked(text), len(self.lines))
        scores = numpy.full(len(self.lines), -numpy.inf)
        scores[found.seqs - 1] = found.scores
        return scores

    def _cosines(self, text: str) -> Numbers:
        assert self.encoder is not None
        return (self._units @ self.encoder(text)).astype(float)

    def _by_the_seed(self, cosines: Numbers, now: datetime) -> Numbers:
        weights = concert.Concert()
        recent = concert.recency(now.timestamp() - self._times, tau=weights.tau)
        scores = weights.weigh(recent, cosines, self._novelty)
        return numpy.where(cosines >= weights.floor, scores, -numpy.inf)


def _fused(scores: Numbers) -> Numbers:
    """1 / (60 + rank) of each score, 0 for what was not found."""
    order = numpy.argsort(-scores, kind="stable")
    found = numpy.zeros(scores.size)
    found[order] = 1.0 / (_K + 1.0 + numpy.arange(scores.size))
    return numpy.where(numpy.isfinite(scores), found, 0.0)


@dataclass(kw_only=True)
class Remembering:
    """A memory that took lines in; `places` are the ids of its lines by their number."""

    memory: Memory
    places: Mapping[int, int]
    decisions: Sequence[Any] = ()

    def ask(self, text: str, *, now: datetime, k: int) -> Ranking:
        reply = self.memory.ask(text, k, at=now)
        return Ranking(
            ids=tuple(self.places[hit.line.seq] for hit in reply.hits),
            confidence=reply.confidence,
            abstained=reply.abstained,
            merged={
                self.places[hit.line.seq]: tuple(_merged_ids(hit))
                for hit in reply.hits
                if hit.merged
            },
        )

    def hold(self, when: datetime) -> frozenset[int]:
        """The ids of the lines that hold at a time."""
        return frozenset(self.places[line.seq] for line in self.memory.as_of(when))


def _merged_ids(hit: Hit) -> Iterator[int]:
    """The ids that the lines merged into a hit came with."""
    for line in hit.merged:
        came_with = line.context["context"]
        assert isinstance(came_with, Mapping)
        number = came_with["id"]
        assert isinstance(number, int)
        yield number


@contextlib.contextmanager
def remembering(
    lines: Sequence[Said], encoder: Kept | None, *, race: bool, mixture: Mixture | None = None
) -> Iterator[Remembering]:
    """A memory on a ledger of its own that took lines in one after the other, as they arrived."""
    end = max((line.when for line in lines), default=None)
    with tempfile.TemporaryDirectory(prefix="anima-recall-") as folder:
        memory = Memory.open(
            Path(folder) / "memory.sqlite",
            clock=lambda: end or datetime.now().astimezone(),
            recall=HybridRecall(mixture=mixture or Mixture()),
            encoder=encoder,
        )
        with memory:
            yield (_raced if race else _appended)(memory, lines)


def _appended(memory: Memory, lines: Sequence[Said]) -> Remembering:
    drafts = [
        memory.draft(
            None,
            line.text,
            {"id": line.id},
            role=line.role,
            timestamp=line.when,
            valence=line.valence,
        )
        for line in lines
    ]
    written = memory.commit(drafts)
    return Remembering(
        memory=memory,
        places={each.seq: line.id for each, line in zip(written, lines, strict=True)},
    )


def _raced(memory: Memory, lines: Sequence[Said]) -> Remembering:
    from anima.memory.claims.race import Said as Sent

    places, decisions = {}, []
    for line in lines:
        sent = Sent(
            text=line.text,
            role=line.role,
            timestamp=line.when,
            context={"id": line.id},
            valence=line.valence,
        )
        (decision,) = memory.race([sent])
        decisions.append(decision)
        if decision.line is not None and decision.line.kind == LINE:
            places[decision.line.seq] = line.id
    return Remembering(memory=memory, places=places, decisions=decisions)
