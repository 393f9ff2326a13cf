"""Where each feature is strongest, and what stands around: positions first, then words.

Knows activations, marks of tokens and their texts; what a feature is called it does not know.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from anima.features.labels import CLOSE, OPEN, TURN
from anima.features.passages import Marks
from anima.features.sae import Sae

STRONGEST = 48
"""Positions kept of each feature; fewer are shown, for many say the same."""
_ROWS = 256  # rows encoded at once: a table of all features for each, small enough for the cache
_PENDING = 2_000_000  # activations gathered before the strongest are picked out
_BEFORE, _AFTER = 6, 3  # tokens shown around a peak
_AROUND = 10  # words looked at on either side
_REACH = 16  # tokens that hold them, mostly
_OF_ONE_PIECE = 2  # peaks taken from one conversation


@dataclass(kw_only=True, eq=False)
class Strongest:
    """The strongest activations of every feature over the passages added, and how often there are any.

    Flat and sorted by feature, then by value from the largest: `feature`, `value`, `position`.
    """

    features: int
    keep: int = STRONGEST
    feature: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    value: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    position: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    fired: np.ndarray = field(init=False)
    tokens: int = 0
    _pending: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fired = np.zeros(self.features, dtype=np.int64)

    def add(self, sae: Sae, h: Tensor) -> None:
        """Look at the next tokens' residual rows `[n, d]`."""
        for rows in torch.split(h, _ROWS):
            a = sae.encode(rows.to(sae.device).float())
            at, feature = a.nonzero(as_tuple=True)
            found = (
                feature.cpu().numpy().astype(np.int32),
                a[at, feature].cpu().numpy(),
                at.cpu().numpy().astype(np.int32) + self.tokens,
            )
            self.fired += np.bincount(found[0], minlength=self.features)
            self.tokens += len(rows)
            self._pending.append(found)
            if sum(len(one[0]) for one in self._pending) > _PENDING:
                self.settle()

    def settle(self) -> None:
        """Pick the strongest out of all that was gathered."""
        parts = [(self.feature, self.value, self.position), *self._pending]
        feature, value, position = (np.concatenate(column) for column in zip(*parts, strict=True))
        self._pending = []
        # Equal values in the order of their positions, so that batches make no difference.
        order = np.lexsort((position, -value, feature))
        feature, value, position = feature[order], value[order], position[order]
        first = np.searchsorted(feature, feature)
        kept = np.arange(len(feature)) - first < self.keep
        self.feature, self.value, self.position = feature[kept], value[kept], position[kept]

    def of(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """Values and positions of one feature, the largest first."""
        low, high = np.searchsorted(self.feature, (feature, feature + 1))
        return self.value[low:high], self.position[low:high]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One peak: its whole word, the words before and after in the turn, and its place there.

    `token` is the peak's own text; `first` and `last` whether it begins or ends its turn; `weight`
    how much it counts beside a feature's other peaks.
    """

    word: str
    token: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    first: bool
    last: bool
    reply: bool
    position: int
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """All tokens looked at, with the text of every id of the vocabulary."""

    marks: Marks
    texts: Sequence[str]

    def sights(self, values: np.ndarray, positions: np.ndarray, count: int) -> list[Sight]:
        """The first `count` peaks that do not repeat another's words, few of them from one piece.

        A single conversation about something would else decide what a feature is about. A peak
        weighs the square of its share of the largest: what a feature is for shows where it is strong.
        """
        found: dict[tuple[str, ...], Sight] = {}
        pieces: Counter[int] = Counter()
        for value, position in zip(values.tolist(), positions.tolist(), strict=True):
            piece = int(self.marks.piece[position])
            if pieces[piece] == _OF_ONE_PIECE:
                continue
            sight = self.sight(position)
            key = (*sight.before[-2:], sight.word, sight.token, *sight.after[:1])
            if key not in found:
                found[key] = replace(sight, weight=(value / values[0]) ** 2)
                pieces[piece] += 1
            if len(found) == count:
                break
        return list(found.values())

    def sight(self, position: int) -> Sight:
        """What stands around one token."""
        marks = self.marks
        low, high = self._bounds(position, marks.turn, _REACH)
        texts = [self.texts[token] for token in marks.ids[low:high]]
        spans, text = _spans(texts)
        start, end = spans[position - low]
        left, right = _whole(text, start, end)
        return Sight(
            word=text[left:right].strip() or _blank(self.texts[marks.ids[position]]),
            token=text[start:end],
            before=tuple(text[:left].split()[-_AROUND:]),
            after=tuple(text[right:].split()[:_AROUND]),
            first=position == 0 or marks.turn[position - 1] != marks.turn[position],
            last=position + 1 == len(marks) or marks.turn[position + 1] != marks.turn[position],
            reply=bool(marks.reply[position]),
            position=position,
        )

    def _bounds(self, position: int, group: np.ndarray, reach: int) -> tuple[int, int]:
        """The tokens of the position's own group, at most `reach` away: a slice."""
        low, high = max(0, position - reach), min(len(group), position + reach + 1)
        same = group[low:high] == group[position]
        return low + int(same.argmax()), high - int(same[::-1].argmax())

    def shown(self, position: int) -> str:
        """The text around one token in a line, the token marked."""
        marks = self.marks
        low, high = self._bounds(position, marks.piece, _BEFORE)
        high = min(high, position + _AFTER + 1)
        parts: list[str] = []
        for at in range(low, high):
            if at > low and marks.turn[at] != marks.turn[at - 1]:
                parts.append(TURN)
            text = self.texts[marks.ids[at]].replace(OPEN, "“").replace(CLOSE, "”")
            if at == position:
                bare = text.lstrip(" ") if text.strip() else _blank(text)
                text = f"{' ' * text.startswith(' ')}{OPEN}{bare}{CLOSE}"
            parts.append(text)
        return " ".join("".join(parts).split())


def _blank(text: str) -> str:
    """A token without a letter to show, to be seen."""
    return "↵" if "\n" in text else "␣"


def _spans(texts: Sequence[str]) -> tuple[list[tuple[int, int]], str]:
    """The texts joined, and where each of them lies, its leading spaces left out."""
    spans, length = [], 0
    for text in texts:
        start = length + len(text) - len(text.lstrip())
        length += len(text)
        spans.append((min(start, length), length))
    return spans, "".join(texts)


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """The bounds of the whole word that a token is a part of; the token's own where it is none."""
    if start == end or not text[start:end][-1:].isalnum():
        return start, end
    while start > 0 and _inner(text, start - 1):
        start -= 1
    while end < len(text) and _inner(text, end):
        end += 1
    return start, end


def _inner(text: str, at: int) -> bool:
    if text[at].isalnum():
        return True
    between = 0 < at < len(text) - 1 and text[at - 1].isalnum() and text[at + 1].isalnum()
    return text[at] in "'\u2019" and between
