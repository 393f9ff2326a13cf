import gc

import pytest
import tiny
import torch
from captured import Captured

from anima.errors import CorruptModelError, ModelError
from anima.trunk.fast_loading import fast_info
from anima.trunk.fast_shape import shape_of
from anima.trunk.reference import ReferenceTrunk
from anima.trunk.static import StaticTrunk
from anima.trunk.static_weights import TensorFiles, placed, random_weights

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 80, 81, 82, 90, 7, 100, 33]])
LLAMA = {"architectures": ["LlamaForCausalLM"]}


def static_of(model, dtype=torch.float32, runner=None):
    shape = shape_of({**model.config.to_dict(), **LLAMA})
    info = fast_info(shape, name="tiny", fingerprint="x", quantize="none")
    weights = placed(model.state_dict(), shape, CPU, dtype)
    return StaticTrunk(weights, shape, info, reference=tiny.trunk, runner=runner)


def both(model):
    return ReferenceTrunk(model, name="tiny", fingerprint="x"), static_of(model)


def close(a, b, atol=1e-4):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def decoded(trunk, tokens, taps=(), **options):
    """The logits of single tokens after IDS, the taps in force taking turns."""
    cache = trunk.cache()
    trunk.forward(IDS, cache)
    steps = []
    for index, token in enumerate(tokens):
        force = taps[index % len(taps)] if taps else {}
        steps.append(trunk.forward(torch.tensor([[token]]), cache, taps=force, **options))
    return steps


def test_taps_reads_bias_and_padding_give_what_the_reference_gives_in_prefill_and_decode():
    delta = torch.randn(2, 1, 32, generator=torch.Generator().manual_seed(2))
    bias = torch.randn(3, 2, 4, 9, 9, generator=torch.Generator().manual_seed(3))
    taps = {1: (lambda h: delta + 0.1 * h,)}
    kinds = []
    for trunk in both(tiny.llama()):
        cache = trunk.cache(2, padding=[0, 3])
        first = trunk.forward(
            IDS.repeat(2, 1), cache, taps=taps, bias=bias[..., :8, :8], reads=(0, 1, 2)
        )
        second = trunk.forward(
            torch.tensor([[9], [8]]), cache, taps=taps, bias=bias[..., 8:, :], reads=(0, 1, 2)
        )
        kinds.append((first, second))
    for reference, static in zip(*kinds, strict=True):
        close(reference.logits, static.logits)
        for layer in range(3):
            close(reference.reads[layer][0], static.reads[layer][0])
            close(reference.reads[layer][1, 3:], static.reads[layer][1, 3:])


def test_a_context_that_outgrows_its_buffers_gives_what_the_reference_gives():
    ids = torch.randint(3, 259, (1, 600), generator=torch.Generator().manual_seed(4))
    logits = []
    for trunk in both(tiny.llama(window=2048)):
        cache = trunk.cache()
        for piece in (ids[:, :250], *ids[:, 250:270].split(1, 1), ids[:, 270:]):
            step = trunk.forward(piece, cache)
        logits += [step.logits, trunk.forward(torch.tensor([[9]]), cache).logits]
        assert cache.length == 601
    close(logits[0], logits[2])
    close(logits[1], logits[3])


def test_the_stretched_positions_of_llama_3_give_what_the_reference_gives():
    from transformers import LlamaForCausalLM

    config = tiny.llama().config
    config.rope_parameters = {
        "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
    }  # fmt: skip
    torch.manual_seed(1)
    ids = torch.randint(3, 259, (1, 200))
    model = LlamaForCausalLM(config).eval()
    steps = []
    for trunk in both(model):
        cache = trunk.cache()
        trunk.forward(ids[:, :-1], cache)
        steps.append(trunk.forward(ids[:, -1:], cache).logits)
    close(*steps)


def test_a_tied_head_and_half_precision_stay_near_the_reference():
    from transformers import LlamaForCausalLM

    config = tiny.llama().config
    config.tie_word_embeddings = True
    torch.manual_seed(3)
    model = LlamaForCausalLM(config).eval()
    reference, exact = both(model)
    expected = reference.forward(IDS, reference.cache()).logits
    close(exact.forward(IDS, exact.cache()).logits, expected)
    half = static_of(model, torch.bfloat16)
    cache = half.cache()
    half.forward(IDS[:, :-1], cache)
    rounded = half.forward(IDS[:, -1:], cache).logits
    assert rounded.dtype == torch.float32
    assert ((rounded - expected).norm() / expected.norm()) < 0.05


def test_a_captured_decode_equals_the_eager_one_to_the_bit_whatever_taps_come_and_go():
    push = {0: (lambda h: torch.full_like(h, 0.5),), 2: (lambda h: None,)}
    other = {1: (lambda h: -h,)}
    tokens = range(40, 60)
    for options in ({}, {"reads": (1,)}):
        eager = decoded(tiny.static(), tokens, ({}, push, other), **options)
        captured = decoded(tiny.captured(), tokens, ({}, push, other), **options)
        for a, b in zip(eager, captured, strict=True):
            assert torch.equal(a.logits, b.logits)
            assert all(torch.equal(a.reads[layer], b.reads[layer]) for layer in a.reads)


def test_pieces_are_cut_only_where_somebody_taps_or_reads_and_captured_once():
    runner = Captured()
    trunk = tiny.static(runner=runner)
    decoded(trunk, range(40, 50))
    assert runner.captures == 1
    decoded(trunk, range(40, 50), ({1: (lambda h: None,)},))
    assert runner.captures == 3
    decoded(trunk, range(40, 50), ({}, {1: (lambda h: h,)}), reads=())
    assert runner.captures == 3


def test_a_tap_on_the_last_layer_is_between_the_layers_and_the_head():
    runner = Captured()
    trunk = tiny.static(runner=runner)
    (step,) = decoded(trunk, [40], ({2: (lambda h: 2 * h,)},), reads=(2,))
    close(step.logits[0, -1], trunk.lens(3 * step.reads[2][0])[0])


def test_a_conversation_after_another_takes_over_its_buffers_and_graphs():
    runner = Captured()
    trunk = tiny.static(runner=runner)
    first = decoded(trunk, range(40, 50))
    gc.collect()
    again = decoded(trunk, range(40, 50))
    assert runner.captures == 1
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.logits, b.logits)


def test_two_conversations_at_once_do_not_share_buffers():
    trunk = tiny.captured()
    alone = [step.logits for step in decoded(trunk, (40, 41))]
    one, two = trunk.cache(), trunk.cache()
    trunk.forward(IDS, one)
    trunk.forward(IDS.flip(1), two)
    for token, expected in zip((40, 41), alone, strict=True):
        ids = torch.tensor([[token]])
        assert torch.equal(trunk.forward(ids, one).logits, expected)
        assert not torch.equal(trunk.forward(ids, two).logits, expected)


def test_what_a_tap_or_a_caller_was_shown_does_not_change_afterwards():
    trunk = tiny.captured()
    shown, copies = [], []

    def keep(h):
        shown.append(h)
        copies.append(h.clone())

    steps = decoded(trunk, range(40, 46), ({0: (keep,), 2: (keep,)},), reads=(0, 1))
    kept = [(step.logits.clone(), step.reads[1].clone()) for step in steps]
    decoded(trunk, range(50, 56))
    assert all(torch.equal(a, b) for a, b in zip(shown, copies, strict=True))
    for step, (logits, read) in zip(steps, kept, strict=True):
        assert torch.equal(step.logits, logits)
        assert torch.equal(step.reads[1], read)
    assert len({tuple(step.reads[0].flatten().tolist()) for step in steps}) == 6


def test_numbers_that_are_none_do_not_outlive_the_tokens_that_made_them():
    trunk = tiny.static()
    clean = decoded(trunk, [40])[0].logits
    broken = {0: (lambda h: torch.full_like(h, float("nan")),)}
    cache = trunk.cache()
    trunk.forward(IDS, cache)
    assert trunk.forward(torch.tensor([[40]]), cache, taps=broken).logits.isnan().all()
    cache.crop(8)
    assert torch.equal(trunk.forward(torch.tensor([[40]]), cache).logits, clean)
    trunk.forward(IDS, cache, taps=broken)
    del cache
    gc.collect()
    assert torch.equal(decoded(trunk, [40])[0].logits, clean)


def test_a_bias_that_ends_leaves_nothing_behind():
    trunk = tiny.captured()
    plain = [step.logits for step in decoded(trunk, (40, 41))]
    cache = trunk.cache()
    trunk.forward(IDS, cache)
    trunk.forward(torch.tensor([[40]]), cache, bias=torch.full((3, 1, 4, 1, 9), 5.0).tril(3))
    cache.crop(8)
    for token, expected in zip((40, 41), plain, strict=True):
        assert torch.equal(trunk.forward(torch.tensor([[token]]), cache).logits, expected)


def test_random_weights_have_the_shape_asked_for_and_count_their_bytes():
    shape = shape_of({**tiny.llama().config.to_dict(), **LLAMA})
    weights = random_weights(shape, CPU, torch.bfloat16)
    info = fast_info(shape, name="random", fingerprint="", quantize="none")
    trunk = StaticTrunk(weights, shape, info, reference=tiny.trunk)
    assert trunk.forward(IDS, trunk.cache()).logits.shape == (1, 1, 259)
    model = tiny.llama()
    matrices = sum(p.numel() for name, p in model.named_parameters() if "embed" not in name)
    assert trunk.bytes_per_token == 2 * (matrices + 32), "of the embedding one row is read"


def test_a_folder_is_read_tensor_by_tensor_and_what_it_lacks_is_named(tmp_path):
    model = tiny.llama()
    found = TensorFiles(tiny.save(tmp_path / "m", model))
    shape = shape_of({**model.config.to_dict(), **LLAMA})
    assert set(found) <= set(model.state_dict())
    weights = placed(found, shape, CPU, torch.float32)
    assert torch.equal(weights.norm, model.model.norm.weight)
    few = {name: found[name] for name in found if "layers.1.mlp.down" not in name}
    with pytest.raises(CorruptModelError, match=r"no weight model\.layers\.1\.mlp\.down_proj"):
        placed(few, shape, CPU, torch.float32)
    few["model.layers.1.mlp.down_proj.weight"] = torch.ones(31, 64)
    with pytest.raises(CorruptModelError, match=r"\(31, 64\); its config implies \(32, 64\)"):
        placed(few, shape, CPU, torch.float32)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0")
    with pytest.raises(CorruptModelError, match=str(tmp_path)):
        TensorFiles(tmp_path)


def test_another_executions_cache_or_one_of_other_rows_is_refused():
    trunk = tiny.static()
    with pytest.raises(ModelError, match="not a cache of this"):
        trunk.forward(IDS, tiny.trunk().cache())
    with pytest.raises(ModelError, match="2 rows does not fit ids of 1"):
        trunk.forward(IDS, trunk.cache(2))
