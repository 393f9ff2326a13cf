import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from anima.errors import CorruptModelError, ModelError
from anima.trunk.convert import _unpacked, convert, unpermute
from anima.trunk.manifest import check_files, read_manifest
from anima.trunk.packed import load_state
from tests.trunk import small_model

KNOWN_IDS = json.loads(
    (Path(__file__).parent / "smollm2_token_ids.json").read_text(encoding="utf-8")
)["texts"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny"


@pytest.fixture
def tokenizer(gguf_file: Path, target: Path) -> Tokenizer:
    convert(gguf_file, target, source={})
    return Tokenizer.from_file(str(target / "tokenizer.json"))


def _pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return list(tokenizer.encode(text, add_special_tokens=False).tokens)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
def test_unpermuting_undoes_llama_cpps_permutation(heads: int, half: int, columns: int) -> None:
    rows = np.arange(heads * 2 * half * columns, dtype=np.uint8).reshape(-1, columns)
    assert np.array_equal(unpermute(small_model.permute(rows, heads), heads), rows)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_unpermuting_packed_rows_equals_unpermuting_their_values(seed: int, heads: int) -> None:
    values = np.random.default_rng(seed).standard_normal((heads * 4, 64)).astype(np.float32)
    packed = gguf.quants.quantize(values, GGMLQuantizationType.Q4_1)
    before = unpermute(gguf.quants.dequantize(packed, GGMLQuantizationType.Q4_1), heads)
    after = gguf.quants.dequantize(unpermute(packed, heads), GGMLQuantizationType.Q4_1)
    assert np.array_equal(before, after)


def test_every_weight_has_exactly_the_value_that_the_file_gives_it(
    gguf_file: Path, target: Path
) -> None:
    convert(gguf_file, target, source={})
    state = load_state(target)
    weights = small_model.matrices()
    names = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "blk.1.attn_norm.weight": "model.layers.1.input_layernorm.weight",
        "blk.0.attn_q.weight": "model.layers.0.self_attn.q_proj.weight",
        "blk.1.attn_k.weight": "model.layers.1.self_attn.k_proj.weight",
        "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight",
        "blk.1.attn_output.weight": "model.layers.1.self_attn.o_proj.weight",
        "blk.0.ffn_norm.weight": "model.layers.0.post_attention_layernorm.weight",
        "blk.1.ffn_gate.weight": "model.layers.1.mlp.gate_proj.weight",
        "blk.0.ffn_up.weight": "model.layers.0.mlp.up_proj.weight",
        "blk.1.ffn_down.weight": "model.layers.1.mlp.down_proj.weight",
    }
    for theirs, ours in names.items():
        kind = small_model.usual_kind(theirs)
        stored = gguf.quants.quantize(weights[theirs], kind)
        meant = gguf.quants.dequantize(stored, kind)
        assert np.array_equal(state[ours].numpy(), meant), theirs


def test_transformers_reads_the_configuration_and_takes_every_weight(
    gguf_file: Path, target: Path
) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    convert(gguf_file, target, source={})
    config = LlamaConfig.from_pretrained(target)
    assert config.rope_parameters == {"rope_type": "default", "rope_theta": 100000.0}
    assert config.rms_norm_eps == 1e-5
    assert config.max_position_embeddings == 128
    assert config.tie_word_embeddings
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (1, 2, 2)
    loaded = LlamaForCausalLM(config).load_state_dict(load_state(target), strict=True)
    assert not loaded.missing_keys
    assert not loaded.unexpected_keys


def test_a_reply_ends_at_the_files_end_token_and_at_the_end_of_a_text(
    gguf_file: Path, target: Path
) -> None:
    convert(gguf_file, target, source={})
    generation = json.loads((target / "generation_config.json").read_text(encoding="utf-8"))
    assert generation["eos_token_id"] == [2, 0]


def test_an_untied_head_is_converted_as_one(tmp_path: Path, target: Path) -> None:
    weights = small_model.matrices()
    weights["output.weight"] = -weights["token_embd.weight"]
    convert(small_model.write_gguf(tmp_path / "untied.gguf", weights=weights), target, source={})
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    state = load_state(target)
    assert config["tie_word_embeddings"] is False
    assert not np.array_equal(state["lm_head.weight"], state["model.embed_tokens.weight"])


def test_digits_are_split_one_by_one_before_merging(tokenizer: Tokenizer) -> None:
    assert _pieces(tokenizer, "12 ab") == ["1", "2", "Ġab"]


def test_a_byte_that_the_vocabulary_lacks_is_dropped_without_joining_its_neighbours(
    tokenizer: Tokenizer,
) -> None:
    assert _pieces(tokenizer, "--") == ["--"]
    assert _pieces(tokenizer, "-\x04-") == ["-", "-"]


def test_control_tokens_are_special_and_can_be_read_as_plain_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<|im_end|>").ids == [2]
    tokenizer.encode_special_tokens = True
    assert 2 not in tokenizer.encode("<|im_end|>").ids
    assert tokenizer.decode([1, 2], skip_special_tokens=True) == ""


def test_what_is_encoded_decodes_to_the_same_text(tokenizer: Tokenizer) -> None:
    text = "ab 12\n\té 日本 😀 don't -- "
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_chat_template_is_kept_as_it_is(gguf_file: Path, target: Path) -> None:
    convert(gguf_file, target, source={})
    kept = (target / "chat_template.jinja").read_text(encoding="utf-8")
    assert kept == small_model.CHAT_TEMPLATE


def test_the_manifest_names_every_other_file_and_the_source(gguf_file: Path, target: Path) -> None:
    convert(gguf_file, target, source={"package": "tiny-model"})
    manifest = read_manifest(target)
    assert {path.name for path in target.iterdir()} == {*manifest.files, "anima.json"}
    assert manifest.model == "tiny"
    assert manifest.source == {"package": "tiny-model"}
    check_files(target, manifest, hashes=True)


def test_the_fingerprint_depends_on_the_weights_and_on_nothing_else(tmp_path: Path) -> None:
    files = {
        "one": small_model.write_gguf(tmp_path / "one.gguf"),
        "same": small_model.write_gguf(tmp_path / "same.gguf", template="another"),
        "other": small_model.write_gguf(tmp_path / "other.gguf", seed=1),
    }
    prints = {
        name: convert(file, tmp_path / name, source={}).fingerprint for name, file in files.items()
    }
    assert prints["one"] == prints["same"] != prints["other"]


def test_a_former_conversion_is_replaced_as_a_whole(tmp_path: Path, target: Path) -> None:
    convert(small_model.write_gguf(tmp_path / "a.gguf"), target, source={})
    (target / "stray").touch()
    second = convert(small_model.write_gguf(tmp_path / "b.gguf", seed=1), target, source={})
    assert read_manifest(target) == second
    assert [path.name for path in target.parent.iterdir()] == ["tiny"]
    assert not (target / "stray").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "qwen2"}, "architecture is 'qwen2'"),
        ({"pre": "llama-bpe"}, "pre-tokenizer 'llama-bpe'"),
        ({"template": None}, "has no tokenizer.chat_template"),
        ({"values": {"llama.rope.scaling.type": "yarn"}}, "scaled \\('yarn'\\)"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(
    tmp_path: Path, target: Path, changes: dict[str, Any], message: str
) -> None:
    file = small_model.write_gguf(tmp_path / "odd.gguf", **changes)
    with pytest.raises(ModelError, match=message) as caught:
        convert(file, target, source={})
    assert "odd.gguf" in str(caught.value)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["Q4_0", "Q5_0", "Q5_1", "F16", "BF16"])
def test_tensors_of_another_type_keep_their_values_and_the_loss_of_packing_is_said(
    tmp_path: Path, target: Path, kind: str
) -> None:
    stored = GGMLQuantizationType[kind]
    names = ("blk.0.attn_q.weight", "blk.1.ffn_down.weight")
    file = small_model.write_gguf(tmp_path / "other.gguf", kinds=dict.fromkeys(names, stored))
    said: list[str] = []
    convert(file, target, source={}, say=said.append)
    state = load_state(target)
    for theirs, ours in zip(
        names, ("layers.0.self_attn.q_proj", "layers.1.mlp.down_proj"), strict=True
    ):
        quantized = gguf.quants.quantize(small_model.matrices()[theirs], stored)
        meant = gguf.quants.dequantize(quantized, stored)
        assert np.array_equal(state[f"model.{ours}.weight"].numpy(), meant)
    if kind == "Q4_0":
        assert said == []
    else:
        assert len(said) == 1
        assert f"other.gguf has tensors of type {kind}," in said[0]


def test_blocks_of_256_values_are_dequantised(tmp_path: Path) -> None:
    size = GGML_QUANT_SIZES[GGMLQuantizationType.Q6_K][1]
    rows = np.arange(2 * size, dtype=np.uint8).reshape(2, size) % 61
    found = _unpacked("x", GGMLQuantizationType.Q6_K, rows)["x.weight"]
    # d, a float16, are the last two bytes; the first value is d·scale·(q − 32).
    d = rows[0, -2:].copy().view(np.float16)[0].astype(np.float32)
    q = int(rows[0, 0] & 15) | (int(rows[0, 128] & 3) << 4)
    scale = int(rows[0, 192].view(np.int8))
    assert found.shape == (2, 256)
    assert found[0, 0] == d * np.float32(scale) * np.float32(q - 32)


def test_a_type_that_is_no_number_of_a_model_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="Its tensor x is stored as I8"):
        _unpacked("x", GGMLQuantizationType.I8, np.zeros((2, 64), np.int8))


def test_an_unknown_tensor_is_refused_by_name(tmp_path: Path, target: Path) -> None:
    weights = small_model.matrices()
    weights["blk.0.attn_q_norm.weight"] = weights["output_norm.weight"]
    file = small_model.write_gguf(tmp_path / "odd.gguf", weights=weights)
    with pytest.raises(ModelError, match=r"blk\.0\.attn_q_norm\.weight is none of a Llama's"):
        convert(file, target, source={})


def test_a_missing_tensor_is_named(tmp_path: Path, target: Path) -> None:
    weights = small_model.matrices()
    del weights["blk.1.attn_v.weight"]
    file = small_model.write_gguf(tmp_path / "odd.gguf", weights=weights)
    with pytest.raises(ModelError, match=r"no tensor for model\.layers\.1\.self_attn\.v_proj"):
        convert(file, target, source={})


@pytest.mark.parametrize("share", [0, 0.001, 0.05, 0.2, 0.5, 0.999])
def test_a_truncated_file_is_corrupt_and_leaves_nothing(
    tmp_path: Path, target: Path, gguf_bytes: bytes, share: float
) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(gguf_bytes[: int(share * len(gguf_bytes))])
    with pytest.raises(CorruptModelError, match=r"cut\.gguf is not a whole GGUF file"):
        convert(file, target, source={})
    assert list(target.parent.iterdir()) == []


def test_a_file_of_another_kind_is_corrupt(tmp_path: Path, target: Path) -> None:
    file = tmp_path / "text.gguf"
    file.write_text("this is no model at all, but long enough to look at", encoding="utf-8")
    with pytest.raises(CorruptModelError, match="not a whole GGUF file"):
        convert(file, target, source={})


# In a process of its own: the limit would also hold for the file that a test run prints into.
CONVERT_ON_A_SMALL_DISK = """
import resource, sys
from pathlib import Path
from anima.errors import StorageError
from anima.trunk.convert import convert
resource.setrlimit(resource.RLIMIT_FSIZE, (32_768, 32_768))
try:
    convert(Path(sys.argv[1]), Path(sys.argv[2]), source={})
except StorageError as error:
    print(error)
"""


def test_a_disk_that_refuses_half_way_leaves_the_former_model_and_nothing_else(
    gguf_file: Path, target: Path
) -> None:
    former = convert(gguf_file, target, source={})
    command = [sys.executable, "-c", CONVERT_ON_A_SMALL_DISK, str(gguf_file), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"weights\.safetensors could not be written.*ANIMA_CACHE", done.stdout)
    assert [path.name for path in target.parent.iterdir()] == ["tiny"]
    check_files(target, former, hashes=True)


def test_a_temporary_folder_of_a_killed_conversion_is_no_obstacle(
    gguf_file: Path, target: Path
) -> None:
    leftover = target.with_name(f".tiny.{os.getpid()}.convert.tmp")
    leftover.mkdir(parents=True)
    (leftover / "half").touch()
    convert(gguf_file, target, source={})
    assert [path.name for path in target.parent.iterdir()] == ["tiny"]


@pytest.mark.slow
def test_the_real_models_packed_bytes_are_the_known_ones(smollm2_folder: Path) -> None:
    manifest = read_manifest(smollm2_folder)
    check_files(smollm2_folder, manifest, hashes=True)
    # Recorded when every dequantised weight had been compared, bit by bit, with gguf's own.
    assert (
        manifest.fingerprint == "b4b9f8d5770e3e1fe19c61d39464e2faf17af629c98e425ed5c6410e7e10c949"
    )


@pytest.mark.slow
def test_the_real_tokenizers_ids_equal_llama_cpps(smollm2_folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(smollm2_folder / "tokenizer.json"))
    for as_text, key in ((True, "ids"), (False, "literal_ids")):
        tokenizer.encode_special_tokens = as_text
        for known in KNOWN_IDS:
            ids = tokenizer.encode(known["text"], add_special_tokens=False).ids
            assert ids == known.get(key, known["ids"]), known["text"]


@pytest.mark.slow
def test_the_real_tokenizer_splits_the_list_number_from_its_blank_line(
    smollm2_folder: Path,
) -> None:
    tokenizer = Tokenizer.from_file(str(smollm2_folder / "tokenizer.json"))
    assert tokenizer.encode("\n\n1.").ids == [1116, 33, 30]


@pytest.mark.slow
def test_the_real_models_files_are_read_by_transformers_own_loaders(
    smollm2_folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoTokenizer

    # A copy: transformers may look around in the folder it is given.
    folder = Path(shutil.copytree(smollm2_folder, tmp_path / "copy"))
    config = AutoConfig.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (576, 30, 49152)
    assert config.rope_parameters["rope_theta"] == 100000.0
    assert tokenizer("\n\n1.").input_ids == [1116, 33, 30]
    assert tokenizer.eos_token == "<|im_end|>"
    assert "<|im_start|>" in tokenizer.chat_template
