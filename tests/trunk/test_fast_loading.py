import os
import subprocess
import sys

import pytest
import tiny
import torch

from anima.errors import UsageError
from anima.home import find_home
from anima.trunk import loader
from anima.trunk.convert import convert

IDS = torch.tensor([[5, 80, 81, 82, 90, 7]])


@pytest.fixture
def converted(gguf_file, tmp_path):
    convert(gguf_file, tmp_path / "small", source={})
    return tmp_path / "small"


def load(folder, said=lambda line: None, **options):
    found = loader.load(str(folder), find_home(None, os.environ), device="cpu", say=said, **options)
    return found.trunk


def logits(trunk, ids=IDS):
    return trunk.forward(ids, trunk.cache(len(ids)), logits_at="all").logits


def test_a_converted_model_runs_fast_in_the_files_own_bits(converted, said):
    trunk = load(converted, said)
    assert (trunk.info.engine, trunk.info.quantize, trunk.info.dtype) == ("fast", "int4", "float32")
    assert len(said) <= 1  # that something is compiled, the first time


def test_where_nothing_can_be_compiled_the_model_runs_unpacked_and_it_is_said(
    converted, said, monkeypatch
):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert load(converted, said).info.quantize == "none"
    assert len(said) == 1
    assert "unpacked" in said[0]


def test_unpacked_it_equals_the_reference_and_packed_it_is_near(converted):
    exact = logits(load(converted, engine="reference"))
    assert (logits(load(converted, quantize="none")) - exact).norm() / exact.norm() < 1e-4
    # The first token only: this model's weights are so large that attention flips on a rounding.
    for quantize, loss in (("int4", 1e-3), ("int8", 0.03)):
        near = logits(load(converted, quantize=quantize))
        assert (near - exact)[:, 0].norm() / exact[:, 0].norm() < loss


def test_a_packed_model_differentiates_in_the_reference_execution(converted):
    trunk = load(converted)
    with trunk.differentiable() as run:
        bias = torch.zeros(2, 1, 2, 1, 6, requires_grad=True)
        run.forward(IDS, run.cache(), bias=bias).logits.sum().backward()
    assert bias.grad is not None
    assert bias.grad.abs().sum() > 0


def test_a_folder_of_a_llama_runs_fast_and_packs_where_asked(tmp_path):
    folder = tiny.save(tmp_path / "m")
    assert load(folder).info.engine == "fast"
    assert load(folder).info.quantize == "none"
    assert load(folder, quantize="int8").info.quantize == "int8"


def test_another_architecture_runs_in_the_reference_execution_and_says_why(tmp_path, said):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=259)
    folder = tiny.save(tmp_path / "m", GPT2LMHeadModel(config))
    assert load(folder, said).info.engine == "reference"
    assert len(said) == 1
    assert "knows LlamaForCausalLM, not GPT2LMHeadModel" in said[0]
    with pytest.raises(UsageError, match="--engine auto"):
        load(folder, engine="fast")


def test_half_precision_runs_in_the_reference_execution(tmp_path, said):
    folder = tiny.save(tmp_path / "m")
    assert load(folder, said, dtype="bfloat16").info.engine == "reference"
    assert "not in bfloat16" in said[0]


def test_the_reference_execution_refuses_packed_weights(converted):
    with pytest.raises(UsageError, match="--quantize none"):
        load(converted, engine="reference", quantize="int4")


def test_a_converted_model_loads_without_transformers(converted):
    code = (
        "import os, sys\n"
        "from anima.home import find_home\n"
        "from anima.trunk import loader\n"
        f"loader.load({str(converted)!r}, find_home(None, os.environ), device='cpu')\n"
        "print(sorted({'transformers', 'accelerate', 'gguf', 'sae_lens'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
