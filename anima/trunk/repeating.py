"""Keeps a model from saying again what it has just said; knows token ids, no model and no text.

A small model at a low temperature soon says one sentence for ever. Two things act, both on what the
model said itself and never on what was said to it, so that a name it was told stays as likely:

    the last 64 of its tokens        logit / (1 + g/10) where positive, · (1 + g/10) where negative
    what would go on a run of n ≥ 3  logit − g · 0.8 · 1.75^(n − 3)

with g the strength (`repeat_guard`), 1 by default. A run is an ending of the reply so far that was
said before, in it or in an earlier one. The first is the penalty of arXiv 1909.05858 over a window,
the second is DRY (text-generation-webui, pull request 5677). A short answer may come twice: of a
few tokens the run costs little, while a whole sentence is hardly ever said again.

A long reply finds the way between them, a litany of ever new words in one form ("a star. a lantern.
a flame."), which then is in the context of every later one. So beyond 128 tokens of a reply, of its
own tokens:

    what followed the last token t > 2 times in 96     logit − l · 0.7 · (t − 2)
    what came t times in 256, growing over 64 tokens   logit − l · 0.1 · (t − 1)

with l a strength of its own (`litany_guard`), 1 by default.

Measured on SmolLM2-135M-Instruct at temperature .2 over 48 short chats (24 talks of two sessions, 312
replies, at most 96 tokens, intervals over talks): replies with a sentence in them that had been said
before .56 [.46, .65] without and .01 [.00, .03] with it; questions about what had been told a week
before answered .60 and .80, the difference .20 [.07, .32]. Replies of 400 tokens to two prompts that
nothing was chosen by (8 in each mode, intervals over replies), distinct among the trigrams of words in
a quarter of a reply, mean of the last two: *dream* .69 [.60, .78] before what holds of long replies
and .89 [.86, .92] with it, without a mode .95 [.93, .98] and .97 [.96, .98].
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import Tensor

from anima.trunk.sampler import penalise

BREAK: Final = -1
"""Stands between two replies: no run goes over it."""

RECENT: Final = 64
"""Own tokens that the penalty meets."""

_PENALTY = 0.1
_RUN = 3
_LOGITS = 0.8
_GROWTH = 1.75
_LONGEST = 40  # tokens of a run beyond which nothing grows
_HEARD = 4096  # own tokens that are looked through

LONG: Final = 128
"""Tokens of a reply beyond which a litany is looked for; up to here the reply is as without that."""

_PAIRS, _PAIRS_FREE, _PAIR_LOGITS = 96, 2, 0.7
_TOKENS, _TOKEN_LOGITS, _GROWING = 256, 0.1, 64


@dataclass(frozen=True, kw_only=True)
class Repeating:
    """What a model said before a reply, and how strongly it is kept from repeating it.

    `said` are its own token ids, oldest first, `BREAK` between two replies; those of them that are
    also in `spared`, the ids of what it answers, are not penalised. `litanies` is the strength of
    what holds of long replies alone; 0 of both changes nothing.
    """

    said: Sequence[int] = ()
    spared: Collection[int] = ()
    strength: float = 1.0
    litanies: float = 1.0

    def __call__(self, logits: Tensor, picked: Sequence[int]) -> Tensor:
        """The logits `[V]` of the next token of a reply that began with the ids `picked`."""
        bent = logits
        if self.strength and (runs := self.runs(picked)):
            growth = {each: _GROWTH ** (length - _RUN) for each, length in runs.items()}
            bent = _less(bent, growth, self.strength * _LOGITS)
        if self.litanies and (worn := self._worn(picked)):
            bent = _less(bent, worn, self.litanies)
        if self.strength == 0:
            return bent
        seen = torch.tensor(sorted(self._recent(picked)), dtype=torch.long, device=logits.device)
        return penalise(bent, seen, 1 + _PENALTY * self.strength)

    def runs(self, picked: Sequence[int]) -> dict[int, int]:
        """The ids that would go on a run of own tokens, each with the length of its longest."""
        heard = np.array([*self.said[-_HEARD:], BREAK, *picked], np.int64)
        if not picked:
            return {}
        found: dict[int, int] = {}
        for at in np.flatnonzero(heard[:-1] == picked[-1]).tolist():
            following = int(heard[at + 1])
            length = _common_ending(heard, at, picked)
            if following != BREAK and length >= _RUN:
                found[following] = max(length, found.get(following, 0))
        return found

    def _worn(self, picked: Sequence[int]) -> dict[int, float]:
        """What a long reply has worn out, with the logits that it costs at strength 1."""
        if len(picked) <= LONG:
            return {}
        share = min(1.0, (len(picked) - LONG) / _GROWING)
        costs = {
            token: _TOKEN_LOGITS * (times - 1) * share
            for token, times in Counter(picked[-_TOKENS:]).items()
            if times > 1
        }
        near = picked[-_PAIRS:]
        pairs = Counter(after for one, after in pairwise(near) if one == picked[-1])
        for token, times in pairs.items():
            if times > _PAIRS_FREE:
                costs[token] += _PAIR_LOGITS * (times - _PAIRS_FREE)
        return costs

    def _recent(self, picked: Sequence[int]) -> set[int]:
        before = [each for each in self.said if each != BREAK][-RECENT:]
        left = max(0, RECENT - len(picked))
        recent = [*before[len(before) - left :], *picked[-RECENT:]]
        return {each for each in recent if each not in self.spared}


def _less(logits: Tensor, costs: Mapping[int, float], strength: float) -> Tensor:
    """The logits `[V]` less what each of some ids costs."""
    cost = [strength * each for each in costs.values()]
    bent = logits.clone()
    bent[list(costs)] -= torch.tensor(cost, dtype=logits.dtype, device=logits.device)
    return bent


def _common_ending(heard: "np.typing.NDArray[np.int64]", at: int, picked: Sequence[int]) -> int:
    """How many tokens that end at a place are those with which the reply ends."""
    most = min(len(picked), at + 1, _LONGEST)
    for length in range(1, most):
        if heard[at - length] != picked[-1 - length]:
            return length
    return most
