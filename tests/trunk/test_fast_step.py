"""The compiled step against the reference execution of the very same rounded weights."""

import pytest
import tiny
import torch

from anima.trunk.fast import FastTrunk
from anima.trunk.fast_kernels import in_eight_bits, in_four_bits
from anima.trunk.fast_loading import fast_info
from anima.trunk.fast_shape import shape_of
from anima.trunk.fast_weights import arrange
from anima.trunk.reference import ReferenceTrunk

IDS = torch.tensor([[5, 80, 81, 82, 90, 7, 100, 33]])
LLAMA = {"architectures": ["LlamaForCausalLM"]}
FORMS = {"int4": in_four_bits, "int8": in_eight_bits}


def both(quantize="int4", **options):
    """The same rounded weights, dense in the reference execution and packed in the fast one."""
    model = tiny.llama(**{"heads": 2, **options})
    found = {
        name: (FORMS[quantize] if "proj" in name else in_eight_bits)(weight)
        if weight.ndim == 2
        else weight
        for name, weight in model.state_dict().items()
    }
    model.load_state_dict(
        {
            name: weight if isinstance(weight, torch.Tensor) else weight.dequantised()
            for name, weight in found.items()
        }
    )
    shape = shape_of({**model.config.to_dict(), **LLAMA})
    info = fast_info(shape, name="tiny", fingerprint="x", quantize=quantize)
    fast = FastTrunk(arrange(found, shape, quantize), shape, info, reference=tiny.trunk)
    return ReferenceTrunk(model, name="tiny", fingerprint="x"), fast


def close(a, b):
    assert ((a - b).norm() / b.norm()).item() < 1e-3


@pytest.mark.parametrize("quantize", ["int4", "int8"])
@pytest.mark.parametrize("heads", [2, 4])
def test_taps_reads_bias_and_padding_give_what_the_reference_gives(quantize, heads):
    delta = torch.randn(2, 8, 32, generator=torch.Generator().manual_seed(2))
    bias = torch.randn(3, 2, heads, 8, 8, generator=torch.Generator().manual_seed(3))
    steps = []
    for trunk in both(quantize, heads=heads):
        steps.append(
            trunk.forward(
                IDS.repeat(2, 1), trunk.cache(2, padding=[0, 3]),
                taps={1: (lambda h: delta + 0.1 * h,)}, bias=bias, reads=(0, 1, 2),
                logits_at="all",
            )
        )  # fmt: skip
    close(steps[0].logits[0], steps[1].logits[0])
    close(steps[0].logits[1, 3:], steps[1].logits[1, 3:])
    for layer in range(3):
        close(steps[0].reads[layer][0], steps[1].reads[layer][0])
        close(steps[0].reads[layer][1, 3:], steps[1].reads[layer][1, 3:])


def test_decoding_over_a_growing_cache_gives_what_the_reference_gives():
    ids = torch.randint(3, 259, (1, 700), generator=torch.Generator().manual_seed(4))
    reference, fast = both(window=2048)
    caches = (reference.cache(), fast.cache())
    for piece in (*ids.split(300, 1), *IDS.split(1, 1)):
        logits = [
            trunk.forward(piece, cache).logits
            for trunk, cache in zip((reference, fast), caches, strict=True)
        ]
        close(*logits)


def test_one_bias_row_for_all_queries_and_rows_is_shared_by_them():
    bias = torch.randn(3, 1, 2, 1, 8, generator=torch.Generator().manual_seed(5))
    reference, fast = both()
    ids = IDS.repeat(3, 1)
    close(
        reference.forward(ids, reference.cache(3), bias=bias.expand(3, 3, 2, 8, 8)).logits,
        fast.forward(ids, fast.cache(3), bias=bias).logits,
    )


def test_a_row_of_a_batch_is_to_the_bit_what_it_is_alone_and_threads_change_nothing():
    _, fast = both()
    ids = torch.randint(3, 259, (5, 9), generator=torch.Generator().manual_seed(6))
    together = fast.forward(ids, fast.cache(5)).logits
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            assert torch.equal(fast.forward(ids, fast.cache(5)).logits, together)
            assert torch.equal(fast.forward(ids[3:4], fast.cache()).logits[0], together[3])
    finally:
        torch.set_num_threads(threads)


def test_stopping_at_layers_changes_nothing_to_the_bit():
    _, fast = both()
    plain = fast.forward(IDS, fast.cache()).logits
    watched = fast.forward(IDS, fast.cache(), reads=(0, 1, 2), taps={1: (lambda h: None,)}).logits
    assert torch.equal(plain, watched)


def test_heads_that_do_not_divide_into_vectors_run_all_the_same():
    reference, fast = both(heads=4)
    close(reference.forward(IDS, reference.cache()).logits, fast.forward(IDS, fast.cache()).logits)
