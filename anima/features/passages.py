"""Content tokens with their residual stream, a stretch at a time: from a model, or from a harvest.

Knows token ids, roles and rows; what is looked for in them it does not know.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from anima.context import ChatFormat, Encoder, Segment, Tokens
from anima.errors import UsageError
from anima.features.corpus import CONTENT, Corpus, Part, rendered
from anima.features.harvest import OUTLIER, arranged, opened
from anima.trunk.interface import Trunk

Pieces = Callable[[], Iterable[Tokens]]
"""The pieces of conversations, the same ones in the same order at every call."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """Content tokens `[n]`: id, the piece and the turn each belongs to, whether the reply spoke it.

    Pieces and turns count from 0 and never go back; a turn lies within one piece.
    """

    ids: np.ndarray
    piece: np.ndarray
    turn: np.ndarray
    reply: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, kept: np.ndarray) -> "Marks":
        """Only the tokens chosen by an index or a mask."""
        return Marks(
            ids=self.ids[kept], piece=self.piece[kept], turn=self.turn[kept], reply=self.reply[kept]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Passage:
    """Some tokens and the residual stream `[n, d]` leaving the layer on them."""

    marks: Marks
    h: Tensor


Source = Callable[[int], Iterator[Passage]]
"""Passages from the one of that number on, so that what was read before is not read again."""


def marks_of(pieces: Sequence[Tokens]) -> Marks:
    """The content tokens of pieces, in order."""
    ids, piece, turn, reply = [], [], [], []
    turns, before = -1, ""
    for number, one in enumerate(pieces):
        before = ""
        for token, role in zip(one.ids, one.roles, strict=True):
            if role in CONTENT:
                turns += role != before
                ids.append(token)
                piece.append(number)
                turn.append(turns)
                reply.append(role == "assistant")
            before = role
    return Marks(
        ids=np.array(ids, dtype=np.int32), piece=np.array(piece, dtype=np.int32),
        turn=np.array(turn, dtype=np.int32), reply=np.array(reply, dtype=bool),
    )  # fmt: skip


def joined(parts: Sequence[Marks]) -> Marks:
    """Marks one after another, pieces and turns counted on."""
    piece, turn = 0, 0
    pieces, turns = [], []
    for part in parts:
        pieces.append(part.piece + piece)
        turns.append(part.turn + turn)
        if len(part):
            piece += int(part.piece[-1]) + 1
            turn += int(part.turn[-1]) + 1
    return Marks(
        ids=np.concatenate([part.ids for part in parts]),
        piece=np.concatenate(pieces),
        turn=np.concatenate(turns),
        reply=np.concatenate([part.reply for part in parts]),
    )


def pieces_of(
    corpus: Corpus,
    encoder: Encoder,
    format: ChatFormat,
    prefix: Sequence[Segment],
    *,
    part: Part | None = None,
    limit: int = 512,
) -> Pieces:
    """A corpus' conversations, all of them or one part, in the order in which they are harvested."""

    def pieces() -> Iterator[Tokens]:
        for one in corpus.conversations if part is None else corpus.of(part):
            yield from rendered(one, encoder, format, prefix, limit=limit)

    return pieces


def reading(trunk: Trunk, layer: int, pieces: Pieces, *, tokens: int | None = None) -> Source:
    """Run the model over each piece; tokens of outlier norm are left out as a harvest does.

    It ends after the piece with which `tokens` content tokens are read.
    """

    def source(start: int) -> Iterator[Passage]:
        read = 0
        for number, piece in enumerate(pieces()):
            if tokens is not None and read >= tokens:
                return
            read += sum(role in CONTENT for role in piece.roles)
            if number < start:
                continue
            marks = marks_of([piece])
            if not len(marks):
                yield Passage(marks=marks, h=torch.zeros(0, trunk.info.width))
                continue
            step = trunk.forward(torch.tensor([piece.ids]), trunk.cache(), reads=(layer,))
            content = torch.tensor([role in CONTENT for role in piece.roles])
            h = step.reads[layer][0].float().cpu()[content]
            norms = h.norm(dim=-1)
            usual = (norms <= OUTLIER * norms.median()).numpy()
            yield Passage(marks=marks.at(usual), h=h[torch.from_numpy(usual)])

    return source


def stored(folder: Path, layer: int, pieces: Pieces) -> Source:
    """A harvest's shards of one layer; `pieces` are those it was made of.

    Raises UsageError where the shards are not of these pieces.
    """

    def source(start: int) -> Iterator[Passage]:
        names = sorted((folder / "tokens").glob("*.npy"))
        rows = opened(folder, layer)
        for number, (name, group) in enumerate(zip(names, arranged(pieces()), strict=False)):
            if number < start:
                continue
            marks = _aligned(np.load(name), marks_of(group), folder)
            yield Passage(marks=marks, h=torch.from_numpy(np.array(rows[number])))

    return source


def _aligned(kept: np.ndarray, whole: Marks, folder: Path) -> Marks:
    """The marks of the ids that were kept: all of them but those of outlier norm."""
    if np.array_equal(kept, whole.ids):
        return whole
    found, at = [], 0
    for token in kept.tolist():
        while at < len(whole) and whole.ids[at] != token:
            at += 1
        found.append(at)
        at += 1
    if at > len(whole):
        raise UsageError(
            f"The activations in {folder} are of other texts than these: give the ones that they "
            "were made of, or harvest anew."
        )
    return whole.at(np.array(found))


def chained(sources: Sequence[tuple[Source, int]]) -> Source:
    """Several sources as one; each comes with the number of its passages."""

    def source(start: int) -> Iterator[Passage]:
        for each, count in sources:
            if start < count:
                yield from each(start)
            start = max(0, start - count)

    return source


def shards(folder: Path) -> int:
    """How many passages `stored` makes of a harvest."""
    return len(list((folder / "tokens").glob("*.npy")))
