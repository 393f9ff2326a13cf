"""What tells two kinds of text apart in the residual stream: features, and dense directions.

It knows residuals, an SAE and its statistics, and neither files, modes nor what will be pushed.
Sources: difference of means (arXiv 2308.10248, 2312.06681), output score (arXiv 2505.20063),
SAE-denoised difference (SDCV, arXiv 2505.15038), PCA of paired differences (repeng).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from anima.prism.contrast import Reader, means
from anima.trunk.interface import Tap

if TYPE_CHECKING:
    from anima.features.sae import Sae

NEUTRAL = "In my experience,"
"""What the model says when a feature's output score is taken."""
PROMISED = 20
"""How many tokens a feature's decoder row promises: the best of its logit lens."""
WORTH = 0.01
"""The least output score of a feature worth steering with."""
_ROWS = 256


class Scales(Protocol):
    """How often features are active `[F]`, as a share of content tokens."""

    @property
    def density(self) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Found:
    """A feature that tells the two sides apart.

    `separation` is the standardised mean difference (Cohen's d over texts), `rise` the difference
    of its mean activation, `output` the output score, −1 where it was not taken.
    """

    feature: int
    separation: float
    rise: float
    output: float = -1.0


def codes(sae: "Sae", residuals: Sequence[Tensor]) -> Tensor:
    """Each text's mean feature activation over its tokens, `[n, F]`."""
    rows = []
    for text in residuals:
        pieces = [sae.encode(text[s : s + _ROWS]).sum(0) for s in range(0, len(text), _ROWS)]
        rows.append(torch.stack(pieces).sum(0) / len(text))
    return torch.stack(rows).float().cpu()


def proposals(
    like: Tensor, unlike: Tensor, scales: Scales, *, count: int, densest: float = 0.05
) -> list[Found]:
    """The features most separating texts `[n, F]` from `[m, F]`, the highest on `like` first.

    Left out are dead features, those active on more than `densest` of all tokens, and those that
    fewer than a fifth of the texts on `like` have at all.
    """
    rise = like.mean(0) - unlike.mean(0)
    spread = ((like.var(0) + unlike.var(0)) / 2).sqrt()
    # A feature that is almost never active has almost no spread: a floor keeps it from winning.
    separation = rise / (spread + spread[spread > 0].median())
    density = scales.density.cpu()
    usual = (density > 0) & (density <= densest) & ((like > 0).float().mean(0) >= 0.2)
    ranked = torch.where(usual & (rise > 0), separation, -torch.inf).topk(min(count, len(rise)))
    return [
        Found(feature=feature, separation=value, rise=float(rise[feature]))
        for feature, value in zip(ranked.indices.tolist(), ranked.values.tolist(), strict=True)
        if value > 0
    ]


def difference(like: Sequence[Tensor], unlike: Sequence[Tensor]) -> Tensor:
    """The difference of means `[d]` of two sides of texts."""
    return means(like).mean(0) - means(unlike).mean(0)


def principal(like: Sequence[Tensor], unlike: Sequence[Tensor]) -> Tensor:
    """The first principal direction `[d]` of the differences of paired texts, as repeng takes it.

    Texts are paired in order, and the sign is that of most pairs' differences.
    """
    pairs = min(len(like), len(unlike))
    first, second = means(like)[:pairs], means(unlike)[:pairs]
    # As repeng does it: both differences of each pair, centred by their own symmetry.
    rows = torch.cat([first - second, second - first])
    _, _, directions = torch.linalg.svd(rows, full_matrices=False)
    direction: Tensor = directions[0]
    votes = ((first - second) @ direction).sign().sum()
    return direction if votes >= 0 else -direction


def denoised(
    sae: "Sae", like: Tensor, unlike: Tensor, *, count: int, densest: float, scales: Scales
) -> Tensor:
    """The difference of means as the SAE sees it `[d]`: its `count` most separating features alone."""
    both = proposals(like, unlike, scales, count=count, densest=densest)
    against = proposals(unlike, like, scales, count=count, densest=densest)
    total = torch.zeros(sae.width)
    for found, sign in ((both, 1.0), (against, -1.0)):
        if found:
            rows = sae.directions(torch.tensor([each.feature for each in found])).float().cpu()
            total += sign * torch.tensor([each.rise for each in found]) @ rows
    return total


def pursued(
    sae: "Sae", direction: Tensor, rise: Tensor, scales: Scales, *, count: int, densest: float
) -> list[tuple[int, float]]:
    """At most `count` features that together come nearest to a direction `[d]`, and how much of each.

    Orthogonal matching pursuit over unit decoder rows. A feature is taken only with the sign in
    which the texts differ in it (`rise` `[F]`), so that it stands for what it was found for.
    """
    rows = sae.directions(torch.arange(sae.n_features)).float().cpu()
    rows = rows / rows.norm(dim=-1, keepdim=True)
    density = scales.density.cpu()
    usable = (density > 0) & (density <= densest)
    chosen: list[int] = []
    parts = torch.zeros(0).double()
    whole = direction.double().cpu()
    left = whole
    for _ in range(count):
        match = rows @ left.float()
        fits = usable & (match * rise > 0)
        fits[chosen] = False
        if not bool(fits.any()):
            break
        best = int(torch.where(fits, match.abs(), -1.0).argmax())
        # In double: a direction is kept to six digits, and is to be the same each time.
        basis = rows[[*chosen, best]].double()
        parts = torch.linalg.lstsq(basis.T, whole[:, None]).solution[:, 0]
        chosen.append(best)
        left = whole - parts @ basis
    pairs = zip(chosen, parts.tolist(), strict=True)
    return [(feature, part) for feature, part in pairs if part * float(rise[feature]) > 0]


def summed(sae: "Sae", shares: Sequence[tuple[int, float]]) -> Tensor:
    """The direction `[d]` that features in these shares, lengths in the stream, make together."""
    rows = sae.directions(torch.tensor([feature for feature, _ in shares])).double().cpu()
    lengths = torch.tensor([share for _, share in shares]).double()
    direction: Tensor = lengths @ (rows / rows.norm(dim=-1, keepdim=True))
    return direction.float()


def output_scores(
    reader: Reader, sae: "Sae", features: Sequence[int], *, norm: float, share: float = 0.5
) -> list[float]:
    """Each feature's output score: whether amplifying it raises the tokens that it promises.

    The feature is written with length `share`·‖h‖ at the last token of a neutral beginning; the
    score is (1 − best rank / V)·p of the best of its promised tokens (Arad et al., section 3).
    """
    if not features:
        return []
    rows = sae.directions(torch.tensor(list(features))).float()
    promised = reader.trunk.lens(rows).topk(PROMISED, dim=-1).indices
    length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    writes = rows / length * (share * norm)
    tokens, _ = reader.reply(NEUTRAL)
    cache = reader.trunk.cache()
    reader.trunk.forward(torch.tensor([tokens.ids[:-1]]), cache)
    scores: list[float] = []
    for start in range(0, len(rows), 32):
        some = writes[start : start + 32]
        last = torch.full((len(some), 1), tokens.ids[-1])
        step = reader.trunk.forward(
            last, cache.fork([0] * len(some)), taps={sae.layer: (_adding(some[:, None]),)}
        )
        scores += _scores(step.logits[:, -1], promised[start : start + 32])
    return scores


def _adding(delta: Tensor) -> Tap:
    return lambda h: delta.to(h.device)


def _scores(logits: Tensor, promised: Tensor) -> list[float]:
    """(1 − best rank / V)·best p of the promised tokens `[n, 20]` under logits `[n, V]`."""
    p = logits.float().softmax(-1)
    best = p.gather(1, promised.to(p.device)).max(dim=-1).values
    rank = (p > best[:, None]).sum(-1)
    scores: list[float] = ((1 - rank / p.shape[-1]) * best).tolist()
    return scores


def scored(reader: Reader, sae: "Sae", found: Sequence[Found], *, norm: float) -> list[Found]:
    """The same features with their output scores, in the same order."""
    scores = output_scores(reader, sae, [each.feature for each in found], norm=norm)
    return [
        Found(feature=f.feature, separation=f.separation, rise=f.rise, output=score)
        for f, score in zip(found, scores, strict=True)
    ]


def worth_steering(found: Sequence[Found], *, most: int, least: int = 3) -> list[Found]:
    """Those of a sufficient output score, at most `most`; where few have one, the best `least`.

    A style is often no single token's matter, so a mode is not left empty for want of one.
    """
    kept = [each for each in found if each.output >= WORTH][:most]
    if len(kept) >= least:
        return kept
    best = sorted(found, key=lambda each: -each.output)[:least]
    return [each for each in found if each in best]
