"""How lines are found: the protocol, and the plain search by key vectors; knows no ledger.

Whatever ranks lines implements `Recall`. A memory tells it of every record that comes into force
or leaves it, so that an index follows pops, rewinds and erasures without knowing of them.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from anima.errors import UsageError
from anima.memory.line import LINE, Line, Vector
from anima.memory.ranking import concert
from anima.memory.ranking.roll import Roll
from anima.memory.ranking.vectors import ExactIndex, VectorIndex, best

if TYPE_CHECKING:
    from anima.memory.ranking.reading import Readers

THOUGHT: Final = "thought"
"""The role of a line that the model thought on the way to an answer; no question finds such a one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What is looked for, by text, by vector `[d]` or by both.

    `now` is what ages are counted from. With `as_of`, lines said after it do not exist for the
    question, and closings after it do not count; without it everything counts, also lines whose
    clock was ahead. The lines `without` do not exist for it either. `readers` are the learned ones,
    see `reading`, where there are any.
    """

    text: str | None = None
    vector: Vector | None = None
    now: datetime
    as_of: datetime | None = None
    without: Collection[int] = ()
    readers: "Readers | None" = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """One line that was found, with every term of its score by name.

    `asked` is the number of the question that the line replies to, where it was found by that.
    """

    seq: int
    score: float
    terms: Mapping[str, float]
    asked: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The best lines, best first, and whether they answer at all.

    `confidence` is the raw quantity that abstention looks at, before any score is normalised:
    higher is surer. The lines are there whether `abstained` or not.
    """

    found: Sequence[Found]
    abstained: bool
    confidence: float


class Recall(Protocol):
    """What finds lines. A memory calls it under its lock, so it needs none of its own."""

    def add(self, line: Line) -> None:
        """A record came into force: a line, or one of another kind such as a closing."""
        ...

    def drop(self, seq: int) -> None:
        """A record that was added is no longer in force, or was erased."""
        ...

    def clear(self) -> None:
        """Everything is read again from the ledger."""
        ...

    def novelty(self, key: Vector) -> float:
        """1 − the greatest similarity of a key to one in force, 1 where there is none."""
        ...

    def search(self, question: Question, k: int) -> Answer:
        """The at most `k` best lines, best first; raises UsageError for what it cannot answer."""
        ...


class Encoder(Protocol):
    """Makes a key vector `[d]` of a text; None where it cannot, and words alone find the line."""

    def __call__(self, text: str) -> Vector | None: ...


@dataclass(kw_only=True)
class ExactRecall:
    """Ranks by the cosine to every key; equal scores: the newest first. Abstains where none is."""

    index: VectorIndex = field(default_factory=ExactIndex)
    _roll: Roll = field(default_factory=Roll)

    def add(self, line: Line) -> None:
        self._roll.add(line)
        if line.kind == LINE and line.role != THOUGHT and line.key is not None:
            self.index.add(line.seq, line.key)

    def drop(self, seq: int) -> None:
        self._roll.drop(seq)
        self.index.drop(seq)

    def clear(self) -> None:
        self._roll.clear()
        self.index.clear()

    def novelty(self, key: Vector) -> float:
        return novelty_among(self.index, key)

    def search(self, question: Question, k: int) -> Answer:
        if question.vector is None:
            raise UsageError(
                "A search by text needs an encoder, which this memory was opened without: give a "
                "vector, or open it with one."
            )
        there = self._roll.counts(question.as_of, question.without)
        seqs, similarities = self.index.near(question.vector)
        kept = there[seqs]
        seqs, similarities = seqs[kept], similarities[kept]
        scores = {int(seqs[at]): float(similarities[at]) for at in best(similarities, seqs, k)}
        ranked = self._roll.newest_first(scores, there, question.as_of)
        found = [
            Found(seq=seq, score=scores[seq], terms={"similarity": scores[seq]})
            for seq in itertools.islice((seq for seq in ranked if seq in scores), k)
        ]
        return Answer(found=found, abstained=not found, confidence=found[0].score if found else 0.0)


def novelty_among(index: VectorIndex, key: Vector) -> float:
    """1 − the greatest cosine of a key to one of an index, 1 where it holds none."""
    similarities = index.near(key, most=1).similarities
    return concert.novelty(float(similarities.max())) if similarities.size else 1.0
