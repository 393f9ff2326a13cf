import sys

import pytest
import tiny

from anima.trunk import loader
from anima.trunk.convert import convert
from anima.trunk.foreseen import foreseen
from tests.trunk import small_model

USUAL = {"device": "cpu", "dtype": "auto", "engine": "auto", "quantize": "auto"}


@pytest.fixture
def converted(gguf_file, tmp_path):
    convert(gguf_file, tmp_path / "small", source={})
    return tmp_path / "small"


def test_a_converted_model_runs_fast_in_the_bits_of_its_file_or_as_set(converted):
    assert foreseen(converted, **USUAL) == (
        "fast execution, weights in int4, as the file has them"
    )  # fmt: skip
    assert "in int8, as set" in foreseen(converted, **{**USUAL, "quantize": "int8"})
    assert "float32, as set" in foreseen(converted, **{**USUAL, "quantize": "none"})
    assert foreseen(converted, **{**USUAL, "engine": "reference"}) == "reference execution, as set"


def test_where_nothing_can_be_compiled_the_next_best_path_is_named(converted, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    found = foreseen(converted, **USUAL)
    assert "weights unpacked in float32, as nothing can be compiled here" in found


def test_widths_that_do_not_divide_into_groups_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(small_model, "INNER", 96 + 16)
    weights = small_model.matrices()
    kinds = {
        name: small_model.gguf.GGMLQuantizationType.F16 for name in weights if "ffn_down" in name
    }
    file = small_model.write_gguf(tmp_path / "odd.gguf", weights=weights, kinds=kinds)
    convert(file, tmp_path / "odd", source={})
    assert "widths 64 and 112 do not divide into groups of 32" in foreseen(
        tmp_path / "odd", **USUAL
    )


def test_a_folder_of_the_users_own_and_an_architecture_it_does_not_know(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    own = tiny.save(tmp_path / "llama")
    assert "as the folder has no packed ones" in foreseen(own, **USUAL)
    half = foreseen(own, **{**USUAL, "dtype": "bfloat16"})
    assert half.startswith("reference execution: ")
    assert "not in bfloat16" in half
    config = GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=259)
    other = tiny.save(tmp_path / "gpt2", GPT2LMHeadModel(config))
    found = foreseen(other, **USUAL)
    assert found == (
        "reference execution: The fast execution knows LlamaForCausalLM, not GPT2LMHeadModel"
    )
    assert foreseen(other, **{**USUAL, "engine": "fast"}).startswith("refused under --engine fast")


def test_on_a_device_a_model_that_fits_is_said_to_run_whole_there(tmp_path, monkeypatch):
    own = tiny.save(tmp_path / "llama")
    monkeypatch.setattr(loader, "free_memory", lambda device: 1 << 30)
    on_device = {**USUAL, "device": "cuda"}
    assert foreseen(own, **on_device) == "fast execution, whole on cuda in bfloat16"
    monkeypatch.setattr(loader, "free_memory", lambda device: 1000)
    assert "spread over what there is" in foreseen(own, **on_device)
