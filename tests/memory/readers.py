"""Readers with planted answers: a line with "rex" in it answers anything, and any pair is as likely."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anima.encoding.joint import Joint
from anima.memory.claims import replacing
from anima.memory.claims.replacing import Eyes, Line, Replacing
from anima.memory.ranking.answering import Answering
from anima.memory.ranking.reading import Readers

WIDTH = 384


def planted() -> Joint:
    """No layers: its logit is the second text's mean along the first direction."""
    head = np.zeros(4 * WIDTH + 1, np.float32)
    head[WIDTH] = 1.0
    return Joint.of(4, {"types": np.zeros((2, WIDTH), np.float32), "head": head})


class Lower:
    """States along the first direction, 3 for a text with "rex" and −3 for another; notes what it made."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str], layers: int, most: int) -> list[NDArray[np.float32]]:
        self.asked += texts
        found = [np.zeros((2, WIDTH), np.float32) for _ in texts]
        for each, text in zip(found, texts, strict=True):
            each[:, 0] = 3.0 if "rex" in text.casefold() else -3.0
        return found


def any_pair(certain: float, width: int) -> Replacing:
    """A reader of pairs that gives every one the same logit, for keys of a width."""
    eyes = Eyes(
        mean=np.zeros(width),
        projection=np.ones((width, 2)),
        probes=np.zeros((width, 3)),
        biases=np.zeros(3),
        pair=np.zeros(4),
        pair_bias=0.0,
        rarity={},
    )
    line = Line(text="a", key=np.ones(width, np.float32))
    count = replacing.features(eyes, line, [line]).shape[1]
    return Replacing(
        encoder="minilm",
        eyes=eyes,
        centre=np.zeros(count),
        spread=np.ones(count),
        inner=np.zeros((count, 1)),
        inner_bias=np.zeros(1),
        outer=np.zeros(1),
        outer_bias=certain,
        sure=0.8,
        likely=0.5,
    )


def readers(certain: float = 0.0, width: int = 3, states: Lower | None = None) -> Readers:
    """Both of them."""
    made = Lower() if states is None else states
    return Readers(
        answering=Answering(joint=planted(), states=made), replacing=any_pair(certain, width)
    )
