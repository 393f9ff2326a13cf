"""How lines are found by default: words and vectors together, or whichever there are; knows no ledger.

    score = own + ½ asked + .05 recency + manner + answers + newer
    own = w keywords + (1 − w) nearness
    keywords = BM25 / greatest BM25                        a line that shares no word has 0
    nearness = (cosine − mean) / (greatest − mean)         the mean over all keys; below it 0
    recency = e^(−age / 6 h)                               breaks near-ties, no more
    w = ⅔ logistic(.65 (n − 2.5) + 1.5 (t − 1))

n is how many words of the question some line has, t how many words that only one line has the best
line by words amounts to: words count where much of the question is known and one line has telling
words of it; where not, the vectors decide. Where a question has only words or only a vector, that
part alone is the relevance. `asked` is the `own` of the question that a line replies to, see
`Roll.replies`: “Bo, he is three” is found by “What is your dog called?” right before it. `manner` and
`newer` come of a closer look at the best lines by a text, see `looking`; a question in words about the
past also finds what no longer holds, the older above the newer. Where learned readers are given, the
best lines of a question are read beside it: `answers`, and `newer` then, are theirs, see `reading`;
the figures here are without them.

Measured with MiniLM, nothing closed. On twenty lives of 150 lines, the half to tune on (720
questions), the answer is first for 63 % and in the first five for 94 %; by vectors alone for 45 and
90 %, by words alone for 16 and 41 %, and what is outdated comes above what holds for 24 %, by vectors
alone for 60 %. On LoCoMo (1,534 questions, five of its ten conversations to tune on) evidence is in
the first five for 65 % [62, 68], every line by itself for 60, by words alone for 58, by vectors alone
for 42. The seed's formula, in which recency outweighs relevance, stays as `concert` "seed".

In a small memory the mean over all keys says little of what is unrelated, the more so where all of
it is about one thing: it counts as if 20 lines more were there, as near as unrelated texts are.

The gate: a reply is abstained from where no line that could answer stands out, see `standing_out`.
From .23 on, 96 % of the questions of forty such lives that have an answer are answered and 34 % of those
that have none are not, AUROC .86 (.78 where any line counts); with race and trace 92 and 40 %, .82.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anima.memory.line import Line, Vector
from anima.memory.ranking.answering import READ
from anima.memory.ranking.candidates import Candidates, Indexes
from anima.memory.ranking.concert import Concert, recency
from anima.memory.ranking.keywords import Asked
from anima.memory.ranking.looking import Look, Looking, look, may_replace
from anima.memory.ranking.manner import (
    Time,
    asked_of_the_listener,
    time_asked,
)
from anima.memory.ranking.reading import can_be_read, confidence
from anima.memory.ranking.recall import Answer, Found, Question, novelty_among
from anima.memory.ranking.vectors import ExactIndex, Numbers, Seqs, VectorIndex, best

Mask = NDArray[np.bool_]

_LOOKED_AT = 5
"""Lines whose words count for the confidence: an answer that comes further down helps nobody."""

_PER_WORD, _PER_TELLING = 0.65, 1.5

_TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The numbers of the score; see the module.

    `keywords` is the greatest weight of words beside vectors; it has half of it with `words` words
    of the question that some line has, and `telling` of those that only one has, in one line.
    `recency` is a weight and `tau` its seconds. `least_span` is the least range of cosines that is
    stretched to [0, 1], so that of a few lines that are all alike none becomes the best by noise.
    `unrelated` is the mean cosine of a question to lines that have nothing to do with it, by the
    encoder at hand (MiniLM: ten questions, 400 lines of chat), `supposed` how many such lines are
    supposed beside those there are. `pool` lines of each kind are candidates. `asked` is the weight of
    the question that a line replies to. `threshold` is the confidence below which nothing is an answer.
    """

    keywords: float = 2 / 3
    words: float = 2.5
    telling: float = 1.0
    recency: float = 0.05
    tau: float = 6 * 3600.0
    least_span: float = 0.1
    unrelated: float = 0.06
    supposed: int = 20
    pool: int = 1000
    asked: float = 0.5
    threshold: float = 0.23

    def share(self, words: int, telling: float) -> float:
        """The weight of words, where lines have so many of a question and the best one so telling ones."""
        says = _PER_WORD * (words - self.words) + _PER_TELLING * (telling - self.telling)
        return self.keywords / (1.0 + math.exp(-says))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ranked:
    """Lines with scores and terms, each `[n]`, and which of all candidates may answer.

    `asked` are the numbers of the questions by which lines were found, by the lines' own. `surest` is
    the chance that some line answers, where the learned readers were asked.
    """

    seqs: Seqs
    scores: Numbers
    terms: Mapping[str, Numbers]
    fits: Mask
    asked: Mapping[int, int] = field(default_factory=dict)
    surest: float | None = None


@dataclass(kw_only=True)
class HybridRecall:
    """BM25 and cosine together; equal scores: the newest first. Works without keys, by words alone."""

    concert: Literal["default", "seed"] = "default"
    mixture: Mixture = field(default_factory=Mixture)
    seed: Concert = field(default_factory=Concert)
    looking: Looking = field(default_factory=Looking)
    index: VectorIndex = field(default_factory=ExactIndex)
    _indexes: Indexes = field(init=False)

    def __post_init__(self) -> None:
        self._indexes = Indexes(keys=self.index)

    def add(self, line: Line) -> None:
        self._indexes.add(line)

    def drop(self, seq: int) -> None:
        self._indexes.drop(seq)

    def clear(self) -> None:
        self._indexes.clear()

    def novelty(self, key: Vector) -> float:
        return novelty_among(self.index, key)

    def search(self, question: Question, k: int) -> Answer:
        time = self._time(question)
        there = self._indexes.roll.counts(question.as_of, question.without, closed=time == "before")
        asked = self._indexes.words.asked(question.text or "")
        # The seed's formula can rank a line first that is neither near nor alike, only new.
        pool = max(k, len(self.index) if self.concert == "seed" else self.mixture.pool)
        candidates = self._indexes.candidates(question, asked, there, pool)
        if self.concert == "seed":
            ranked = self._by_the_seed(question, candidates)
        else:
            ranked = self._by_the_mixture(question, asked, candidates, time)
        order = None if time == "before" else there
        found = self._found(ranked, question.as_of, order, k)
        confidence = self._confidence(asked, candidates, ranked, found)
        return Answer(
            found=found,
            abstained=not found or confidence < self.mixture.threshold,
            confidence=confidence,
        )

    def _time(self, question: Question) -> Time:
        if question.text is None or self.concert == "seed":
            return "now"
        return time_asked(question.text)

    def _background(self, candidates: Candidates) -> float:
        """The mean cosine of a question to all keys and to those supposed beside them."""
        there, supposed = len(self.index), self.mixture.supposed
        total = there * candidates.mean + supposed * self.mixture.unrelated
        return total / (there + supposed)

    def _by_the_mixture(
        self, question: Question, asked: Asked, candidates: Candidates, time: Time
    ) -> _Ranked:
        mixture, seqs = self.mixture, candidates.seqs
        recent = recency(question.now.timestamp() - self._indexes.roll.times[seqs], tau=mixture.tau)
        own, terms = self._relevance(asked, candidates)
        of_question = np.where(candidates.asked < 0, 0.0, own[candidates.asked])
        terms |= {
            "asked": mixture.asked * of_question,
            "recency": recent,
            "novelty": self._indexes.roll.novelties[seqs],
        }
        scores = own + terms["asked"] + mixture.recency * recent
        fits, surest = np.ones(seqs.size, np.bool_), None
        if question.text is not None:
            at = best(scores, seqs, self.looking.most)
            seen = self._seen(question.text, time, candidates, at)
            fits[at] = seen.fits
            _added(terms, "manner", scores, at, self.looking.cost(seen))
            first = best(scores[at], seqs[at], self.looking.compared)
            looks, first = seen.only(first), at[first]
            surest = self._answering(question, candidates, terms, scores, first, looks)
            if surest is None:
                moved = self._moved(asked, seqs[first], scores[first], looks)
                _added(terms, "newer", scores, first, moved)
        by_question = np.flatnonzero((of_question > 0) & (of_question >= own))
        asked_by = dict(
            zip(
                seqs[by_question].tolist(),
                seqs[candidates.asked[by_question]].tolist(),
                strict=True,
            )
        )
        return _Ranked(
            seqs=seqs, scores=scores, terms=terms, fits=fits, asked=asked_by, surest=surest
        )

    def _answering(
        self,
        question: Question,
        candidates: Candidates,
        terms: dict[str, Numbers],
        scores: Numbers,
        at: NDArray[np.intp],
        seen: Look,
    ) -> float | None:
        """Let the lines at these places gain by what they tell and move by their age, as they are read.

        The chance that some line answers; None where no learned reader is asked.
        """
        text, readers = question.text, question.readers
        if readers is None or text is None or question.vector is None or not can_be_read(text):
            return None
        at, seen = at[:READ], seen.only(np.arange(min(at.size, READ)))
        seqs, asked, near = candidates.seqs, candidates.asked[at], candidates.similarity
        # What replies to a question is read behind it, and is as near as it is.
        said_to = np.where(asked < 0, 0, seqs[asked])
        texts = self._indexes.words.beginnings([*seqs[at].tolist(), *said_to[said_to > 0].tolist()])
        read = readers.read(
            text,
            [
                f"{texts.get(one, '')} {texts.get(seq, '')}".strip()
                for one, seq in zip(said_to.tolist(), seqs[at].tolist(), strict=True)
            ],
            near=np.fmax(near[at], np.where(asked < 0, np.nan, near[asked]))
            - self._background(candidates),
            keys=self.index.keys(seqs[at]),
            times=self._indexes.roll.times[seqs[at]],
        )
        _added(terms, "answers", scores, at, read.answers)
        may = may_replace(seen, self._indexes.roll.times[seqs[at]], self.index.keys(seqs[at]))
        _added(terms, "newer", scores, at, read.moved(scores[at], may, seen.time))
        return read.surest(seen.fits)

    def _seen(self, text: str, time: Time, candidates: Candidates, at: NDArray[np.intp]) -> Look:
        """How the lines at these places speak; what a user replies to a "you" is of the user."""
        seqs, asked = candidates.seqs[at], candidates.asked[at]
        questions = candidates.seqs[asked[asked >= 0]]
        texts = self._indexes.words.beginnings([*seqs.tolist(), *questions.tolist()])
        seen = look(
            text,
            time,
            [texts.get(seq, "") for seq in seqs.tolist()],
            self._indexes.roll.by_user[seqs],
        )
        of_user = np.zeros(at.size, np.bool_)
        of_user[asked >= 0] = [
            asked_of_the_listener(texts.get(seq, "")) for seq in questions.tolist()
        ]
        return replace(seen, foreign=seen.foreign & ~(of_user & self._indexes.roll.by_user[seqs]))

    def _relevance(
        self, asked: Asked, candidates: Candidates
    ) -> tuple[Numbers, dict[str, Numbers]]:
        """How well each line `[n]` answers, and the terms."""
        bm25, similarity = candidates.bm25, candidates.similarity
        nothing = np.zeros(candidates.seqs.size)
        by_words, by_vector = bool(bm25.any()), not np.isnan(similarity).all()
        share = self._share_of_keywords(asked, candidates) if by_vector else float(by_words)
        terms: dict[str, Numbers] = {}
        keywords = nearness = nothing
        if by_words:
            keywords = relative(bm25, 0.0, 0.0)
            terms |= {"bm25": bm25, "keywords": keywords, "share of keywords": nothing + share}
        if by_vector:
            least = self.mixture.least_span
            nearness = relative(similarity, self._background(candidates), least)
            terms |= {"similarity": similarity, "nearness": nearness}
        return share * keywords + (1.0 - share) * nearness, terms

    def _share_of_keywords(self, asked: Asked, candidates: Candidates) -> float:
        """The weight of words beside vectors, by what the best line by words has of the question."""
        if not candidates.bm25.any():
            return 0.0
        seq = int(candidates.seqs[candidates.bm25.argmax()])
        covered = self._indexes.words.coverage(asked, [seq])[seq]
        telling = covered * asked.mass / asked.rarest
        return self.mixture.share(asked.known, telling)

    def _moved(self, asked: Asked, seqs: Seqs, scores: Numbers, seen: Look) -> Numbers:
        """What the best lines gain or lose by their age."""
        covered = self._indexes.words.coverage(asked, seqs.tolist())
        return self.looking.moved(
            seen,
            scores=scores,
            words=np.array([covered[seq] for seq in seqs.tolist()]) * asked.mass / asked.rarest,
            times=self._indexes.roll.times[seqs],
            keys=self.index.keys(seqs),
            density=self.index.density(),
        )

    def _by_the_seed(self, question: Question, candidates: Candidates) -> _Ranked:
        """The seed's formula; where there is no vector, the words stand in for the cosine."""
        similarity = candidates.similarity
        if np.isnan(similarity).all():
            similarity = relative(candidates.bm25, 0.0, 0.0)
        kept = np.nan_to_num(similarity, nan=-1.0) >= self.seed.floor
        seqs = candidates.seqs[kept]
        recent = recency(
            question.now.timestamp() - self._indexes.roll.times[seqs], tau=self.seed.tau
        )
        novelties = self._indexes.roll.novelties[seqs]
        return _Ranked(
            seqs=seqs,
            scores=self.seed.weigh(recent, similarity[kept], novelties),
            terms={"recency": recent, "similarity": similarity[kept], "novelty": novelties},
            fits=np.ones(candidates.seqs.size, np.bool_),
        )

    def _found(
        self, ranked: _Ranked, as_of: datetime | None, there: Mask | None, k: int
    ) -> list[Found]:
        """The `k` best, each below what had replaced a part of it, of the lines that are `there`.

        Where that is None, what was replaced is what was asked for, and nothing is lifted.
        """
        seqs, scores = ranked.seqs, ranked.scores
        order = seqs[best(scores, seqs, k)].tolist()
        lifted = order if there is None else self._indexes.roll.newest_first(order, there, as_of)
        chosen = list(itertools.islice(lifted, k))
        places = {int(seqs[at]): at for at in np.flatnonzero(np.isin(seqs, chosen))}
        found: list[Found] = []
        least = -math.inf
        for seq in reversed(chosen):
            at = places.get(seq)
            own = {} if at is None else {n: float(each[at]) for n, each in ranked.terms.items()}
            # What was lifted above a line has at least its score.
            least = max(least, least if at is None else float(scores[at]))
            asked = ranked.asked.get(seq)
            found.append(Found(seq=seq, score=least, terms=without_nan(own), asked=asked))
        return found[::-1]

    def _confidence(
        self, asked: Asked, candidates: Candidates, ranked: _Ranked, found: Sequence[Found]
    ) -> float:
        """How far the nearest line stands out; without vectors, what its words cover.

        A line that asks, or is of somebody else than the question, counts half.
        """
        if not found:
            return 0.0
        if np.isnan(candidates.similarity).all():
            seqs = [each.seq for each in found[:_LOOKED_AT]]
            fit = set(candidates.seqs[ranked.fits].tolist())
            covered = self._indexes.words.coverage(asked, seqs)
            return max(share if seq in fit else share / 2 for seq, share in covered.items())
        nearest = [
            np.nanmax(candidates.similarity[fit], initial=-1.0)
            for fit in (ranked.fits, ~ranked.fits)
        ]
        mean, count = self._background(candidates), len(self.index) + self.mixture.supposed
        fitting, other = (standing_out(float(each), mean, count) for each in nearest)
        far = max(fitting, other / 2)
        return far if ranked.surest is None else confidence(far, ranked.surest)


def _added(
    terms: dict[str, Numbers], name: str, scores: Numbers, at: NDArray[np.intp], values: Numbers
) -> None:
    """Add a term of some lines to their scores, and note it, 0 for the others."""
    terms[name] = np.zeros(scores.size)
    terms[name][at] = values
    scores[at] += values


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
