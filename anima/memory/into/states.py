"""Reads a line with the model: the state it was in before each token, not knowing the line and knowing it.

It knows the trunk and token ids, and nothing of memories or turns.

A line is read twice, one copy after the other. Before a token of the second copy the model has
seen the whole line, so its last residual there foretells that token; before the same token of the
first copy it does not. Their difference is what knowing the line adds.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from anima.trunk.interface import Trunk

LONGEST = 128
"""Tokens of a line that are read."""

_KEPT = 64  # lines whose states are kept
_TINY = 1e-6

BACKGROUND = (
    "The meeting was moved to the afternoon because the room was still being painted.",
    "She opened the window, and the sound of the street came in.",
    "Most plants need light, water and a little patience.",
    "He could not remember where he had put the keys, so he looked in every drawer.",
    "There are many ways to begin a letter, and few of them are easy.",
    "The train stopped twice before it reached the coast.",
)
"""Plain sentences of which nobody's memory is made: the mean state is theirs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class States:
    """What a reading showed: token ids `[n]`, and the last residual `[n, d]` before each of them.

    `first` was taken before the line was known, `second` after. Float32 on the CPU.
    """

    ids: Tensor
    first: Tensor
    second: Tensor

    @property
    def value(self) -> Tensor:
        """The line as one vector `[d]`: the mean over its tokens of what knowing it adds.

        Of states of length √d, as the final norm makes them, but for its gain, which the head's
        own norm applies.
        """
        return (normed(self.second) - normed(self.first)).mean(0)


@dataclass(kw_only=True, eq=False)
class StateReader:
    """A trunk that reads lines as a user's text after `head`; keeps the states of the last ones.

    `head` are the tokens before the first user's text, `encode` makes ids of a text with nothing
    special. The same text gives the same states, whatever was read before.
    """

    trunk: Trunk
    head: Sequence[int]
    encode: Callable[[str], Sequence[int]]
    _read: "OrderedDict[str, States]" = field(default_factory=OrderedDict)

    def read(self, text: str) -> States | None:
        """The states of a line, cut at `LONGEST` tokens; None for a text without tokens."""
        if text in self._read:
            self._read.move_to_end(text)
            return self._read[text]
        ids = list(self.encode(text))[:LONGEST]
        if not ids:
            return None
        found = self._states(ids)
        self._read[text] = found
        if len(self._read) > _KEPT:
            self._read.popitem(last=False)
        return found

    @cached_property
    def mean(self) -> Tensor:
        """The mean `[d]` of the last residual over the background's tokens."""
        found = [self._states(list(self.encode(text))) for text in BACKGROUND]
        return torch.cat([states.first for states in found]).mean(0)

    @property
    def last(self) -> int:
        """The layer that the final norm reads."""
        return self.trunk.info.layers - 1

    def _states(self, ids: Sequence[int]) -> States:
        gap = list(self.encode("\n"))
        row = [*self.head, *ids, *gap, *ids]
        step = self.trunk.forward(torch.tensor([row]), self.trunk.cache(), reads=[self.last])
        residual = step.reads[self.last][0].float().cpu()
        # The state before a token is the one at the place before it; a first one may have none.
        first = max(len(self.head) - 1, 0)
        second = len(self.head) + len(ids) + len(gap) - 1
        return States(
            ids=torch.tensor(ids),
            first=residual[first : first + len(ids)].clone(),
            second=residual[second : second + len(ids)].clone(),
        )


def normed(h: Tensor) -> Tensor:
    """Rows `[..., d]` at length √d, as an RMS norm without gain makes them."""
    rows: Tensor = h / h.square().mean(-1, keepdim=True).sqrt().clamp_min(_TINY)
    return rows
