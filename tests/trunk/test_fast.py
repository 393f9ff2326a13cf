import pytest
import tiny
import torch

from anima.errors import CorruptModelError, ModelError
from anima.trunk.fast import FastTrunk
from anima.trunk.fast_loading import fast_info
from anima.trunk.fast_shape import shape_of
from anima.trunk.fast_weights import arrange
from anima.trunk.reference import ReferenceTrunk

IDS = torch.tensor([[5, 80, 81, 82, 90, 7, 100, 33]])
LLAMA = {"architectures": ["LlamaForCausalLM"]}


def both(model):
    shape = shape_of({**model.config.to_dict(), **LLAMA})
    info = fast_info(shape, name="tiny", fingerprint="x", quantize="none")
    fast = FastTrunk(arrange(model.state_dict(), shape, "none"), shape, info, reference=tiny.trunk)
    return ReferenceTrunk(model, name="tiny", fingerprint="x"), fast


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_taps_reads_bias_and_padding_give_what_the_reference_gives():
    delta = torch.randn(2, 8, 32, generator=torch.Generator().manual_seed(2))
    bias = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    steps = []
    for trunk in both(tiny.llama()):
        cache = trunk.cache(2, padding=[0, 3])
        steps.append(
            trunk.forward(
                IDS.repeat(2, 1), cache, taps={1: (lambda h: delta + 0.1 * h,)}, bias=bias,
                reads=(0, 1, 2),
            )
        )  # fmt: skip
    close(steps[0].logits, steps[1].logits)
    for layer in range(3):
        close(steps[0].reads[layer][0], steps[1].reads[layer][0])
        close(steps[0].reads[layer][1, 3:], steps[1].reads[layer][1, 3:])


def test_a_context_longer_than_the_first_buffers_gives_what_the_reference_gives():
    ids = torch.randint(3, 259, (1, 1300), generator=torch.Generator().manual_seed(4))
    logits = []
    for trunk in both(tiny.llama(window=2048)):
        cache = trunk.cache()
        for piece in ids.split(500, 1):
            trunk.forward(piece, cache)
        logits.append(trunk.forward(torch.tensor([[9]]), cache).logits)
        assert cache.length == 1301
    close(*logits)


def test_the_stretched_positions_of_llama_3_give_what_the_reference_gives():
    from transformers import LlamaForCausalLM

    config = tiny.llama(window=512).config
    config.rope_parameters = {
        "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
    }  # fmt: skip
    torch.manual_seed(1)
    ids = torch.randint(3, 259, (1, 200))
    reference, fast = both(LlamaForCausalLM(config).eval())
    close(reference.forward(ids, reference.cache()).logits, fast.forward(ids, fast.cache()).logits)


def test_what_a_tap_was_shown_does_not_change_afterwards():
    trunk = tiny.fast()
    shown, copies = [], []

    def keep(h):
        shown.append(h)
        copies.append(h.clone())

    step = trunk.forward(IDS, trunk.cache(), taps={0: (keep,), 2: (keep,)}, reads=(0,))
    assert torch.equal(shown[0], copies[0])
    assert torch.equal(shown[1], copies[1])
    assert torch.equal(step.reads[0], copies[0])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel"),
        ({"architectures": None}, "unnamed"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "'yarn'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
)
def test_a_model_it_does_not_know_is_refused_with_the_reason(changed, reason):
    with pytest.raises(ModelError, match=reason):
        shape_of({**tiny.llama().config.to_dict(), **LLAMA, **changed})


def test_a_missing_or_misshapen_weight_is_named():
    model = tiny.llama()
    shape = shape_of({**model.config.to_dict(), **LLAMA})
    state = dict(model.state_dict())
    state["model.norm.weight"] = torch.ones(31)
    with pytest.raises(CorruptModelError, match=r"model.norm.weight has shape \(31,\).*\(32,\)"):
        arrange(state, shape, "none")
    del state["model.norm.weight"]
    with pytest.raises(CorruptModelError, match=r"no weight model\.norm\.weight"):
        arrange(state, shape, "none")
