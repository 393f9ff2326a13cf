"""A closer look at the best lines: do they speak as an answer does, and which are outdated.

Pure over what it is given; knows no index and no ledger. The manner of speaking lowers a score, the
newer of two lines that say the same thing trades places with the older, see `succession`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anima.memory.ranking.manner import Time, asked_of_oneself, manner
from anima.memory.ranking.succession import Numbers, chances, likeness, moves

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """How lines speak, each `[n]`, to a question about `time`.

    `foreign` is one about somebody else where the question is about its speaker, `outdated` one
    that tells of long ago where it is about now.
    """

    time: Time
    by_user: Mask
    asks: Mask
    foreign: Mask
    outdated: Mask

    @property
    def fits(self) -> Mask:
        """Which lines can be an answer: they state something, and of the right person."""
        return ~self.asks & ~self.foreign

    def only(self, at: NDArray[np.intp]) -> "Look":
        """The same of the lines at these places."""
        return Look(
            time=self.time,
            by_user=self.by_user[at],
            asks=self.asks[at],
            foreign=self.foreign[at],
            outdated=self.outdated[at],
        )


def look(question: str, time: Time, texts: Sequence[str], by_user: Mask) -> Look:
    """How lines speak to a question: their beginnings, and which of them the user said, `[n]`."""
    manners = [manner(text, by_user=bool(user)) for text, user in zip(texts, by_user, strict=True)]
    own = np.array([each.own for each in manners], np.bool_)
    past = np.array([each.past for each in manners], np.bool_)
    return Look(
        time=time,
        by_user=by_user,
        asks=np.array([each.asks for each in manners], np.bool_),
        foreign=~own & asked_of_oneself(question),
        outdated=past & (time == "now"),
    )


@dataclass(frozen=True, kw_only=True)
class Looking:
    """What a manner of speaking costs, how many lines are looked at, and how many are compared.

    On the half of the lives to tune on (1,440 questions) the costs bring 4 points of hit@1 and 2 of
    hit@5; words such as "would" and "maybe" brought none. Of more compared lines, more only seem
    outdated.
    """

    foreign: float = 0.2
    asks: float = 0.3
    outdated: float = 0.1
    most: int = 64
    compared: int = 10

    def cost(self, seen: Look) -> Numbers:
        """What each line loses by its manner, as numbers of at most 0."""
        total: Numbers = -(
            self.asks * seen.asks + self.foreign * seen.foreign + self.outdated * seen.outdated
        )
        return total

    def moved(
        self,
        seen: Look,
        *,
        scores: Numbers,
        words: Numbers,
        times: Numbers,
        keys: NDArray[np.float32],
        density: float,
    ) -> Numbers:
        """What each line gains or loses by its age, `[n]`.

        `words` is how many telling words of the question a line has, `times` are in unix seconds,
        `keys` `[n, d]` are zeros where there is none, `density` is the mean cosine of any two.
        """
        may, missing = may_replace(seen, times, keys), words[:, None] - words[None, :]
        return moves(scores, chances(scores, likeness(keys, density), may, missing))


def may_replace(seen: Look, times: Numbers, keys: NDArray[np.float32]) -> Mask:
    """Whether line j may take the place of line i `[n, n]`: it is newer, and said of the same one.

    To a question about what held before, it is the older one that may; to one about what happened,
    none.
    """
    if seen.time == "event":
        return np.zeros((times.size, times.size), np.bool_)
    newer = times[None, :] > times[:, None]
    known: Mask = np.asarray(keys.any(axis=1), np.bool_)
    able: Mask = known & ~seen.asks & ~seen.outdated
    may: Mask = (
        (newer.T if seen.time == "before" else newer)
        & (seen.foreign[None, :] == seen.foreign[:, None])
        & (seen.by_user[None, :] == seen.by_user[:, None])
        & able[None, :]
        & known[:, None]
    )
    return may
