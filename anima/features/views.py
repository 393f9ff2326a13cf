"""What the pictures show, as numbers and texts: one feature, features over tokens, the decoder's map.

Knows an SAE, passages and labels; how it is drawn it does not know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anima.features.labels import TURN
from anima.features.passages import Marks, Source, joined
from anima.features.sae import Sae
from anima.features.statistics import FeatureStatistics

_BEFORE, _AFTER = 16, 8


@dataclass(frozen=True, kw_only=True)
class Passing:
    """A stretch of text: its tokens' texts with the feature's activation on each; `peak` is one's place."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    peak: int


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureView:
    """One feature over `tokens` content tokens: its activations where active, and places to read.

    `strongest` are the largest peaks, `usual` peaks drawn evenly from the rest of the range.
    """

    activations: np.ndarray
    tokens: int
    strongest: Sequence[Passing]
    usual: Sequence[Passing]


@dataclass(frozen=True, kw_only=True, eq=False)
class TokensView:
    """Features over the tokens of a conversation: shares `[k, n]` of each feature's own maximum."""

    tokens: tuple[str, ...]
    roles: tuple[str, ...]
    features: tuple[int, ...]
    shares: np.ndarray


def view_feature(
    sae: Sae, source: Source, feature: int, texts: Sequence[str], *, count: int = 12
) -> FeatureView:
    """Look at one feature over a source; one activation a token, so that it is quick."""
    index = torch.tensor([feature])
    parts: list[Marks] = []
    found: list[np.ndarray] = []
    for passage in source(0):
        parts.append(passage.marks)
        found += [
            sae.encode_only(rows.float().to(sae.device), index)[:, 0].cpu().numpy()
            for rows in torch.split(passage.h, 4096)
        ]
    marks = joined(parts)
    a = np.concatenate(found) if found else np.zeros(0, dtype=np.float32)
    peaks = _peaks(a, marks)
    strongest, rest = peaks[:count], peaks[count:]
    evenly = np.linspace(0, len(rest) - 1, min(count, len(rest))).astype(int)
    return FeatureView(
        activations=a[a > 0],
        tokens=len(a),
        strongest=[_passing(int(at), a, marks, texts) for at in strongest],
        usual=[_passing(int(at), a, marks, texts) for at in rest[evenly]],
    )


def _peaks(a: np.ndarray, marks: Marks) -> np.ndarray:
    """Positions of the largest activation of every piece that has one, the largest first."""
    order = np.argsort(-a, kind="stable")
    order = order[a[order] > 0]
    _, first = np.unique(marks.piece[order], return_index=True)
    return order[np.sort(first)]


def _passing(at: int, a: np.ndarray, marks: Marks, texts: Sequence[str]) -> Passing:
    low, high = max(0, at - _BEFORE), min(len(a), at + _AFTER + 1)
    inside = [place for place in range(low, high) if marks.piece[place] == marks.piece[at]]
    tokens = [
        (TURN if place > inside[0] and marks.turn[place] != marks.turn[place - 1] else "")
        + texts[marks.ids[place]]
        for place in inside
    ]
    return Passing(
        tokens=tuple(tokens),
        activations=tuple(float(a[place]) for place in inside),
        peak=inside.index(at),
    )


def view_tokens(
    sae: Sae,
    h: Tensor,
    tokens: Sequence[str],
    roles: Sequence[str],
    statistics: FeatureStatistics,
    *,
    count: int = 30,
    densest: float = 0.05,
) -> TokensView:
    """The `count` features that mark tokens `[n, d]` most, by their strongest share of the maximum.

    Features active on more than `densest` of all tokens are on everywhere and left out. They stand
    in the order in which their peaks come in the text.
    """
    shares = torch.zeros(sae.n_features, len(h))
    most = statistics.maximum.clamp(min=1e-6)
    for start in range(0, len(h), 512):
        a = sae.encode(h[start : start + 512].float().to(sae.device)).cpu()
        shares[:, start : start + len(a)] = (a / most).T
    score = shares.max(dim=1).values.masked_fill(statistics.density > densest, 0)
    best = score.topk(min(count, int((score > 0).sum()))).indices
    first = shares[best].argmax(dim=1).argsort(stable=True)
    chosen = best[first]
    return TokensView(
        tokens=tuple(tokens), roles=tuple(roles), features=tuple(chosen.tolist()),
        shares=shares[chosen].clamp(max=1).numpy(),
    )  # fmt: skip


def view_map(sae: Sae, features: Sequence[int], *, seed: int = 0) -> np.ndarray:
    """Places `[k, 2]` by t-SNE on the cosine distance of the features' decoder rows.

    van der Maaten and Hinton 2008; neighbours are near, and distances across say nothing.
    """
    from sklearn.manifold import TSNE

    rows = sae.decoder[torch.tensor(list(features))].float().cpu()
    perplexity = min(30.0, max(1.0, (len(rows) - 1) / 3))
    # On all dimensions: decoder rows fill them evenly, so that few components would show a ball.
    made = TSNE(metric="cosine", init="pca", perplexity=perplexity, random_state=seed)
    placed: np.ndarray = made.fit_transform(rows.numpy())
    return placed
