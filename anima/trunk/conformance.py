"""What every execution must do alike, as checks with figures that run on any trunk and device.

It knows the trunk interface and nothing of how a model is executed, loaded or talked with.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anima.trunk.generation import decode, generate_batch
from anima.trunk.interface import NO_TAPS, Cache, Step, Taps, Trunk
from anima.trunk.sampler import pick
from anima.trunk.settings import Sampling

if TYPE_CHECKING:
    from anima.trunk.reference import ReferenceTrunk

EXACT = 1e-4
"""Relative difference that float32 kernels of different shapes may leave."""
ROUNDED = 0.1
"""The same for 16-bit numbers and packed weights, whose products depend on the number of rows:
three times the most that was seen (smollm2 in bfloat16, token by token against at once: 0.033)."""
_GREEDY_TOKENS = 24
_TIE = 1e-3
"""A lead of the first token over the second, in logits, that a rounding may turn."""
_SILENT = -1e9


@dataclass(frozen=True, kw_only=True)
class Case:
    """A trunk to be checked with a text of its own, `ids` `[1, n]`, n at least 12.

    `against` is the same model in the reference execution and float32, or None where it cannot be
    had: then only what the trunk must be in itself is checked. `tolerance` is the largest relative
    difference allowed where numbers may differ by rounding; what must be equal to the bit is held
    to that everywhere.
    """

    trunk: Trunk
    ids: Tensor
    against: "ReferenceTrunk | None" = None
    tolerance: float = EXACT


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was checked; `figure` says what was measured, with what was allowed."""

    name: str
    passed: bool
    figure: str


def tolerance_of(trunk: Trunk) -> float:
    """What rounding may do in this execution, by its number type and the bits of its weights."""
    info = trunk.info
    return EXACT if (info.dtype, info.quantize) == ("float32", "none") else ROUNDED


def conform(case: Case) -> Iterator[Check]:
    """Every check that the case allows, each as soon as it is done; they leave nothing behind."""
    for check in CHECKS:
        if case.against is not None or check not in _NEEDING_A_REFERENCE:
            yield check(case)


def greedy_text(case: Case) -> Check:
    """Greedy decoding says what transformers' own `generate` says, up to ties."""
    assert case.against is not None
    agreed = total = 0
    worst = 0.0
    for start in (0, 3, 7):
        prompt = case.ids[:, start : start + 5]
        theirs = _generated(case.against, prompt)
        ours = _greedy(case.trunk, prompt[0].tolist())
        total += _GREEDY_TOKENS
        same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), None)
        agreed += _GREEDY_TOKENS if same is None else same
        if same is not None:
            worst = max(worst, _lead(case.against, [*prompt[0].tolist(), *theirs[:same]]))
    figure = f"{agreed} of {total} tokens as transformers generates them"
    if agreed < total:
        figure += f"; they part where the lead is {worst:.1g} logits (a tie up to {_TIE:g})"
    return Check(name="greedy text", passed=worst <= _TIE, figure=figure)


def idle_hooks(case: Case) -> Check:
    """Taps that write nothing, and reads, change not one bit in prefill and decode."""
    silent: Taps = {layer: (lambda h: None,) for layer in range(case.trunk.info.layers)}
    bare = [step.logits for step in _told(case.trunk, case.ids)]
    tapped = [
        step.logits
        for step in _told(case.trunk, case.ids, silent, reads=range(case.trunk.info.layers))
    ]
    equal = sum(torch.equal(a, b) for a, b in zip(bare, tapped, strict=True))
    return Check(
        name="idle hooks", passed=equal == len(bare),
        figure=f"{equal} of {len(bare)} calls bit-identical with and without",
    )  # fmt: skip


def cached_decode(case: Case) -> Check:
    """Token after token through the cache gives what the whole text at once gives."""
    whole = _forward(case.trunk, case.ids, logits_at="all")[0]
    cache = case.trunk.cache()
    single = [
        case.trunk.forward(case.ids[:, i : i + 1], cache).logits[0, -1]
        for i in range(case.ids.shape[1])
    ]
    return _near("cached decode", case, torch.stack(single), whole)


def written_delta(case: Case) -> Check:
    """A delta written into the stream does what it does in the reference, in prefill and decode.

    Without a reference: what is written at the last layer is what the head then reads.
    """
    trunk, layers = case.trunk, case.trunk.info.layers
    if case.against is None:
        delta = _direction(trunk, 1)
        step = _told(trunk, case.ids, {layers - 1: (lambda h: delta.to(h),)}, reads=[layers - 1])
        found = torch.cat([each.logits[:, -1] for each in step])
        read = torch.cat([each.reads[layers - 1][:, -1] for each in step])
        return _near("written delta", case, found, trunk.lens(read + delta.to(read)))
    shifts = []
    for each in (trunk, case.against):
        taps = _pushing(each, layers // 2)
        pushed, plain = _told(each, case.ids, taps), _told(each, case.ids)
        shifts.append(_shift(pushed, plain))
    return _near("written delta", case, *shifts)


def many_rows(case: Case) -> Check:
    """Rows of a batch do not touch each other, and a tap can push one row alone."""
    layer = case.trunk.info.layers // 2
    push = torch.stack((torch.zeros(case.trunk.info.width), _direction(case.trunk, 2)))[:, None]
    pair = case.ids.repeat(2, 1)
    taps: Taps = {layer: (lambda h: push.to(h),)}
    both = [step.logits[:, -1] for step in _told(case.trunk, pair, taps)]
    alone = [step.logits[0, -1] for step in _told(case.trunk, case.ids)]
    near = _near("many rows", case, torch.stack([row[0] for row in both]), torch.stack(alone))
    # Equal rows of one batch may differ in their last bits.
    moved = all(difference(row[1], row[0]) > 10 * EXACT for row in both)
    figure = near.figure if moved else f"{near.figure}; the pushed row did not move"
    return Check(name=near.name, passed=near.passed and moved, figure=figure)


def ragged_rows(case: Case) -> Check:
    """Rows padded on the left give what each gives alone, in prefill and decode."""
    short = case.ids[:, :5]
    missing = case.ids.shape[1] - short.shape[1]
    cache = case.trunk.cache(2, padding=[0, missing])
    padded = torch.cat((torch.zeros(1, missing, dtype=torch.long), short), 1)
    token = case.ids[:, :1]
    first = case.trunk.forward(torch.cat((case.ids, padded)), cache).logits[:, -1]
    second = case.trunk.forward(token.repeat(2, 1), cache).logits[:, -1]
    expected = []
    for text in (case.ids, short):
        held = case.trunk.cache()
        before = case.trunk.forward(text, held).logits[0, -1]
        expected.append((before, case.trunk.forward(token, held).logits[0, -1]))
    return _near(
        "ragged rows", case, torch.cat((first, second)),
        torch.stack([row[when] for when in (0, 1) for row in expected]),
    )  # fmt: skip


def batched_text(case: Case) -> Check:
    """A ragged batch decoded together says what each prompt says alone."""
    prompts = [case.ids[0, :n].tolist() for n in (4, 9, 6)]
    together = generate_batch(case.trunk, prompts, limit=8)
    same = sum(
        batch == _greedy(case.trunk, prompt, 8)
        for batch, prompt in zip(together, prompts, strict=True)
    )
    allowed = len(prompts) if case.tolerance <= EXACT else 0
    return Check(
        name="batched text", passed=same >= allowed,
        figure=f"{same} of {len(prompts)} rows say what they say alone"
        + ("" if allowed else " (roundings may turn a word here)"),
    )  # fmt: skip


def long_context(case: Case) -> Check:
    """A long text in chunks, with single tokens between, gives what it gives at once."""
    length = min(case.trunk.info.window - 1, 600)
    text = case.ids.repeat(1, length // case.ids.shape[1] + 1)[:, :length]
    cache = case.trunk.cache()
    middle = length // 2
    for piece in (text[:, :middle], *torch.split(text[:, middle : middle + 3], 1, 1)):
        case.trunk.forward(piece, cache)
    found = case.trunk.forward(text[:, middle + 3 :], cache).logits[:, -1]
    expected = _forward(case.against or case.trunk, text)
    near = _near("long context", case, found, expected)
    return Check(name=near.name, passed=near.passed, figure=f"{near.figure}, {length} tokens")


def rolled_back(case: Case) -> Check:
    """A cache cropped and continued forgets what was beyond, to the bit."""
    trunk, held = case.trunk, case.ids.shape[1] - 4
    cache = trunk.cache()
    trunk.forward(case.ids[:, :held], cache)
    first = _ended(trunk, case.ids, cache, held)
    cache.crop(held)
    trunk.forward(case.ids[:, :4].flip(1), cache, taps=_pushing(trunk, 0))
    cache.crop(held)
    again = _ended(trunk, case.ids, cache, held)
    equal = sum(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    return Check(
        name="rollback", passed=equal == len(first),
        figure=f"{equal} of {len(first)} calls bit-identical after it",
    )  # fmt: skip


def forked(case: Case) -> Check:
    """A fork of a cache goes on as the cache itself would, and leaves that as it was."""
    trunk = case.trunk
    cache = trunk.cache()
    trunk.forward(case.ids[:, :-1], cache)
    fork = cache.fork([0, 0])
    other = case.ids[:, :1]
    trunk.forward(torch.cat((other, other)), fork)
    fork.crop(case.ids.shape[1] - 1)
    both = trunk.forward(torch.cat((case.ids[:, -1:], other)), fork).logits[:1, -1]
    expected = trunk.forward(case.ids[:, -1:], cache).logits[:, -1]
    return _near("fork", case, both, expected)


def swapped_taps(case: Case) -> Check:
    """Taps swapped between two tokens act from the next token on and are gone when taken off."""
    trunk = case.trunk
    push = _pushing(trunk, trunk.info.layers // 2)
    outcomes = []
    for force in (NO_TAPS, push, NO_TAPS):
        cache = trunk.cache()
        trunk.forward(case.ids[:, :-2], cache)
        before = trunk.forward(case.ids[:, -2:-1], cache).logits
        after = trunk.forward(case.ids[:, -1:], cache, taps=force).logits
        outcomes.append((before, after))
    plain, swapped, again = outcomes
    kept = torch.equal(plain[0], swapped[0]) and all(map(torch.equal, plain, again))
    moved = not torch.equal(plain[1], swapped[1])
    return Check(
        name="swapped taps", passed=kept and moved,
        figure=f"the token after a swap {'moved' if moved else 'DID NOT MOVE'}, "
        f"{'all others are bit-identical' if kept else 'OTHERS MOVED TOO'}",
    )  # fmt: skip


def attention_bias(case: Case) -> Check:
    """A bias by layer and query head acts on its own heads alone, as in the reference.

    Checked too: a bias of zero changes nothing, and a key that is silenced cannot be told apart.
    """
    bias = torch.zeros(_bias_size(case, 1))
    plain = _forward(case.trunk, case.ids)
    zero = _forward(case.trunk, case.ids, bias=bias)
    bias[..., 3] = _SILENT
    other = case.ids.clone()
    other[0, 3] = case.ids[0, 4]
    silenced = [_forward(case.trunk, text, bias=bias) for text in (case.ids, other)]
    parts = [(zero, plain), (silenced[0], silenced[1])]
    single = torch.zeros(_bias_size(case, 1))
    single[0, :, case.trunk.info.heads - 1, :, 2] = 4.0
    biased = _forward(case.trunk, case.ids, bias=single)
    if case.against is not None:
        parts.append((biased, _forward(case.against, case.ids, bias=single)))
    worst = max(difference(a, b) for a, b in parts)
    moved = not torch.equal(biased, plain)
    figure = _within(worst, case.tolerance)
    return Check(
        name="attention bias", passed=worst <= case.tolerance and moved,
        figure=figure if moved else f"{figure}; a bias on one head MOVED NOTHING",
    )  # fmt: skip


def biased_decode(case: Case) -> Check:
    """A bias row on one decoded token gives what the same row gives in the whole text."""
    total = case.ids.shape[1]
    row = torch.zeros(_bias_size(case, 1))
    row[..., 2] = 3.0
    whole = torch.zeros(_bias_size(case, total))
    whole[:, :, :, -1, 2] = 3.0
    cache = case.trunk.cache()
    case.trunk.forward(case.ids[:, :-1], cache)
    found = case.trunk.forward(case.ids[:, -1:], cache, bias=row).logits[:, -1]
    return _near("biased decode", case, found, _forward(case.trunk, case.ids, bias=whole))


def lens(case: Case) -> Check:
    """The lens of the last layer is the logits; of the others it is the reference's lens."""
    trunk, last = case.trunk, case.trunk.info.layers - 1
    middle = trunk.info.layers // 2
    step = trunk.forward(case.ids, trunk.cache(), reads=(middle, last), logits_at="all")
    parts = [(trunk.lens(step.reads[last][0]), step.logits[0])]
    if case.against is not None:
        theirs = case.against.forward(case.ids, case.against.cache(), reads=(middle,))
        expected = case.against.lens(theirs.reads[middle][0])
        parts.append((trunk.lens(step.reads[middle][0]), expected))
    worst = max(difference(a, b) for a, b in parts)
    return Check(name="lens", passed=worst <= case.tolerance, figure=_within(worst, case.tolerance))


CHECKS: Sequence[Callable[[Case], Check]] = (
    greedy_text, idle_hooks, cached_decode, written_delta, many_rows, ragged_rows, batched_text,
    long_context, rolled_back, forked, swapped_taps, attention_bias, biased_decode, lens,
)  # fmt: skip
_NEEDING_A_REFERENCE = (greedy_text,)


def difference(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖ in float32 on the CPU; NaN counts as infinite."""
    a, b = found.detach().float().cpu(), expected.detach().float().cpu()
    value = float((a - b).norm() / b.norm())
    return value if value == value else float("inf")


def _near(name: str, case: Case, found: Tensor, expected: Tensor) -> Check:
    value = difference(found, expected)
    return Check(name=name, passed=value <= case.tolerance, figure=_within(value, case.tolerance))


def _within(value: float, allowed: float) -> str:
    return f"relative difference {value:.1e} (allowed {allowed:g})"


def _forward(
    trunk: Trunk, ids: Tensor, *, bias: Tensor | None = None, logits_at: str = "last"
) -> Tensor:
    """The logits `[1, V]` after a text read at once, or `[1, n, V]` of all of it."""
    if logits_at == "all":
        return trunk.forward(ids, trunk.cache(len(ids)), bias=bias, logits_at="all").logits
    return trunk.forward(ids, trunk.cache(len(ids)), bias=bias).logits[:, -1]


def _told(trunk: Trunk, ids: Tensor, taps: Taps = NO_TAPS, reads: Sequence[int] = ()) -> list[Step]:
    """A prefill of all but three tokens and then those one by one, with taps in force."""
    cache = trunk.cache(len(ids))
    pieces = (ids[:, :-3], *torch.split(ids[:, -3:], 1, 1))
    return [trunk.forward(piece, cache, taps=taps, reads=reads) for piece in pieces]


def _ended(trunk: Trunk, ids: Tensor, cache: Cache, held: int) -> list[Tensor]:
    """The rest of a text after what a cache holds: a chunk of two, then single tokens."""
    pieces = (ids[:, held : held + 2], *torch.split(ids[:, held + 2 :], 1, 1))
    return [trunk.forward(piece, cache).logits for piece in pieces]


def _direction(trunk: Trunk, seed: int) -> Tensor:
    """A vector as long as is usual for a residual stream of this width, in no direction."""
    return torch.randn(trunk.info.width, generator=torch.Generator().manual_seed(seed))


def _pushing(trunk: Trunk, layer: int) -> Taps:
    direction = _direction(trunk, 1)
    return {layer: (lambda h: direction.to(h) + 0.1 * h,)}


def _shift(pushed: Sequence[Step], plain: Sequence[Step]) -> Tensor:
    """By how much the logits of each call moved."""
    return torch.cat(
        [a.logits[:, -1] - b.logits[:, -1] for a, b in zip(pushed, plain, strict=True)]
    )


def _bias_size(case: Case, q: int) -> tuple[int, ...]:
    info = case.trunk.info
    return info.layers, 1, info.heads, q, case.ids.shape[1]


def _greedy(trunk: Trunk, prompt: Sequence[int], limit: int = _GREEDY_TOKENS) -> list[int]:
    cache = trunk.cache()
    logits = trunk.forward(torch.tensor([list(prompt)]), cache).logits[0, -1]
    greedy, generator = Sampling(temperature=0), torch.Generator()
    picks = decode(
        trunk, cache, logits, choose=lambda row, _: pick(row, greedy, generator), end_ids=(),
        limit=limit,
    )  # fmt: skip
    return [each.id for each in picks]


def _generated(against: "ReferenceTrunk", prompt: Tensor) -> list[int]:
    ids = prompt.to(against.device)
    said = against.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=_GREEDY_TOKENS,
        min_new_tokens=_GREEDY_TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0,
        repetition_penalty=1.0,
    )  # fmt: skip
    return [int(token) for token in said[0, prompt.shape[1] :]]


def _lead(against: Trunk, ids: Sequence[int]) -> float:
    """How far the best next token is ahead of the second, in logits."""
    best = _forward(against, torch.tensor([list(ids)]))[0].float().topk(2).values
    return float(best[0] - best[1])
