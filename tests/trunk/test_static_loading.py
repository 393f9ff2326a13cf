import os

import pytest
import tiny
import torch

from anima.home import find_home
from anima.trunk import loader
from anima.trunk.convert import convert
from anima.trunk.fast_shape import shape_of
from anima.trunk.static_loading import device_obstacle, load_static, parameters

IDS = torch.tensor([[5, 80, 81, 82, 90, 7]])
LLAMA = {"architectures": ["LlamaForCausalLM"]}


def config_of(model, **changed):
    return {**model.config.to_dict(), **LLAMA, **changed}


@pytest.mark.parametrize("tied", [True, False])
def test_the_parameters_of_a_shape_are_those_of_its_model(tied):
    from transformers import LlamaForCausalLM

    config = tiny.llama().config
    config.tie_word_embeddings = tied
    model = LlamaForCausalLM(config)
    counted = parameters(shape_of(config_of(model)), tied=tied)
    assert counted == sum(p.numel() for p in model.parameters())


def test_a_model_that_fits_on_the_device_runs_there_and_others_say_why_not():
    model = tiny.llama()
    needed = 2 * sum(p.numel() for p in model.parameters())
    assert device_obstacle(config_of(model), bits=16, free=needed * 12 // 10) is None
    assert "spread" in device_obstacle(config_of(model), bits=16, free=needed)
    other = config_of(model, architectures=["GPT2LMHeadModel"])
    assert "GPT2LMHeadModel" in device_obstacle(other, bits=16, free=1 << 40)


@pytest.mark.parametrize("converted", [True, False])
def test_a_folder_of_either_kind_gives_what_the_reference_gives(
    converted, gguf_file, tmp_path, said
):
    folder = tmp_path / "m"
    if converted:
        convert(gguf_file, folder, source={})
    else:
        tiny.save(folder)
    made = []
    trunk = load_static(
        folder, name="m", fingerprint="x", quantize="int4", device="cpu", dtype=torch.float32,
        reference=lambda: made.append(1), say=said,
    )  # fmt: skip
    assert (trunk.info.engine, trunk.info.device, trunk.info.quantize) == ("fast", "cpu", "none")
    assert said == ["int4 is for the CPU: on cpu the weights stay in float32."]
    step = trunk.forward(IDS, trunk.cache(), logits_at="all").logits
    exact = exact_logits(folder, converted)
    assert (step - exact).norm() / exact.norm() < 1e-4
    assert not made, "the reference execution is made for gradients only"


def exact_logits(folder, converted):
    from transformers import LlamaConfig, LlamaForCausalLM

    from anima.trunk.packed import load_state

    state = load_state(folder) if converted else tiny.llama().state_dict()
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(folder)).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        return model(IDS).logits


def test_on_a_device_the_loader_takes_this_execution_and_no_step_asks_the_host(
    tmp_path, monkeypatch
):
    # On "meta" tensors have shapes and no numbers, so that waiting for one raises.
    monkeypatch.setattr(loader, "choose_device", lambda device: "meta")
    found = loader.load(str(tiny.save(tmp_path / "m")), find_home(None, os.environ))
    trunk = found.trunk
    assert (type(trunk).__name__, trunk.info.device, trunk.info.dtype) == (
        "StaticTrunk", "meta", "bfloat16",
    )  # fmt: skip
    cache = trunk.cache(2, padding=[0, 2])
    taps = {1: (lambda h: 0.1 * h,)}
    trunk.forward(IDS.repeat(2, 1), cache, taps=taps)
    step = trunk.forward(torch.ones(2, 1, dtype=torch.long), cache, taps=taps, reads=(0,))
    assert (step.logits.shape, step.reads[0].shape) == ((2, 1, 259), (2, 1, 32))
