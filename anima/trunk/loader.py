"""Opens a model by name: its weights behind the trunk interface, its tokenizer, its chat template.

It knows files and devices, and nothing of conversations.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from anima.errors import CorruptModelError, ModelError, UsageError
from anima.home import Home
from anima.trunk import catalog, hub, packed, store
from anima.trunk.fast_loading import config_of, load_fast, obstacle
from anima.trunk.interface import Trunk
from anima.trunk.manifest import read_manifest
from anima.trunk.static_loading import device_obstacle, load_static
from anima.trunk.tokens import Tokenizer, read_tokenizer

if TYPE_CHECKING:
    from anima.trunk.reference import ReferenceTrunk

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model ready to run, with what its files say about chatting with it."""

    trunk: Trunk
    tokenizer: Tokenizer
    chat_template: str
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    end_ids: frozenset[int] = frozenset()
    sampling: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """What is to be loaded and how; below `cache` lies what can be made again."""

    name: str
    device: str
    dtype: str
    engine: str
    quantize: str
    cache: Path
    say: Callable[[str], None]


def load(
    name: str,
    home: Home,
    *,
    device: str = "auto",
    dtype: str = "auto",
    engine: str = "auto",
    quantize: str = "auto",
    say: Callable[[str], None] = lambda message: None,
) -> Loaded:
    """Open a catalog name, a local folder or a hub id; fetches what is missing.

    `device` is auto, cpu, cuda or mps; `dtype` auto, float32, bfloat16 or float16; `engine` auto,
    reference or fast; `quantize` auto, int4, int8 or none. `say` hears what takes time, and why
    the faster way is not taken. Raises UsageError for an unknown name or for wishes that exclude
    each other, ModelError (DownloadError, CorruptModelError) otherwise.
    """
    if engine == "reference" and quantize not in ("auto", "none"):
        raise UsageError(
            f"The reference execution does not run in {quantize}: choose --quantize none, or "
            "--engine fast."
        )
    wish = _Wish(
        name=name, device=choose_device(device), dtype=dtype, engine=engine, quantize=quantize,
        cache=home.cache, say=say,
    )  # fmt: skip
    found = catalog.resolve(name)
    if isinstance(found, catalog.Entry) and found.wheel is not None:
        folder = store.ensure(home, found, say=say)
        assert isinstance(folder, Path)
        return _load_packed(wish, folder)
    if isinstance(found, catalog.LocalModel):
        own = packed.is_converted(found.path)
        return _load_packed(wish, found.path) if own else _load_folder(wish, found.path, {})
    if isinstance(found, catalog.HubModel):
        return _load_folder(wish, hub.fetch(name, found.id, say), {})
    return _load_folder(wish, hub.fetch(name, found.hub or name, say), _sampling(found))


def _sampling(entry: catalog.Entry | None) -> Mapping[str, float]:
    names = ("temperature", "top_p", "repeat_guard", "litany_guard")
    return {name: getattr(entry, name) for name in names} if entry else {}


def choose_device(device: str) -> str:
    """The device to use; `auto` prefers CUDA, then MPS. Raises UsageError for one not there."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, there in available.items() if there)
    if device not in available:
        raise UsageError(f"There is no device {device!r}: choose auto, cpu, cuda or mps.")
    if not available[device]:
        raise UsageError(
            f"This machine has no usable {device} device: choose --device cpu or auto."
        )
    return device


def choose_dtype(dtype: str, device: str, parameters: int, free: int) -> torch.dtype:
    """float32 on a CPU whose `free` bytes hold twice the weights, else bfloat16, unless named."""
    if dtype in DTYPES:
        return DTYPES[dtype]
    if dtype != "auto":
        raise UsageError(f"There is no dtype {dtype!r}: choose auto, {', '.join(DTYPES)}.")
    roomy = device == "cpu" and 2 * 4 * parameters <= free
    return torch.float32 if roomy else torch.bfloat16


def placement(device: str, needed: int, free: int) -> str | dict[str, str]:
    """Where `needed` bytes of weights go: all on the device, or spread by accelerate."""
    return {"": device} if 11 * needed <= 10 * free else "auto"


def _load_packed(wish: _Wish, folder: Path) -> Loaded:
    manifest = read_manifest(folder)
    config = config_of(folder)
    tokenizer = read_tokenizer(folder / "tokenizer.json")
    ends = {config.get("eos_token_id"), tokenizer.token_id("<|endoftext|>")}
    reference = partial(_packed_reference, wish, folder, manifest.fingerprint)
    return Loaded(
        trunk=_trunk(wish, folder, config, manifest.fingerprint, wish.dtype, reference),
        tokenizer=tokenizer,
        chat_template=(folder / "chat_template.jinja").read_text(encoding="utf-8"),
        end_ids=frozenset(end for end in ends if end is not None),
        sampling=_sampling(catalog.CATALOG.get(manifest.model)),
    )


def _trunk(
    wish: _Wish,
    folder: Path,
    config: Mapping[str, Any],
    fingerprint: str,
    dtype: str,
    reference: Callable[[], "ReferenceTrunk"],
) -> Trunk:
    """The model in the execution wished for; with `auto` in the fast one wherever that can be."""
    if wish.engine == "reference":
        return reference()
    on_device = wish.device != "cpu"
    if on_device:
        kind = DTYPES.get(dtype, torch.bfloat16)
        hindrance = device_obstacle(config, bits=8 * kind.itemsize, free=free_memory(wish.device))
    else:
        wanted = "float32" if dtype == "auto" else dtype
        hindrance = obstacle(config, device=wish.device, dtype=wanted)
    if hindrance is None and on_device:
        return load_static(
            folder, name=wish.name, fingerprint=fingerprint, quantize=wish.quantize,
            device=wish.device, dtype=kind, reference=reference, say=wish.say,
        )  # fmt: skip
    if hindrance is None:
        return load_fast(
            folder, name=wish.name, fingerprint=fingerprint, quantize=wish.quantize,
            cache=wish.cache, reference=reference, say=wish.say,
        )  # fmt: skip
    if wish.engine == "fast":
        raise UsageError(f"{wish.name}: {hindrance} Choose --engine auto.")
    wish.say(f"{wish.name} runs in the reference execution: {hindrance}")
    return reference()


def _packed_reference(wish: _Wish, folder: Path, fingerprint: str) -> "ReferenceTrunk":
    from transformers import LlamaConfig, LlamaForCausalLM

    from anima.trunk.reference import ATTENTION, ReferenceTrunk

    _quiet()
    state = packed.load_state(folder)
    config = LlamaConfig.from_json_file(str(folder / "config.json"))
    parameters = sum(weight.numel() for weight in state.values())
    chosen = choose_dtype(wish.dtype, wish.device, parameters, free_memory(wish.device))
    model = LlamaForCausalLM.from_pretrained(
        None, config=config, state_dict=state, dtype=chosen, attn_implementation=ATTENTION
    )
    return ReferenceTrunk(model.to(wish.device), name=wish.name, fingerprint=fingerprint)


def _load_folder(wish: _Wish, folder: Path, sampling: Mapping[str, float]) -> Loaded:
    from transformers import AutoTokenizer

    _quiet()
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if size == 0:
        raise CorruptModelError(
            f"{folder} holds no *.safetensors weights. Give the folder of a causal language model "
            "saved by transformers."
        )
    name = wish.name
    config = config_of(folder)
    # A checkpoint of half precision has two bytes a parameter, the usual case.
    chosen = choose_dtype(wish.dtype, wish.device, size // 2, free_memory(wish.device))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(name, folder, error) from error
    template = tokenizer.chat_template
    if not isinstance(template, str):
        raise ModelError(
            f"{name} has no chat template, so Anima cannot tell how it marks turns: choose an "
            "instruction-tuned model, or put a chat_template.jinja into its folder."
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(f"{name} has no tokenizer.json, which Anima needs to read its text.")
    mark = fingerprint(folder)
    reference = partial(_folder_reference, wish, folder, mark, chosen, size)
    return Loaded(
        trunk=_trunk(wish, folder, config, mark, str(chosen).removeprefix("torch."), reference),
        tokenizer=Tokenizer(backend),
        chat_template=template,
        special_tokens={
            key: value
            for key, value in tokenizer.special_tokens_map.items()
            if isinstance(value, str)
        },
        end_ids=_end_ids(_declared_ends(folder, config), tokenizer.eos_token_id),
        sampling=sampling,
    )


def _folder_reference(
    wish: _Wish, folder: Path, fingerprint: str, chosen: torch.dtype, size: int
) -> "ReferenceTrunk":
    """The reference execution of a folder whose weights' files have `size` bytes."""
    from transformers import AutoModelForCausalLM

    from anima.trunk.reference import ATTENTION, ReferenceTrunk

    where = placement(wish.device, size // 2 * chosen.itemsize, free_memory(wish.device))
    options: dict[str, Any] = {"dtype": chosen, "local_files_only": True, "device_map": where}
    options["offload_folder"] = str(wish.cache / "offload")
    try:
        try:
            model = AutoModelForCausalLM.from_pretrained(
                folder, attn_implementation=ATTENTION, **options
            )
        except ValueError:
            # An architecture with an attention of its own: it chats, but takes no traces.
            model = AutoModelForCausalLM.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _unloadable(wish.name, folder, error) from error
    return ReferenceTrunk(model, name=wish.name, fingerprint=fingerprint)


def _unloadable(name: str, folder: Path, error: BaseException) -> ModelError:
    return ModelError(f"{name} could not be loaded from {folder}: {_first_line(error)}")


def _declared_ends(folder: Path, config: Mapping[str, Any]) -> int | list[int] | None:
    """The end tokens for generation where the folder declares them, else those of its config."""
    path = folder / "generation_config.json"
    declared = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    ends: int | list[int] | None = declared.get("eos_token_id", config.get("eos_token_id"))
    return ends


def fingerprint(folder: Path) -> str:
    """A hash that tells weights apart without reading all of them: sizes, first and last MiB."""
    digest = hashlib.sha256()
    for file in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        with file.open("rb") as content:
            size = file.stat().st_size
            head = content.read(1 << 20)
            content.seek(max(0, size - (1 << 20)))
            parts = (file.name.encode(), str(size).encode(), head, content.read())
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _end_ids(*found: int | list[int] | None) -> frozenset[int]:
    ids: set[int] = set()
    for ends in found:
        ids.update([] if ends is None else [ends] if isinstance(ends, int) else ends)
    return frozenset(ids)


def free_memory(device: str) -> int:
    """Bytes free for weights on a device."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    if device == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    from accelerate.utils import get_max_memory

    return int(get_max_memory()["cpu"])


def _quiet() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
