"""Tells kinds of text apart by their words alone: logistic regression over hashed n-grams.

It knows texts and labels, and no model. Convex, so that the same texts give the same weights.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from anima.errors import SteeringError

BUCKETS = 1 << 14
_WORD = re.compile(r"\w+(?:'\w+)?|[?!]|\d+|[+*/=^]")
_STEPS = 100


def grams(text: str) -> Iterator[str]:
    """The features of a text: its words, pairs of words, and how words begin and end."""
    words = ["<", *_WORD.findall(text.lower()), ">"]
    for first, second in pairwise(words):
        yield f"2 {first} {second}"
    for word in words[1:-1]:
        yield f"1 {word}"
        if len(word) > 4:
            yield f"p {word[:4]}"
            yield f"s {word[-3:]}"


@lru_cache(maxsize=65_536)
def bucket(gram: str, buckets: int) -> int:
    """Where a feature is counted; the same on every machine and in every version."""
    return int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "big") % buckets


def counted(text: str, buckets: int) -> Tensor:
    """The features of a text `[buckets]`, of length 1 (0 for a text without a word)."""
    found = torch.zeros(buckets)
    for gram in grams(text):
        found[bucket(gram, buckets)] += 1
    return torch.nn.functional.normalize(found.log1p(), dim=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Words:
    """A trained classifier: `weights` `[labels, buckets]`, `bias` `[labels]`."""

    labels: tuple[str, ...]
    weights: Tensor
    bias: Tensor

    def chances(self, text: str) -> dict[str, float]:
        """The probability of each label for a text; they sum to 1."""
        row = counted(text, self.weights.shape[1])
        return dict(
            zip(self.labels, (self.weights @ row + self.bias).softmax(0).tolist(), strict=True)
        )


def trained(
    texts: Mapping[str, Sequence[str]], *, buckets: int = BUCKETS, penalty: float = 3e-4
) -> Words:
    """A classifier of texts by label; each label counts alike, however many texts it has.

    Raises SteeringError for fewer than two labels or one without texts.
    """
    labels = tuple(texts)
    rows = [counted(text, buckets) for name in labels for text in texts[name]]
    weights, bias = fitted(rows, labels_of(texts), penalty=penalty)
    return Words(labels=labels, weights=weights, bias=bias)


def labels_of(texts: Mapping[str, Sequence[object]]) -> list[int]:
    """The number of each text's label, in the order of the texts; raises SteeringError."""
    if len(texts) < 2 or not all(texts.values()):
        raise SteeringError("A classifier needs texts of at least two kinds.")
    return [index for index, name in enumerate(texts) for _ in texts[name]]


def fitted(
    rows: Sequence[Tensor], wanted: Sequence[int], *, penalty: float
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression of rows `[n, f]`: weights `[labels, f]` and bias `[labels]`.

    The loss is the mean over labels of each label's mean; `penalty` multiplies the squared weights.
    """
    x, y = torch.stack(list(rows)), torch.tensor(list(wanted))
    counts = torch.bincount(y).float()
    share = 1 / (len(counts) * counts[y])
    weights = torch.zeros(len(counts), x.shape[1], requires_grad=True)
    bias = torch.zeros(len(counts), requires_grad=True)
    fit = torch.optim.LBFGS(
        [weights, bias], max_iter=_STEPS, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        fit.zero_grad()
        scores = x @ weights.T + bias
        costs = torch.nn.functional.cross_entropy(scores, y, reduction="none")
        total: Tensor = (share * costs).sum() + penalty * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        fit.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach(), bias.detach()
