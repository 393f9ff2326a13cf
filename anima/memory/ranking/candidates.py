"""Which lines may answer a question, by their words, their keys and what they reply to; weighs nothing."""

import math
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from anima.memory.line import LINE, MERGE, Line, Vector
from anima.memory.ranking.keywords import Asked, Hits, KeywordIndex
from anima.memory.ranking.manner import asked_of_oneself
from anima.memory.ranking.recall import THOUGHT, Question
from anima.memory.ranking.roll import Roll
from anima.memory.ranking.vectors import ExactIndex, Near, Numbers, Seqs, VectorIndex

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Lines that may answer and their raw scores, each `[n]`; NaN where a line has none.

    `asked` is the place of the question that a line replies to, −1 for none; `mean` is the mean
    cosine of the question to all keys, 0 where it has no vector.
    """

    seqs: Seqs
    asked: NDArray[np.intp]
    bm25: Numbers
    similarity: Numbers
    mean: float


@dataclass(kw_only=True)
class Indexes:
    """Every line by its words, its key and its number; told of every record, as a recall is."""

    keys: VectorIndex = field(default_factory=ExactIndex)
    words: KeywordIndex = field(default_factory=KeywordIndex)
    roll: Roll = field(default_factory=Roll)
    _merged: dict[int, tuple[int, float]] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        if line.kind == LINE and line.role == THOUGHT:
            return
        self.roll.add(line)
        if line.kind == MERGE:
            self._merged[line.seq] = line.header.target, line.timestamp.timestamp()
            self.words.add(line.seq, line.text)
        if line.kind != LINE:
            return
        self.words.add(line.seq, line.text)
        if line.key is not None:
            self.keys.add(line.seq, line.key)

    def drop(self, seq: int) -> None:
        self.roll.drop(seq)
        self._merged.pop(seq, None)
        self.words.drop(seq)
        self.keys.drop(seq)

    def clear(self) -> None:
        self.roll.clear()
        self._merged.clear()
        self.words.clear()
        self.keys.clear()

    def candidates(self, question: Question, asked: Asked, there: Mask, pool: int) -> Candidates:
        """The `pool` best by words and by vector of the lines that are `there`, and what replies to them."""
        hits = self._hits(asked, there, pool, question.as_of)
        near = Near.none()
        if question.vector is not None:
            near = self._near(question.vector, there, pool)
        seqs, places = self._with_replies(question, there, hits.seqs, near.seqs)
        bm25, similarity = np.zeros(seqs.size), np.full(seqs.size, np.nan)
        bm25[np.searchsorted(seqs, hits.seqs)] = hits.scores
        similarity[np.searchsorted(seqs, near.seqs)] = near.similarities
        mean = 0.0
        if question.vector is not None:
            rest = np.isnan(similarity)
            similarity[rest] = self.keys.similarities(question.vector, seqs[rest])
            mean = self.keys.background(question.vector)
        return Candidates(seqs=seqs, asked=places, bm25=bm25, similarity=similarity, mean=mean)

    def _with_replies(
        self, question: Question, there: Mask, by_words: Seqs, by_vector: Seqs
    ) -> tuple[Seqs, NDArray[np.intp]]:
        """All that was found and what replies to it, and the place of the question of each reply.

        Of themselves the user is the one to tell: to a question about its speaker no other replies.
        """
        taken = np.zeros(there.size, np.bool_)
        taken[by_words] = taken[by_vector] = True
        replies, questions = self.roll.replies()
        found = there[replies] & taken[questions]
        if question.text is not None and asked_of_oneself(question.text):
            found &= self.roll.by_user[replies]
        taken[replies[found]] = True
        seqs = np.flatnonzero(taken)
        places = np.full(seqs.size, -1)
        places[np.searchsorted(seqs, replies[found])] = np.searchsorted(seqs, questions[found])
        return seqs, places

    def _hits(self, asked: Asked, there: Mask, most: int, as_of: datetime | None) -> Hits:
        """The best lines by words, of those that are there."""
        while True:
            hits = self.words.search(asked, most)
            seqs = self._said_again(hits.seqs, as_of)
            kept = there[seqs]
            if hits.seqs.size < most or kept.sum() >= most // 2:
                return _once(seqs[kept], hits.scores[kept])
            # Most of the best were said later or hold no longer: look further down.
            most *= 4

    def _said_again(self, seqs: Seqs, as_of: datetime | None) -> Seqs:
        """With each merge as the line into which it was merged, one that came later as none, 0."""
        if not self._merged:
            return seqs
        when = math.inf if as_of is None else as_of.timestamp()
        places = [self._merged.get(seq, (seq, -math.inf)) for seq in seqs.tolist()]
        found = [target if said <= when else 0 for target, said in places]
        return np.array(found, np.int64)

    def _near(self, vector: Vector, there: Mask, most: int) -> Near:
        """The nearest lines, of those that are there."""
        near = self.keys.near(vector, most)
        kept = there[near.seqs]
        if kept.sum() < most and near.seqs.size < len(self.keys):
            near = self.keys.near(vector)
            kept = there[near.seqs]
        seqs, similarities = near.seqs[kept], near.similarities[kept]
        if seqs.size > most:
            nearest = np.argpartition(similarities, seqs.size - most)[-most:]
            seqs, similarities = seqs[nearest], similarities[nearest]
        return Near(seqs, similarities)


def _once(seqs: Seqs, scores: Numbers) -> Hits:
    """Each line once, with the greatest of its scores; the best come first, before and after."""
    first = np.sort(np.unique(seqs, return_index=True)[1])
    return Hits(seqs[first], scores[first])
