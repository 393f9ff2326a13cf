"""What is asked of a memory: query, bias, peek; changes nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from anima.errors import UsageError
from anima.memory.arguments import require_natural
from anima.memory.core import Core
from anima.memory.line import Line, Vector, vector_of
from anima.memory.ranking import concert
from anima.memory.ranking.reading import readers_for
from anima.memory.ranking.recall import Found, Question


@dataclass(frozen=True, kw_only=True, eq=False)
class Hit:
    """A line that a query found, with its score and, where asked for, the terms it came from."""

    line: Line
    score: float
    terms: Mapping[str, float] | None
    merged: Sequence[Line] = ()
    """The records of what was said again and merged into the line, oldest first."""
    asked: Line | None = None
    """The question that the line replies to, where it was found by that rather than by itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reply:
    """The best lines, and whether they answer: see `recall.Answer`."""

    hits: Sequence[Hit]
    abstained: bool
    confidence: float


class Asking(Core):
    """The part of a memory that answers."""

    def query(
        self, question: object, k: int = 5, *, explain: bool = False, at: datetime | None = None
    ) -> Sequence[Hit]:
        """The hits of `ask`, whether it abstained or not."""
        return self.ask(question, k, explain=explain, at=at).hits

    def ask(
        self,
        question: object,
        k: int = 5,
        *,
        explain: bool = False,
        at: datetime | None = None,
        without: Collection[int] = (),
    ) -> Reply:
        """The at most `k` lines that answer best, best first, by a vector `[d]` or a text.

        `at` stands for now: what was said or closed after it does not count. The lines `without`
        do not exist for the question. `explain` returns every term of each score. Raises UsageError
        for what is no question.
        """
        require_natural("k", k, least=1)
        with self._locked():
            asked = replace(self._question(question, at), without=without)
            answer = self._recall.search(asked, k)
            return Reply(
                hits=[self._hit(each, at, explain=explain) for each in answer.found],
                abstained=answer.abstained,
                confidence=answer.confidence,
            )

    def bias_vector(self, question: object, k: int = 5) -> Vector:
        """Σ w·v / Σ w over the values `[d]` of the `k` lines that answer best, w their scores.

        Zero where no line that answers has a value. With the recall's "seed" ranking this is the
        seed's formula.
        """
        with self._locked():
            hits = [hit for hit in self.query(question, k) if hit.line.value is not None]
            width = self._standing.widths.value
            if not hits or width is None:
                return np.zeros(width or 0, np.float32)
            values = np.stack([hit.line.value for hit in hits if hit.line.value is not None])
            return concert.blend(np.array([hit.score for hit in hits]), values)

    def _hit(self, found: Found, at: datetime | None, *, explain: bool) -> Hit:
        merges = [self._existing(each) for each in self._standing.intervals.merged_into(found.seq)]
        return Hit(
            line=self._existing(found.seq),
            score=found.score,
            terms=dict(found.terms) if explain else None,
            merged=[each for each in merges if at is None or each.timestamp <= at],
            asked=None if found.asked is None else self._existing(found.asked),
        )

    def _question(self, question: object, at: datetime | None) -> Question:
        now = self._clock() if at is None else at
        if not isinstance(question, str):
            given = vector_of(question, "question", directed=True)
            return Question(vector=given, now=now, as_of=at)
        if not question.strip():
            raise UsageError("The question is empty: give some text or a vector.")
        vector = None if self._encoder is None else self._key(None, question)
        if self._readers is None and vector is not None:
            self._readers = readers_for(self._encoder)
        return Question(text=question, vector=vector, now=now, as_of=at, readers=self._readers)
