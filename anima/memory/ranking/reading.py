"""What the learned readers say of the best lines of a question: which answer, and which still hold.

    a_i = .7 read_i + 14.6 (cosine_i − mean) − 4.5         the logit that line i answers, within ±4
    p_ij = logistic(.7 r_ij + .8 min(a_i, a_j) + 2)        that j, which is newer, replaced i
    answers_i = .15 (a_i + 4)                              added to its score
    confidence = (standing out + greatest logistic(a)) / 2 + .03

`read` is what `answering` makes of the question and the line, `r` the logit, within ±6, of the reader
of pairs of lines, `replacing`, for each newer line beside the older ones next to it. By p the lines
trade places as in `succession`, with a greater step: of two lines that both tell what is asked for,
the newer one holds. Knows no index and no ledger.

The numbers of a and p are logistic regressions, on 49,280 lines and 107,652 pairs of lines of the
questions below; the 2 is half above the fit, which costs a point of what comes first and saves two
of what is outdated. Nothing closed, without the readers → with them:

    forty lives of `anima eval recall`, the half to tune on, 1,440 questions, 640 without an answer
        first .65 → .77 [.75, .79], in the first five .94 → .96, outdated above what holds .22 → .10
        [.08, .13], asked for the past, first .57 → .80; AUROC of the gate .86 → .90
    forty made-up lives of 37 attributes that no reader learned from, 2,240 questions, 1,840 without
        first .49 → .64 [.61, .67], in the first five .86 → .89, outdated above .40 → .27 [.23, .30],
        AUROC .82 → .86

By the reader of pairs and the score alone, with no reader of answers: first .68 and .53, outdated
.16 and .34. LoCoMo asks of people by name, and is not read: without that rule its evidence in the
first five fell from .67 to .64 of 785. Eight lines take 36 ms of one core where their states are
kept and 55 where none is, the search itself 1.6 (medians of 36 questions to a life of 150 lines).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anima.memory.claims.replacing import CANDIDATES, Line, Replacing, replacing_for
from anima.memory.ranking.answering import Answering, answering_for
from anima.memory.ranking.manner import Time, asked_of_oneself
from anima.memory.ranking.succession import Numbers, logistic, moves

Mask = NDArray[np.bool_]

_READ, _NEAR, _UNSURE = 0.7, 14.6, 4.5
_REPLACES, _BOTH, _LIKELY = 0.7, 0.8, 2.0
_FOR_ANSWER, _STEP = 0.15, 0.8
_MOST, _SUREST = 4.0, 6.0
_MARGIN = 0.03
"""So that as many of the questions that can be answered are, as without the readers."""

_LONGEST: Final = 300
_ASKS = re.compile(
    r"\?|^\W*(?:(?:hey|so|and|ok|okay|hi|hello|please)\b\W*)*(?:who|whose|what|where|when|which|why"
    r"|how|do|does|am|is|are|tell|remind|can|remember)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(r"[a-z0-9',]\s+[A-Z][a-z]")
_DATED = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d|\d(?:st|nd|rd|th)?(?: of)?"
    r" (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|\d[-/.]\d",
    re.IGNORECASE,
)


def can_be_read(question: str) -> bool:
    """Whether a text asks what the readers were taught: about oneself, or about nobody by name.

    What is asked by its date has no attribute to be read for.
    """
    return (
        len(question) <= _LONGEST
        and _ASKS.search(question) is not None
        and (asked_of_oneself(question) or _NAMED.search(question) is None)
        and _DATED.search(question) is None
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """How far each of n lines answers, as logits `[n]`, and the logit that j replaced i `[n, n]`."""

    logits: Numbers
    replaced: Numbers

    @property
    def answers(self) -> Numbers:
        """What each line gains by what it tells, at least 0."""
        gained: Numbers = _FOR_ANSWER * (self.logits + _MOST)
        return gained

    def moved(self, scores: Numbers, may: Mask, time: Time) -> Numbers:
        """What each line gains or loses by its age; j may take the place of i where `may` `[n, n]`.

        Asked what held before, the older of two takes the place of the one that replaced it.
        """
        replaced = self.replaced.T if time == "before" else self.replaced
        least = np.minimum(self.logits[:, None], self.logits[None, :])
        chance = logistic(_REPLACES * replaced + _BOTH * least + _LIKELY)
        return moves(scores, np.where(may, chance, 0.0), _STEP)

    def surest(self, fits: Mask) -> float:
        """The chance that some line answers; one that does not fit `[n]` counts half."""
        chances = logistic(self.logits) * np.where(fits, 1.0, 0.5)
        return float(chances.max(initial=0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Readers:
    """Both readers for the keys of one encoder."""

    answering: Answering
    replacing: Replacing

    def read(
        self,
        question: str,
        texts: Sequence[str],
        *,
        near: Numbers,
        keys: NDArray[np.float32],
        times: Numbers,
    ) -> Reading:
        """Read lines, by their texts, keys `[n, d]`, zeros for none, and times in unix seconds.

        `near` `[n]` are their cosines to the question, less the mean.
        """
        found = self.answering.logits(question, texts)
        logits = _READ * found + _NEAR * np.nan_to_num(near) - _UNSURE
        return Reading(
            logits=np.clip(logits, -_MOST, _MOST),
            replaced=self._replaced(texts, keys, times),
        )

    def _replaced(self, texts: Sequence[str], keys: NDArray[np.float32], times: Numbers) -> Numbers:
        """The logit that line j replaced line i `[n, n]`, where j is newer; of strange keys none did."""
        found = np.full((times.size, times.size), -_SUREST)
        if keys.shape[1] != self.replacing.width:
            return found
        lines = [Line(text=text, key=key) for text, key in zip(texts, keys, strict=True)]
        known, alike = keys.any(axis=1), keys @ keys.T
        for j in np.flatnonzero(known).tolist():
            older = np.flatnonzero(known & (times < times[j]))
            older = older[np.argsort(-alike[older, j], kind="stable")][:CANDIDATES]
            chances = self.replacing.chances(lines[j], [lines[at] for at in older.tolist()])
            bare = np.clip(chances, 1e-9, 1 - 1e-9)
            found[older, j] = np.clip(np.log(bare / (1 - bare)), -_SUREST, _SUREST)
        return found


def confidence(standing_out: float, surest: float) -> float:
    """How sure an answer is, by how far its key stands out and the chance that a line answers."""
    return min(1.0, (standing_out + surest) / 2.0 + _MARGIN)


def readers_for(encoder: object) -> Readers | None:
    """The shipped readers for what makes keys, None where one is missing."""
    answering = answering_for(encoder)
    replacing = None if answering is None else replacing_for(str(getattr(encoder, "name", "")))
    if answering is None or replacing is None:
        return None
    return Readers(answering=answering, replacing=replacing)
