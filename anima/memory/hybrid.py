"""How lines are found by default: words and vectors together, or whichever there are; knows no ledger.

    score = .4 keywords + .6 nearness + .05 recency        each of the three in [0, 1]
    keywords = BM25 / max(greatest BM25, Σ idf)            a line that shares no word has 0
    nearness = (cosine − mean) / (greatest − mean)         the mean over all keys; below it 0
    recency = e^(−age / 6 h)                               breaks near-ties, no more

Σ idf, over the question's words, is about the BM25 of a line that has each of them once: where the
best line shares only a word or two, words count less than where it has them all. Where a question
has only words or only a vector, that part alone is the relevance.

Measured with MiniLM, an answer in the first five: on lives of 150 lines of chat (699 questions)
words 66 %, vectors 91 %, both 91 % (in the first ten 71, 97 and 98 %); on facts asked about in other
words among 476 lines (304) words 23 %, vectors 88 %, both 86 %, and 68 % as a plain mean without
Σ idf. On public conversations words find more than vectors do, so they keep this much weight. The
seed's formula, in which recency outweighs relevance, stays as `concert` "seed".

The gate: a reply is abstained from where no line stands out, see `standing_out`. From .3 on, 91 %
of the questions that have an answer are answered, and 28 % of those that have none are not (90 % in
memories of eight lines); AUROC .75.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anima.memory.concert import Concert, recency
from anima.memory.keywords import Asked, Hits, KeywordIndex
from anima.memory.line import LINE, Line, Vector
from anima.memory.recall import THOUGHT, Answer, Found, Question, novelty_among
from anima.memory.roll import Roll
from anima.memory.vectors import ExactIndex, Near, Numbers, Seqs, VectorIndex, best

Mask = NDArray[np.bool_]

_LOOKED_AT = 5
"""Lines whose words count for the confidence: an answer that comes further down helps nobody."""

_TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The numbers of the score; see the module.

    `keywords` is the weight of words beside vectors. `recency` is a weight and `tau` its seconds. `least_span` is the least range of cosines that is
    stretched to [0, 1], so that of a few lines that are all alike none becomes the best by noise.
    `pool` lines of each kind are candidates. `threshold` is the confidence below which nothing is
    an answer.
    """

    keywords: float = 0.4
    recency: float = 0.05
    tau: float = 6 * 3600.0
    least_span: float = 0.1
    pool: int = 1000
    threshold: float = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidates:
    """Lines that may answer and their raw scores, each `[n]`; NaN where a line has none."""

    seqs: Seqs
    bm25: Numbers
    similarity: Numbers
    background: float


@dataclass(kw_only=True)
class HybridRecall:
    """BM25 and cosine together; equal scores: the newest first. Works without keys, by words alone."""

    concert: Literal["default", "seed"] = "default"
    mixture: Mixture = field(default_factory=Mixture)
    seed: Concert = field(default_factory=Concert)
    index: VectorIndex = field(default_factory=ExactIndex)
    _keywords: KeywordIndex = field(default_factory=KeywordIndex)
    _roll: Roll = field(default_factory=Roll)

    def add(self, line: Line) -> None:
        self._roll.add(line)
        if line.kind != LINE or line.role == THOUGHT:
            return
        self._keywords.add(line.seq, line.text)
        if line.key is not None:
            self.index.add(line.seq, line.key)

    def drop(self, seq: int) -> None:
        self._roll.drop(seq)
        self._keywords.drop(seq)
        self.index.drop(seq)

    def clear(self) -> None:
        self._roll.clear()
        self._keywords.clear()
        self.index.clear()

    def novelty(self, key: Vector) -> float:
        return novelty_among(self.index, key)

    def search(self, question: Question, k: int) -> Answer:
        there = self._roll.counts(question.as_of, question.without)
        asked = self._keywords.asked(question.text or "")
        # The seed's formula can rank a line first that is neither near nor alike, only new.
        pool = max(k, len(self.index) if self.concert == "seed" else self.mixture.pool)
        candidates = self._candidates(question, asked, there, pool)
        if self.concert == "seed":
            kept, scores, terms = self._by_the_seed(question, candidates)
        else:
            kept, scores, terms = self._by_the_mixture(question, asked, candidates)
        found = self._found(candidates.seqs[kept], scores, terms, question, there, k)
        confidence = self._confidence(asked, candidates, found)
        return Answer(
            found=found,
            abstained=not found or confidence < self.mixture.threshold,
            confidence=confidence,
        )

    def _candidates(self, question: Question, asked: Asked, there: Mask, pool: int) -> _Candidates:
        hits = self._hits(asked, there, pool)
        if question.vector is None or not len(self.index):
            return _Candidates(
                seqs=hits.seqs,
                bm25=hits.scores,
                similarity=np.full(hits.seqs.size, np.nan),
                background=0.0,
            )
        near = self._near(question.vector, there, pool)
        only_words = np.setdiff1d(hits.seqs, near.seqs, assume_unique=True)
        seqs = np.concatenate([near.seqs, only_words])
        similarity = np.concatenate(
            [near.similarities, self.index.similarities(question.vector, only_words)]
        )
        order = np.argsort(seqs)
        bm25 = np.zeros(seqs.size)
        bm25[order[np.searchsorted(seqs[order], hits.seqs)]] = hits.scores
        return _Candidates(
            seqs=seqs,
            bm25=bm25,
            similarity=similarity,
            background=self.index.background(question.vector),
        )

    def _hits(self, asked: Asked, there: Mask, most: int) -> Hits:
        """The best lines by words, of those that are there."""
        while True:
            hits = self._keywords.search(asked, most)
            kept = there[hits.seqs]
            if hits.seqs.size < most or kept.sum() >= most // 2:
                return Hits(hits.seqs[kept], hits.scores[kept])
            # Most of the best were said later or hold no longer: look further down.
            most *= 4

    def _near(self, vector: Vector, there: Mask, most: int) -> Near:
        """The nearest lines, of those that are there."""
        near = self.index.near(vector, most)
        kept = there[near.seqs]
        if kept.sum() < most and near.seqs.size < len(self.index):
            near = self.index.near(vector)
            kept = there[near.seqs]
        seqs, similarities = near.seqs[kept], near.similarities[kept]
        if seqs.size > most:
            nearest = np.argpartition(similarities, seqs.size - most)[-most:]
            seqs, similarities = seqs[nearest], similarities[nearest]
        return Near(seqs, similarities)

    def _by_the_mixture(
        self, question: Question, asked: Asked, candidates: _Candidates
    ) -> tuple[Mask, Numbers, Mapping[str, Numbers]]:
        mixture = self.mixture
        parts: dict[str, Numbers] = {}
        terms: dict[str, Numbers] = {}
        if candidates.bm25.any():
            terms["bm25"] = candidates.bm25
            parts["keywords"] = relative(candidates.bm25, 0.0, asked.mass)
        if not np.isnan(candidates.similarity).all():
            terms["similarity"] = candidates.similarity
            parts["nearness"] = relative(
                candidates.similarity, candidates.background, mixture.least_span
            )
        recent = recency(
            question.now.timestamp() - self._roll.times[candidates.seqs], tau=mixture.tau
        )
        relevance = self._relevance(parts, candidates.seqs.size)
        terms |= parts | {"recency": recent, "novelty": self._roll.novelties[candidates.seqs]}
        kept = np.ones(candidates.seqs.size, np.bool_)
        return kept, relevance + mixture.recency * recent, terms

    def _relevance(self, parts: Mapping[str, Numbers], count: int) -> Numbers:
        """The parts `[n]` by their weights; one alone is all of it."""
        if len(parts) < 2:
            return sum(parts.values(), np.zeros(count))
        words = self.mixture.keywords
        return words * parts["keywords"] + (1.0 - words) * parts["nearness"]

    def _by_the_seed(
        self, question: Question, candidates: _Candidates
    ) -> tuple[Mask, Numbers, Mapping[str, Numbers]]:
        """The seed's formula; where there is no vector, the words stand in for the cosine."""
        similarity = candidates.similarity
        if np.isnan(similarity).all():
            similarity = relative(candidates.bm25, 0.0, 0.0)
        kept = np.nan_to_num(similarity, nan=-1.0) >= self.seed.floor
        seqs = candidates.seqs[kept]
        recent = recency(question.now.timestamp() - self._roll.times[seqs], tau=self.seed.tau)
        novelties = self._roll.novelties[seqs]
        terms = {"recency": recent, "similarity": similarity[kept], "novelty": novelties}
        return kept, self.seed.weigh(recent, similarity[kept], novelties), terms

    def _found(
        self,
        seqs: Seqs,
        scores: Numbers,
        terms: Mapping[str, Numbers],
        question: Question,
        there: Mask,
        k: int,
    ) -> list[Found]:
        """The `k` best, each below what had replaced a part of it."""
        ranked = seqs[best(scores, seqs, k)].tolist()
        lifted = self._roll.newest_first(ranked, there, question.as_of)
        chosen = list(itertools.islice(lifted, k))
        places = {int(seqs[at]): at for at in np.flatnonzero(np.isin(seqs, chosen))}
        found: list[Found] = []
        least = 0.0
        for seq in reversed(chosen):
            at = places.get(seq)
            own = {} if at is None else {name: float(each[at]) for name, each in terms.items()}
            # What was lifted above a line has at least its score.
            least = max(least, least if at is None else float(scores[at]))
            found.append(Found(seq=seq, score=least, terms=without_nan(own)))
        return found[::-1]

    def _confidence(self, asked: Asked, candidates: _Candidates, found: Sequence[Found]) -> float:
        """How far the nearest line stands out; without vectors, what its words cover."""
        if not found:
            return 0.0
        if np.isnan(candidates.similarity).all():
            seqs = [each.seq for each in found[:_LOOKED_AT]]
            return max(self._keywords.coverage(asked, seqs).values())
        nearest = float(np.nanmax(candidates.similarity))
        return standing_out(nearest, candidates.background, len(self.index))


def standing_out(nearest: float, mean: float, count: int) -> float:
    """(s − m) / (1 − m) of the greatest cosine s, m the mean of the other `count` − 1, 0 for none.

    So it means the same for encoders of which any two texts are far apart, and of which they are
    near, and in a memory of three lines as of ten thousand.
    """
    others = 0.0 if count <= 1 else (count * mean - nearest) / (count - 1)
    return (nearest - others) / max(1.0 - others, _TINY)


def relative(values: Numbers, low: float, least: float) -> Numbers:
    """Where each value `[n]` lies from `low` (0) to the greatest (1), over a range of at least `least`.

    What is below `low`, and NaN, is 0.
    """
    span = max(float(np.nanmax(values, initial=low)) - low, least)
    if span <= 0:
        return np.zeros(values.size)
    inside: Numbers = np.clip((np.nan_to_num(values, nan=low) - low) / span, 0.0, 1.0)
    return inside


def without_nan(terms: Mapping[str, float]) -> Mapping[str, float]:
    """The terms that a line has."""
    return {name: value for name, value in terms.items() if not math.isnan(value)}
