"""Turns a GGUF file into a folder that loads fast and exactly; knows nothing of where it is kept.

The folder holds the packed values as the file has them, never a rounding of them:

    weights.safetensors   per tensor, by its block type in the file (see `_unpacked`)
    config.json generation_config.json tokenizer.json tokenizer_config.json chat_template.jinja
                          in the forms that transformers and tokenizers read
    anima.json            the manifest: sizes and hashes of the above, written last

Names are those of transformers' LlamaForCausalLM without the final `.weight`. GGUF stores the rows
of q and k interleaved for its own rotary embedding; here they are in transformers' order.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, quants
from safetensors import SafetensorError
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from anima.errors import CorruptModelError, ModelError, StorageError
from anima.home import sync_folder
from anima.trunk.manifest import MANIFEST, SCHEMA, FileRecord, Manifest, sha256_of

WEIGHTS = "weights.safetensors"
GROUP = 32
"""Weights that share one scale, in a Q4_1 and in a Q8_0 block."""

_MINUS_EIGHT = np.float16(-8)  # a power of two: the product is exact

Array = npt.NDArray[Any]

_OUTER = {
    "token_embd.weight": "model.embed_tokens",
    "output_norm.weight": "model.norm",
    "output.weight": "lm_head",
}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LAYER = re.compile(r"blk\.(\d+)\.(\w+)\.weight")
_CONTROL, _USER_DEFINED = 3, 4  # token types of GGUF


class _Reader(GGUFReader):  # type: ignore[misc]  # gguf's types are not followed
    """The reader, three times as fast: slicing a plain array skips a memmap's bookkeeping."""

    @property
    def data(self) -> Array:
        return self._plain

    @data.setter
    def data(self, mapped: Array) -> None:
        self._plain = np.asarray(mapped)

    def value(self, key: str, default: Any = None) -> Any:
        """A metadata value; raises ModelError where it is missing and has no default."""
        field = self.get_field(key)
        if field is not None:
            return field.contents()
        if default is None:
            raise ModelError(f"The GGUF file has no {key}: it is not a Llama chat model.")
        return default


def convert(
    gguf: Path,
    target: Path,
    *,
    source: Mapping[str, str],
    say: Callable[[str], None] = lambda message: None,
) -> Manifest:
    """Convert a GGUF file of a Llama into the folder `target`, replacing what is there.

    All is written and synced beside the target first and takes its name in one rename; a temporary
    folder that a kill leaves is called `.<name>.*.tmp`. `source` goes into the manifest; `say` hears
    which kinds of tensors lose their packed form. Raises CorruptModelError (not a whole GGUF file), ModelError (one that this cannot convert),
    StorageError, and lets the OSError of a disk that refuses pass.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.convert.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        manifest = _write(gguf, temporary, target.name, source, say)
        _publish(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return manifest


def _write(
    gguf: Path, folder: Path, model: str, source: Mapping[str, str], say: Callable[[str], None]
) -> Manifest:
    with _explained(gguf):
        reader = _Reader(gguf)
        config = llama_config(reader)
        tensors = _tensors(reader, config)
        kinds = _dequantised_kinds(reader)
        tokenizer = build_tokenizer(reader)
        texts = {
            "config.json": _json(config),
            "generation_config.json": _json(_generation_config(reader)),
            "tokenizer.json": tokenizer.to_str(),
            "tokenizer_config.json": _json(_tokenizer_config(reader)),
            "chat_template.jinja": str(reader.value("tokenizer.chat_template")),
        }
    if kinds:
        say(
            f"{gguf.name} has tensors of type {', '.join(kinds)}, which Anima does not multiply "
            "packed: they are unpacked into float32, exactly, and take more room."
        )
    _save(folder / WEIGHTS, tensors)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    manifest = Manifest(
        schema=SCHEMA,
        model=model,
        source=dict(source),
        fingerprint=_fingerprint(tensors),
        files={name: _record(folder / name) for name in (WEIGHTS, *texts)},
    )
    (folder / MANIFEST).write_text(manifest.as_json(), encoding="utf-8", newline="")
    for path in folder.iterdir():
        path.chmod(0o644)  # the safetensors library makes its file private; a cache may be shared
        _sync(path)
    sync_folder(folder)
    return manifest


@contextlib.contextmanager
def _explained(gguf: Path) -> Iterator[None]:
    """Say of which file it is that the reader trips over bytes that cannot be."""
    try:
        yield
    except ModelError as error:
        raise type(error)(f"{gguf.name} cannot be converted. {error}") from error
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise CorruptModelError(
            f"{gguf} is not a whole GGUF file ({error}): fetch it again."
        ) from error


def _save(path: Path, tensors: dict[str, Array]) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # the library wraps what the disk says
        raise StorageError(
            f"{path} could not be written ({error}): make room, "
            "or choose another place with ANIMA_CACHE."
        ) from error


def _publish(folder: Path, target: Path) -> None:
    """Give the finished folder its name; a former model of that name goes after it."""
    former = target.with_name(f".{target.name}.{os.getpid()}.former.tmp")
    if target.exists():
        target.rename(former)
    folder.rename(target)
    sync_folder(target.parent)
    shutil.rmtree(former, ignore_errors=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _record(path: Path) -> FileRecord:
    return FileRecord(size=path.stat().st_size, sha256=sha256_of(path))


def _fingerprint(tensors: Mapping[str, Array]) -> str:
    """sha256 over name, type, shape and bytes of every tensor, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.name} {tensor.shape}\n".encode())
        digest.update(tensor.data)
    return digest.hexdigest()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def llama_config(reader: _Reader) -> dict[str, Any]:
    """The content of transformers' config.json; raises ModelError for another architecture."""
    architecture = reader.value("general.architecture")
    if architecture != "llama":
        raise ModelError(f"Its architecture is {architecture!r}; only 'llama' can be converted.")
    scaling = reader.value("llama.rope.scaling.type", "none")
    if scaling != "none":
        raise ModelError(f"Its rotary embedding is scaled ({scaling!r}), which is not supported.")
    heads = reader.value("llama.attention.head_count")
    width = reader.value("llama.embedding_length")
    epsilon = reader.value("llama.attention.layer_norm_rms_epsilon")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(reader.get_field("tokenizer.ggml.tokens").data),
        "hidden_size": width,
        "intermediate_size": reader.value("llama.feed_forward_length"),
        "num_hidden_layers": reader.value("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": reader.value("llama.attention.head_count_kv", heads),
        "head_dim": reader.value("llama.attention.key_length", width // heads),
        "hidden_act": "silu",
        "max_position_embeddings": reader.value("llama.context_length"),
        # The shortest decimal of the float32 in the file: 1e-05, not 9.999999747378752e-06.
        "rms_norm_eps": float(str(np.float32(epsilon))),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": reader.value("llama.rope.freq_base", 10000.0),
        },
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": not any(t.name == "output.weight" for t in reader.tensors),
        **_token_ids(reader),
        "dtype": "float32",
    }


def _token_ids(reader: _Reader) -> dict[str, int]:
    names = {
        "bos_token_id": "tokenizer.ggml.bos_token_id",
        "eos_token_id": "tokenizer.ggml.eos_token_id",
        "pad_token_id": "tokenizer.ggml.padding_token_id",
    }
    return {
        name: reader.value(key) for name, key in names.items() if reader.get_field(key) is not None
    }


def _generation_config(reader: _Reader) -> dict[str, Any]:
    """The tokens that end a reply: the file's own, and the end of a text, as llama.cpp has it."""
    ids = _token_ids(reader)
    tokens = reader.value("tokenizer.ggml.tokens")
    ends = [ids["eos_token_id"]] if "eos_token_id" in ids else []
    ends += [
        i
        for i, kind in enumerate(reader.value("tokenizer.ggml.token_type"))
        if kind == _CONTROL and tokens[i] == "<|endoftext|>" and i not in ends
    ]
    return {**ids, "eos_token_id": ends}


def _tokenizer_config(reader: _Reader) -> dict[str, Any]:
    tokens = reader.value("tokenizer.ggml.tokens")
    ids = _token_ids(reader)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": reader.value("llama.context_length"),
        "clean_up_tokenization_spaces": False,
        **{name.removesuffix("_id"): tokens[i] for name, i in ids.items()},
    }


def build_tokenizer(reader: _Reader) -> Tokenizer:
    """The file's tokenizer; its ids equal llama.cpp's. Raises ModelError for one of another kind."""
    kind, split = reader.value("tokenizer.ggml.model"), reader.value("tokenizer.ggml.pre", "")
    if (kind, split) != ("gpt2", "smollm"):
        raise ModelError(
            f"Its tokenizer is {kind!r} with pre-tokenizer {split!r}; "
            "only 'gpt2' with 'smollm' can be converted."
        )
    tokens = reader.value("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in reader.value("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    steps = [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ]
    # Bytes that the vocabulary lacks are dropped by the model, which then merges what stood on
    # either side of them; llama.cpp does not. Splitting at them gives its ids.
    absent = "".join(sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(tokens)))
    if absent:
        steps.append(pre_tokenizers.Split(Regex(f"[{re.escape(absent)}]"), "removed"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    types = reader.value("tokenizer.ggml.token_type")
    tokenizer.add_special_tokens(_added(tokens, types, _CONTROL))
    tokenizer.add_tokens(_added(tokens, types, _USER_DEFINED))
    return tokenizer


def _added(tokens: list[str], types: list[int], wanted: int) -> list[AddedToken]:
    return [
        AddedToken(token, special=wanted == _CONTROL, normalized=False)
        for token, kind in zip(tokens, types, strict=True)
        if kind == wanted
    ]


def _tensors(reader: _Reader, config: Mapping[str, Any]) -> dict[str, Array]:
    """All tensors under transformers' names; raises ModelError if one is unknown or missing."""
    interleaved = {
        "attn_q": config["num_attention_heads"],
        "attn_k": config["num_key_value_heads"],
    }
    result: dict[str, Array] = {}
    found = set()
    for tensor in reader.tensors:
        name, part = _name(tensor.name)
        blocks = np.ascontiguousarray(tensor.data)
        if part in interleaved:
            blocks = unpermute(blocks, interleaved[part])
        kind = GGMLQuantizationType(tensor.tensor_type)
        result.update(_unpacked(name, kind, blocks))
        found.add(name)
    missing = _expected(config) - found
    if missing:
        raise ModelError(f"It has no tensor for {min(missing)} ({len(missing)} are missing).")
    return result


def _name(name: str) -> tuple[str, str]:
    """The transformers name of a tensor, and its part of the layer in GGUF's words."""
    if name in _OUTER:
        return _OUTER[name], ""
    match = _LAYER.fullmatch(name)
    if match is None or match[2] not in _INNER:
        raise ModelError(f"Its tensor {name} is none of a Llama's.")
    return f"model.layers.{match[1]}.{_INNER[match[2]]}", match[2]


def _expected(config: Mapping[str, Any]) -> set[str]:
    outer = {"model.embed_tokens", "model.norm"}
    layers = range(config["num_hidden_layers"])
    return outer | {f"model.layers.{i}.{part}" for i in layers for part in _INNER.values()}


def unpermute(rows: Array, heads: int) -> Array:
    """Undo GGUF's interleaving of the rows of q or k: `[heads·2k, …]`, any number type.

    Row 2i+j of a head in the file is row j·k+i of that head in transformers (j = 0, 1; i < k).
    """
    shape = (heads, rows.shape[0] // heads // 2, 2, -1)
    return np.ascontiguousarray(rows.reshape(shape).swapaxes(1, 2)).reshape(rows.shape)


def _unpacked(name: str, kind: GGMLQuantizationType, rows: Array) -> dict[str, Array]:
    """The parts of one tensor `[out, in]`, from the bytes of its blocks; exact.

    Q4_1: `.packed` uint8 [out, in/2], `.scale` and `.minimum` float16 [out, in/32]. Byte k of the
    16 bytes of a group holds value k in its low and value k+16 in its high four bits; a value is
    scale·q + minimum. Q4_0, whose values are scale·(q − 8), likewise. Q8_0: `.values` int8 [out, in]
    and `.scale` float16 [out, in/32]; a value is scale·q. All others: `.weight` float32, what the
    file means.
    """
    if kind in (GGMLQuantizationType.Q4_1, GGMLQuantizationType.Q4_0):
        halves = 2 if kind == GGMLQuantizationType.Q4_1 else 1
        blocks = rows.reshape(rows.shape[0], -1, 2 * halves + GROUP // 2)
        scale = _halves(blocks[..., 0:2])
        return {
            f"{name}.packed": np.ascontiguousarray(blocks[..., 2 * halves :]).reshape(
                rows.shape[0], -1
            ),
            f"{name}.scale": scale,
            f"{name}.minimum": _halves(blocks[..., 2:4]) if halves == 2 else scale * _MINUS_EIGHT,
        }
    if kind == GGMLQuantizationType.Q8_0:
        blocks = rows.reshape(rows.shape[0], -1, 2 + GROUP)
        values = np.ascontiguousarray(blocks[..., 2:]).view(np.int8)
        return {
            f"{name}.values": values.reshape(rows.shape[0], -1),
            f"{name}.scale": _halves(blocks[..., 0:2]),
        }
    try:
        full = quants.dequantize(rows, kind)
    except NotImplementedError as error:
        raise ModelError(
            f"Its tensor {name} is stored as {kind.name}, which is unknown."
        ) from error
    return {f"{name}.weight": full.astype(np.float32, copy=False)}


def _dequantised_kinds(reader: _Reader) -> list[str]:
    """The types of tensors that `_unpacked` turns into float32, by name."""
    kept = {
        GGMLQuantizationType.F32, GGMLQuantizationType.Q4_0, GGMLQuantizationType.Q4_1,
        GGMLQuantizationType.Q8_0,
    }  # fmt: skip
    found = {GGMLQuantizationType(tensor.tensor_type) for tensor in reader.tensors}
    return sorted(kind.name for kind in found - kept)


def _halves(pairs: Array) -> Array:
    """The float16 numbers in the last axis of two bytes each."""
    return np.ascontiguousarray(pairs).view(np.float16)[..., 0]
