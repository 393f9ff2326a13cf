"""Brings the key/value cache to hold exactly the tokens wanted, in few calls that are counted.

It knows the trunk and token ids, and nothing of turns, organs or text.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import torch
from torch import Tensor

from anima.errors import ModelError
from anima.organ import AttentionBias
from anima.trunk.generation import PREFILL_CHUNK, decode
from anima.trunk.interface import Cache, Taps, Trunk
from anima.trunk.sampler import Pick


@dataclass(frozen=True, kw_only=True)
class Call:
    """One thing done to the cache: what, and to how many tokens (`crop`: how many were kept)."""

    kind: Literal["crop", "prefill", "decode"]
    tokens: int


class Feed:
    """One row of cache, the ids in it, and a list of what was done to it since `begin`."""

    def __init__(self, trunk: Trunk) -> None:
        self._trunk = trunk
        self._cache: Cache = trunk.cache()
        self._held: list[int] = []
        self._calls: list[Call] = []

    def begin(self) -> list[Call]:
        """Start listing calls anew; the list returned grows as they are made."""
        self._calls = []
        return self._calls

    @property
    def empty(self) -> bool:
        return not self._held

    @property
    def length(self) -> int:
        """How many tokens are held."""
        return len(self._held)

    def crop(self, length: int) -> None:
        """Let go of what is held beyond so many tokens."""
        self._keep(min(length, len(self._held)))

    def drop(self) -> None:
        """Forget everything held: after an error a cache may be half-written."""
        self._cache = self._trunk.cache()
        self._held = []

    def fork(self) -> "Feed":
        """Another one that holds the same and goes its own way."""
        other = Feed(self._trunk)
        if self._held:
            other._cache = self._cache.fork([0])
            other._held = list(self._held)
        return other

    def kept(self, wanted: Sequence[int]) -> int:
        """How many leading tokens of `wanted` need no computation (never the last one)."""
        same = sum(
            1
            for _ in takewhile(
                lambda pair: pair[0] == pair[1], zip(self._held, wanted, strict=False)
            )
        )
        return min(same, len(wanted) - 1)

    def bring(
        self,
        wanted: Sequence[int],
        *,
        taps: Callable[[int, int], Taps],
        bias: AttentionBias | None,
        stopped: Callable[[], bool],
    ) -> Tensor | None:
        """Hold exactly `wanted`; the logits `[V]` after its last token, or None when stopped.

        `taps` gets the first position of each call and the one after its last.
        """
        self._keep(self.kept(wanted))
        logits: Tensor | None = None
        for start in range(len(self._held), len(wanted), PREFILL_CHUNK):
            if stopped():
                return None
            chunk = list(wanted[start : start + PREFILL_CHUNK])
            row = bias([*self._held, *chunk]) if bias else None
            step = self._trunk.forward(
                torch.tensor([chunk]), self._cache, taps=taps(start, start + len(chunk)), bias=row
            )
            self._held += chunk
            self._calls.append(Call(kind="prefill", tokens=len(chunk)))
            logits = step.logits[0, -1]
        return logits

    def decode(
        self,
        logits: Tensor,
        *,
        choose: Callable[[Tensor, Sequence[int]], Pick],
        end_ids: frozenset[int],
        limit: int,
        taps: Callable[[], Taps],
        bias: AttentionBias | None,
    ) -> Generator[Pick, None, None]:
        """Yield picks after `logits`; what was decoded is held, however the loop is left."""
        held = list(self._held)
        picked: list[int] = []

        def row() -> Tensor | None:
            return bias([*held, *picked]) if bias else None

        try:
            for pick in decode(
                self._trunk, self._cache, logits,
                choose=choose, end_ids=end_ids, limit=limit, taps=taps, bias=row,
            ):  # fmt: skip
                picked.append(pick.id)
                yield pick
        finally:
            decoded = max(0, len(picked) - 1)
            self._held = held + picked[:decoded]
            if decoded:
                self._calls.append(Call(kind="decode", tokens=decoded))

    def _keep(self, length: int) -> None:
        if length == len(self._held):
            return
        try:
            self._cache.crop(length)
            self._held = self._held[:length]
        except ModelError:
            # Some architectures cannot give tokens back; everything is computed again.
            self.drop()
        self._calls.append(Call(kind="crop", tokens=len(self._held)))
