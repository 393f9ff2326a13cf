"""The output score of features: does the model say what a feature promises when it is amplified?

After Arad, Mueller and Belinkov, "SAEs are good for steering, if you select the right features"
(arXiv 2505.20063): the promised tokens are those its decoder row raises most by the logit lens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from anima.features.sae import Sae
from anima.trunk.interface import Cache, Trunk

PROMPT = "In my experience,"
AMPLIFIED = 10.0
PROMISED = 20


def promised(sae: Sae, trunk: Trunk, features: Tensor, count: int = PROMISED) -> Tensor:
    """The tokens that each feature's direction raises most, best first: `[k, count]`."""
    return trunk.lens(sae.directions(features)).topk(count, dim=-1).indices


def output_scores(
    sae: Sae,
    trunk: Trunk,
    ids: Sequence[int],
    features: Tensor,
    *,
    maximum: Tensor,
    rows: int = 32,
) -> Tensor:
    """Per feature `[k]`: (1 − best rank / V) · p(best) of its promised tokens, amplified.

    At the last of at least two `ids` the feature is set to ten times its `maximum` `[k]`; its promised
    tokens are looked for in the distribution that follows. Between 0 and 1; the paper keeps
    features from 0.01 up and prefers 0.1.
    """
    if not len(features):
        return torch.zeros(0)
    start = trunk.cache()
    trunk.forward(torch.tensor([list(ids[:-1])]), start)
    scores = [
        _batch(sae, trunk, start.fork([0] * len(part)), ids[-1], part, at)
        for part, at in zip(torch.split(features, rows), torch.split(maximum, rows), strict=True)
    ]
    return torch.cat(scores)


def _batch(
    sae: Sae, trunk: Trunk, cache: Cache, last: int, features: Tensor, maximum: Tensor
) -> Tensor:
    directions = sae.directions(features)

    def tap(h: Tensor) -> Tensor:
        now = sae.encode_only(h[:, -1].float(), features).diagonal()
        wanted = AMPLIFIED * maximum.to(h.device)
        return ((wanted - now)[:, None] * directions)[:, None]

    ids = torch.full((len(features), 1), last)
    logits = trunk.forward(ids, cache, taps={sae.layer: (tap,)}).logits[:, -1]
    wanted = promised(sae, trunk, features)
    ranks = logits.argsort(dim=-1, descending=True).argsort(dim=-1).gather(1, wanted)
    chances = logits.softmax(-1).gather(1, wanted)
    best = 1 - ranks.min(dim=-1).values.float() / logits.shape[-1]
    scores: Tensor = best * chances.max(dim=-1).values
    return scores.cpu()
