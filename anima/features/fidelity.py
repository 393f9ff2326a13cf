"""How faithful an SAE is: variance explained, features active, and what the model loses by it.

Knows rows, a trunk and an SAE; writes nothing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from anima.context import Tokens
from anima.errors import FeatureError
from anima.features.corpus import CONTENT
from anima.features.sae import Sae
from anima.trunk.interface import NO_TAPS, Taps, Trunk


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Over `tokens` rows: mean features active, and Σ‖h − ĥ‖² / Σ‖h − mean‖²."""

    l0: float
    fvu: float
    tokens: int


def fidelity(sae: Sae, batches: Iterable[Tensor]) -> Fidelity:
    """Measure over batches of residual rows `[n, d]`; raises FeatureError where there are none."""
    return _measured(sae, batches, (sae.encode,))[0]


def curve(sae: Sae, batches: Iterable[Tensor], factors: Sequence[float]) -> list[Fidelity]:
    """The same at several multiples of a JumpReLU SAE's threshold, in one pass over the rows."""
    if sae.architecture != "jumprelu":
        raise FeatureError(f"{sae.name} is a {sae.architecture} SAE: it has no threshold to move.")
    threshold = sae.biases["threshold"]
    lowest = with_threshold(sae, threshold * min(factors))
    last: list[tuple[Tensor, Tensor]] = []

    def above(factor: float) -> Callable[[Tensor], Tensor]:
        def encode(h: Tensor) -> Tensor:
            # Where a feature is active, its activation is what the threshold is compared with.
            if not last or last[0][0] is not h:
                last[:] = [(h, lowest.encode(h))]
            a = last[0][1]
            return a * (a > threshold * factor)

        return encode

    return _measured(sae, batches, [above(factor) for factor in factors])


def _measured(
    sae: Sae, batches: Iterable[Tensor], encoders: Sequence[Callable[[Tensor], Tensor]]
) -> list[Fidelity]:
    active, lost = [0.0] * len(encoders), [0.0] * len(encoders)
    squares, tokens = 0.0, 0
    total = torch.zeros(sae.width, dtype=torch.float64)
    for batch in batches:
        h = batch.to(sae.device).float()
        tokens += len(h)
        exact = h.cpu().double()  # not every accelerator has float64
        squares += float(exact.square().sum())
        total += exact.sum(0)
        for place, encode in enumerate(encoders):
            a = encode(h)
            active[place] += int((a > 0).sum())
            lost[place] += float((h - sae.restored(a, h)).square().sum(-1).cpu().double().sum())
    if tokens == 0:
        raise FeatureError(f"There is no token to measure {sae.name} on.")
    variance = squares - float(total.square().sum()) / tokens
    return [
        Fidelity(l0=count / tokens, fvu=error / variance, tokens=tokens)
        for count, error in zip(active, lost, strict=True)
    ]


def with_threshold(sae: Sae, threshold: Tensor) -> Sae:
    """The same JumpReLU SAE with another threshold `[F]`."""
    return replace(sae, biases={**sae.biases, "threshold": threshold})


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Mean NLL in nats of the next content token, over `tokens` of them in `texts` texts.

    `spread` is the standard error of the rise over texts (each text's mean, weighted alike).
    """

    clean: float
    replaced: float
    rise: float
    spread: float
    tokens: int
    texts: int


def loss(
    sae: Sae,
    trunk: Trunk,
    pieces: Sequence[Tokens],
    report: Callable[[int], None] = lambda done: None,
) -> Loss:
    """What the model loses when the layer's content tokens are replaced by their reconstruction.

    Template and system tokens keep their own stream.
    """
    sums = [0.0, 0.0]
    rises, tokens = [], 0
    for number, piece in enumerate(pieces):
        ids = torch.tensor([piece.ids])
        content = torch.tensor([[role in CONTENT for role in piece.roles]])
        wanted = content[0, 1:]
        if not wanted.any():
            continue
        taps: Taps = {sae.layer: (_replacing(sae, content),)}
        means = []
        for place, chosen in enumerate((NO_TAPS, taps)):
            nll = _nll(trunk, ids, chosen)[wanted]
            sums[place] += float(nll.sum())
            means.append(float(nll.mean()))
        tokens += int(wanted.sum())
        rises.append(means[1] - means[0])
        report(number + 1)
    if not tokens:
        raise FeatureError("There is no content token to measure the model's loss on.")
    spread = (
        float(torch.tensor(rises).std()) / math.sqrt(len(rises)) if len(rises) > 1 else math.nan
    )
    clean, replaced = sums[0] / tokens, sums[1] / tokens
    return Loss(
        clean=clean, replaced=replaced, rise=replaced - clean, spread=spread, tokens=tokens,
        texts=len(rises),
    )  # fmt: skip


def _replacing(sae: Sae, content: Tensor) -> Callable[[Tensor], Tensor]:
    def tap(h: Tensor) -> Tensor:
        delta = sae.reconstruct(h) - h.float()
        return delta * content.to(h.device)[..., None]

    return tap


def _nll(trunk: Trunk, ids: Tensor, taps: Taps) -> Tensor:
    """−log p of each token but the first, `[q − 1]`."""
    logits = trunk.forward(ids, trunk.cache(), taps=taps, logits_at="all").logits[0, :-1].cpu()
    return torch.nn.functional.cross_entropy(logits.float(), ids[0, 1:], reduction="none")
