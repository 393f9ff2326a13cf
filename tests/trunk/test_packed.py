from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import load_file, save_file

from anima.errors import CorruptModelError
from anima.trunk.convert import convert
from anima.trunk.packed import EightBit, FourBit, is_converted, load_state, read_packed

ROWS, GROUPS = 3, 2
finite_halves = arrays(
    np.float16, (ROWS, GROUPS), elements=st.floats(-65504, 65504, width=16, allow_nan=False)
)


@pytest.fixture
def folder(gguf_file: Path, tmp_path: Path) -> Path:
    convert(gguf_file, tmp_path / "tiny", source={})
    return tmp_path / "tiny"


@given(arrays(np.uint8, (ROWS, GROUPS * 16)), finite_halves, finite_halves)
def test_four_bits_dequantise_bit_for_bit_as_gguf_does(
    packed: np.ndarray, scale: np.ndarray, minimum: np.ndarray
) -> None:
    blocks = np.concatenate(
        [
            scale[..., None].view(np.uint8),
            minimum[..., None].view(np.uint8),
            packed.reshape(ROWS, GROUPS, 16),
        ],
        axis=-1,
    )
    theirs = gguf.quants.dequantize(blocks.reshape(ROWS, -1), GGMLQuantizationType.Q4_1)
    ours = FourBit(
        packed=torch.from_numpy(packed),
        scale=torch.from_numpy(scale),
        minimum=torch.from_numpy(minimum),
    ).dequantised()
    assert np.array_equal(ours.numpy().view(np.uint32), theirs.view(np.uint32))


@given(arrays(np.int8, (ROWS, GROUPS * 32)), finite_halves)
def test_eight_bits_dequantise_bit_for_bit_as_gguf_does(
    values: np.ndarray, scale: np.ndarray
) -> None:
    blocks = np.concatenate(
        [scale[..., None].view(np.uint8), values.view(np.uint8).reshape(ROWS, GROUPS, 32)], axis=-1
    )
    theirs = gguf.quants.dequantize(blocks.reshape(ROWS, -1), GGMLQuantizationType.Q8_0)
    ours = EightBit(values=torch.from_numpy(values), scale=torch.from_numpy(scale)).dequantised()
    assert np.array_equal(ours.numpy().view(np.uint32), theirs.view(np.uint32))


def test_the_packed_parts_have_the_documented_types_and_shapes(folder: Path) -> None:
    weights = read_packed(folder)
    gate = weights["model.layers.0.mlp.gate_proj.weight"]
    assert isinstance(gate, FourBit)
    assert (gate.packed.dtype, tuple(gate.packed.shape)) == (torch.uint8, (96, 32))
    assert (gate.scale.dtype, tuple(gate.scale.shape)) == (torch.float16, (96, 2))
    assert (gate.minimum.dtype, tuple(gate.minimum.shape)) == (torch.float16, (96, 2))
    embedding = weights["model.embed_tokens.weight"]
    assert isinstance(embedding, EightBit)
    assert (embedding.values.dtype, embedding.values.shape[1]) == (torch.int8, 64)
    norm = weights["model.norm.weight"]
    assert isinstance(norm, torch.Tensor)
    assert norm.dtype == torch.float32


def test_a_tied_head_is_the_embedding_itself_and_all_is_float32(folder: Path) -> None:
    state = load_state(folder)
    assert state["lm_head.weight"] is state["model.embed_tokens.weight"]
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


def test_a_loaded_state_outlives_its_folder(folder: Path) -> None:
    state = load_state(folder)
    expected = {name: tensor.clone() for name, tensor in state.items()}
    weights = folder / "weights.safetensors"
    size = weights.stat().st_size
    with weights.open("rb+") as file:  # in place: what is mapped would change with it
        file.write(bytes(size))
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_a_folder_is_known_as_converted_by_its_manifest(folder: Path, tmp_path: Path) -> None:
    assert is_converted(folder)
    assert not is_converted(tmp_path)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.999])
def test_truncated_weights_are_corrupt_and_the_file_is_named(folder: Path, share: float) -> None:
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CorruptModelError, match=r"weights\.safetensors cannot be read"):
        load_state(folder)


def test_missing_weights_are_corrupt_and_the_file_is_named(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CorruptModelError, match=r"weights\.safetensors cannot be read"):
        load_state(folder)


@pytest.mark.parametrize("part", ["scale", "minimum", "packed"])
def test_a_weight_whose_parts_do_not_fit_together_is_corrupt(folder: Path, part: str) -> None:
    path = folder / "weights.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    name = f"model.layers.0.mlp.up_proj.{part}"
    for broken in (tensors.pop(name)[:, :1].contiguous(), None):
        save_file(tensors | ({} if broken is None else {name: broken}), path)
        with pytest.raises(CorruptModelError, match="up_proj"):
            load_state(folder)


@pytest.mark.slow
def test_the_real_state_has_every_weight_of_a_llama_of_that_size(smollm2_folder: Path) -> None:
    state = load_state(smollm2_folder)
    assert len(state) == 30 * 9 + 3
    assert sum(tensor.numel() for tensor in state.values()) - 49152 * 576 == 134_515_008
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())
