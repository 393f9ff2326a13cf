"""Decoding loops over any trunk: one row as it comes, many rows at once; knows no text."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from anima.errors import ModelError
from anima.trunk.interface import NO_TAPS, Cache, Taps, Trunk
from anima.trunk.repeating import Repeating
from anima.trunk.sampler import Pick, pick
from anima.trunk.settings import Sampling

PREFILL_CHUNK = 512
"""Tokens of one prefill call: a stop takes effect between two of them."""


def decode(
    trunk: Trunk,
    cache: Cache,
    logits: Tensor,
    *,
    choose: Callable[[Tensor, Sequence[int]], Pick],
    end_ids: Collection[int],
    limit: int,
    taps: Callable[[], Taps] = dict,
    bias: Callable[[], Tensor | None] = lambda: None,
) -> Iterator[Pick]:
    """Yield up to `limit` picks after `logits` `[V]`, the end token (not cached) last if it comes.

    `choose` gets the logits and the ids picked so far; `taps` and `bias` are asked before every
    call, so that a swap between two tokens takes effect at the next one. The last token picked is
    not in the cache.
    """
    picked: list[int] = []
    while True:
        chosen = choose(logits, picked)
        picked.append(chosen.id)
        yield chosen
        if chosen.id in end_ids or len(picked) >= limit:
            return
        ids = torch.tensor([[chosen.id]])
        logits = trunk.forward(ids, cache, taps=taps(), bias=bias()).logits[0, -1]


def generate_batch(
    trunk: Trunk,
    prompts: Sequence[Sequence[int]],
    *,
    limit: int,
    end_ids: Collection[int] = (),
    sampling: Sampling | None = None,
    seeds: Sequence[int] | None = None,
    taps: Taps = NO_TAPS,
) -> list[list[int]]:
    """The continuations of ragged prompts, decoded together; each ends before its own end token.

    Rows are padded on the left. `seeds[r]` seeds row r (its number by default), so that a row's
    text does not depend on its neighbours' draws. Taps see `[B, q, d]`, row r being prompt r.
    """
    if not prompts or not all(prompts):
        raise ModelError("generate_batch needs at least one prompt, and each at least one token.")
    settings = sampling or Sampling(temperature=0)
    generators = [torch.Generator().manual_seed(s) for s in seeds or range(len(prompts))]
    widest = max(len(prompt) for prompt in prompts)
    padding = [widest - len(prompt) for prompt in prompts]
    cache = trunk.cache(len(prompts), padding=padding)
    ids = torch.tensor([[0] * n + list(prompt) for n, prompt in zip(padding, prompts, strict=True)])
    replies: list[list[int]] = [[] for _ in prompts]
    guard = Repeating(strength=settings.repeat_guard, litanies=settings.litany_guard)
    running = set(range(len(prompts)))
    for count in range(1, limit + 1):
        logits = trunk.forward(ids, cache, taps=taps).logits[:, -1]
        ids = torch.zeros((len(prompts), 1), dtype=torch.long)
        for row in sorted(running):
            seen = torch.tensor([*prompts[row], *replies[row]])
            kept = partial(guard, picked=replies[row])
            chosen = pick(logits[row], settings, generators[row], seen, guard=kept).id
            if chosen in end_ids:
                running.discard(row)
                continue
            replies[row].append(chosen)
            ids[row, 0] = chosen
        if not running or count == limit:
            break
    return replies
