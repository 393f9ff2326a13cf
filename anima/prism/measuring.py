"""Speaks under pushes and beside: what a push costs, in nats, on the tokens that it made.

It knows the trunk, prompts as ids and tensors, and neither modes nor what an effect is.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anima.context import ChatFormat, Context, Encoder, Segment
from anima.features.corpus import CONTENT
from anima.steering.delta import pushing
from anima.steering.state import State
from anima.trunk.interface import NO_TAPS, Cache, Tap, Taps, Trunk
from anima.trunk.sampler import pick
from anima.trunk.settings import Sampling


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A question as the model sees it: ids, and which of them are content."""

    ids: tuple[int, ...]
    content: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """A reply's ids `[t]`, and per token KL(steered ‖ base) and the base's surprisal, in nats.

    The end token, where it came, is counted in `kl` and `surprisal` and is not in `ids`.
    """

    ids: tuple[int, ...]
    kl: Tensor
    surprisal: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """Prompts read once without any push: the base's cache and last logits `[B, V]`, to fork."""

    prompts: tuple[Prompt, ...]
    cache: Cache
    logits: Tensor


def prompt(encoder: Encoder, format: ChatFormat, text: str, prefix: Sequence[Segment]) -> Prompt:
    """A text as the first user turn after a prefix."""
    context = Context.begin(encoder, format, prefix).ask([Segment(role="user", text=text)])
    tokens = context.tokens()
    return Prompt(ids=tokens.ids, content=tuple(role in CONTENT for role in tokens.roles))


def asked(trunk: Trunk, prompts: Sequence[Prompt]) -> Asked:
    """Read ragged prompts, padded on the left."""
    ids, padding = _padded(prompts)
    cache = trunk.cache(len(prompts), padding=padding)
    logits = trunk.forward(ids, cache).logits[:, -1]
    return Asked(prompts=tuple(prompts), cache=cache, logits=logits)


def said(
    trunk: Trunk,
    base: Asked,
    *,
    layer: int,
    push: State | Tap | None,
    limit: int,
    end_ids: Collection[int],
    sampling: Sampling | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Said]:
    """The replies under a push on content tokens of `layer`, scored beside the model without it.

    Greedy unless `sampling` says otherwise; row r is drawn with `seeds[r]`, its number by default.
    A `Tap` is taken as it is, at every token.
    """
    rows = len(base.prompts)
    settings = sampling or Sampling(temperature=0)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds or range(rows)]
    cache, logits = _read(trunk, base, layer, push)
    taps = _taps(layer, push, None)
    replies: list[list[int]] = [[] for _ in range(rows)]
    ended = [False] * rows
    fed: list[Tensor] = []
    steered: list[Tensor] = []
    for count in range(1, limit + 1):
        steered.append(logits)
        chosen = torch.zeros(rows, 1, dtype=torch.long)
        for row in range(rows):
            if ended[row]:
                continue
            token = pick(logits[row], settings, generators[row]).id
            chosen[row, 0] = token
            replies[row].append(token)
            ended[row] = token in end_ids
        fed.append(chosen)
        if all(ended) or count == limit:
            break
        logits = trunk.forward(chosen, cache, taps=taps).logits[:, -1]
    kl, surprisal = _beside(trunk, base, steered, fed)
    return [_said(reply, kl[row], surprisal[row], end_ids) for row, reply in enumerate(replies)]


def _said(reply: list[int], kl: Tensor, surprisal: Tensor, end_ids: Collection[int]) -> Said:
    ids = reply[:-1] if reply and reply[-1] in end_ids else reply
    return Said(ids=tuple(ids), kl=kl[: len(reply)], surprisal=surprisal[: len(reply)])


def _read(trunk: Trunk, base: Asked, layer: int, push: State | Tap | None) -> tuple[Cache, Tensor]:
    """The prompts' cache under the push; the base's own where there is none."""
    if push is None:
        return base.cache.fork(range(len(base.prompts))), base.logits
    ids, padding = _padded(base.prompts)
    cache = trunk.cache(len(base.prompts), padding=padding)
    content = [
        [False] * void + list(each.content)
        for void, each in zip(padding, base.prompts, strict=True)
    ]
    mask = torch.tensor(content)[..., None].float()
    return cache, trunk.forward(ids, cache, taps=_taps(layer, push, mask)).logits[:, -1]


def _taps(layer: int, push: State | Tap | None, mask: Tensor | None) -> Taps:
    if push is None:
        return NO_TAPS
    return {layer: (pushing(push, mask) if isinstance(push, State) else push,)}


def _padded(prompts: Sequence[Prompt]) -> tuple[Tensor, list[int]]:
    widest = max(len(each.ids) for each in prompts)
    padding = [widest - len(each.ids) for each in prompts]
    rows = [[0] * void + list(each.ids) for void, each in zip(padding, prompts, strict=True)]
    return torch.tensor(rows), padding


def _beside(
    trunk: Trunk, base: Asked, steered: Sequence[Tensor], fed: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """KL(steered ‖ base) and the base's surprisal of what was said, `[B, t]` each."""
    cache = base.cache.fork(range(len(base.prompts)))
    said_ids = torch.cat(list(fed), dim=1)
    kl, surprisal = [], []
    logits = base.logits[:, None]
    if len(fed) > 1:
        rest = trunk.forward(said_ids[:, :-1], cache, logits_at="all").logits
        logits = torch.cat([logits, rest], dim=1)
    # One position after another: the tables of all would be large.
    for position, row in enumerate(steered):
        p = row.float().log_softmax(-1)
        q = logits[:, position].float().log_softmax(-1)
        kl.append((p.exp() * (p - q)).sum(-1))
        surprisal.append(-q.gather(1, said_ids[:, position : position + 1].to(q.device))[:, 0])
    return torch.stack(kl, dim=1).cpu(), torch.stack(surprisal, dim=1).cpu()


Score = Callable[[Sequence[str]], Sequence[float]]
"""Texts to one number each, higher where more of what is wanted is there."""
