import os

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from anima.errors import ModelError, UsageError
from anima.home import find_home
from anima.trunk import loader
from anima.trunk.reference import ATTENTION, ReferenceTrunk


def test_float32_is_chosen_on_a_cpu_that_holds_the_weights_twice():
    assert loader.choose_dtype("auto", "cpu", 1000, 8000) == torch.float32
    assert loader.choose_dtype("auto", "cpu", 1001, 8000) == torch.bfloat16
    assert loader.choose_dtype("auto", "cuda", 1, 8000) == torch.bfloat16
    assert loader.choose_dtype("float16", "cpu", 1, 8000) == torch.float16


def test_an_unknown_dtype_or_device_says_what_there_is():
    with pytest.raises(UsageError, match="float32, bfloat16, float16"):
        loader.choose_dtype("int3", "cpu", 1, 1)
    with pytest.raises(UsageError, match="auto, cpu, cuda or mps"):
        loader.choose_device("tpu")


def test_what_does_not_fit_on_the_device_is_spread():
    assert loader.placement("cuda", 100, 110) == {"": "cuda"}
    assert loader.placement("cuda", 100, 109) == "auto"


def test_the_fingerprint_changes_with_one_weight_and_not_with_the_place(tmp_path):
    first = loader.fingerprint(tiny.save(tmp_path / "a"))
    assert loader.fingerprint(tiny.save(tmp_path / "b")) == first
    model = tiny.llama()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] += 1
    assert loader.fingerprint(tiny.save(tmp_path / "c", model)) != first


def test_a_local_folder_loads_with_its_template_and_end_tokens(tmp_path):
    found = loader.load(str(tiny.save(tmp_path / "m")), find_home(None, os.environ), device="cpu")
    assert found.chat_template == tiny.TEMPLATE
    assert found.end_ids == {2}
    ids = torch.tensor([[5, 6, 7]])
    plain = tiny.trunk()
    # Mapped weights lie at other addresses, and kernels round by alignment.
    torch.testing.assert_close(
        found.trunk.forward(ids, found.trunk.cache()).logits,
        plain.forward(ids, plain.cache()).logits,
    )


def test_a_model_whose_weights_lie_partly_on_disk_runs_and_takes_taps(tmp_path):
    options = {"max_memory": {"cpu": 60_000}, "offload_folder": str(tmp_path / "offload")}
    model = AutoModelForCausalLM.from_pretrained(
        tiny.save(tmp_path / "m"), device_map="auto", attn_implementation=ATTENTION, **options
    )
    assert "disk" in model.hf_device_map.values()
    spread, plain = ReferenceTrunk(model, name="t", fingerprint="f"), tiny.trunk()
    ids = torch.tensor([[5, 6, 7]])
    for taps in ({}, {1: (lambda h: torch.ones_like(h),)}):
        torch.testing.assert_close(
            spread.forward(ids, spread.cache(), taps=taps).logits,
            plain.forward(ids, plain.cache(), taps=taps).logits,
        )


def test_a_tokenizer_file_that_is_not_json_is_named(tmp_path):
    folder = tiny.save(tmp_path / "m")
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="could not be loaded"):
        loader.load(str(folder), find_home(None, os.environ), device="cpu")
