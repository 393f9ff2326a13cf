"""Decides whether the fast execution can run a model here, and makes it; knows files, no text."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from anima.errors import CorruptModelError, ModelError
from anima.trunk import packed
from anima.trunk.fast import FastTrunk
from anima.trunk.fast_compiling import keep_compiled
from anima.trunk.fast_kernels import Blocks
from anima.trunk.fast_shape import Shape, shape_of
from anima.trunk.fast_weights import Quantize, arrange, read_folder
from anima.trunk.interface import Trunk, TrunkInfo
from anima.trunk.packed import FourBit, Packed


def config_of(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`; raises CorruptModelError naming it."""
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptModelError(f"{path} cannot be read as a model's config: {error}") from error
    if not isinstance(content, dict):
        raise CorruptModelError(f"{path} holds no settings of a model: put the right file there.")
    return content


def obstacle(config: Mapping[str, Any], *, device: str, dtype: str) -> str | None:
    """Why the fast execution cannot run this model so, or None."""
    if device != "cpu":
        return f"the fast execution runs on the CPU, not on {device}."
    if dtype != "float32":
        return f"the fast execution keeps its residual stream in float32, not in {dtype}."
    try:
        shape_of(config)
    except ModelError as error:
        return str(error)
    return None


def own_form(found: Mapping[str, Packed]) -> Quantize:
    """The form in which a converted file's linear layers lose nothing, or next to nothing.

    4 bits only where all have 4 bits already: others would be rounded to them unasked.
    """
    linear = [weight for name, weight in found.items() if name.endswith("_proj.weight")]
    return "int4" if all(isinstance(weight, FourBit) for weight in linear) else "int8"


def form(
    quantize: str, *, own: Quantize | None, cache: Path, say: Callable[[str], None]
) -> Quantize:
    """The form of the weights for a setting: `auto` is that of the file, `own`, None for dense.

    Packed products are compiled for this CPU; where that cannot be, `say` hears it once.
    """
    wanted = own or "none" if quantize == "auto" else quantize
    if wanted == "none":
        return "none"
    try:
        keep_compiled(cache, say)
    except ImportError as error:
        say(f"Nothing can be compiled here ({error}): the model runs unpacked, in float32.")
        return "none"
    return "int8" if wanted == "int8" else "int4"


def load_fast(
    folder: Path,
    *,
    name: str,
    fingerprint: str,
    quantize: str,
    cache: Path,
    reference: Callable[[], Trunk],
    say: Callable[[str], None],
) -> FastTrunk:
    """The model of a folder, converted or saved by transformers, in the fast execution.

    What is compiled for it is kept under `cache`.
    """
    shape = shape_of(config_of(folder))
    is_packed = packed.is_converted(folder)
    found = packed.read_packed(folder) if is_packed else read_folder(folder)
    own = own_form(found) if is_packed else None
    chosen = form(quantize, own=own, cache=cache, say=say)
    weights = arrange(found, shape, chosen, say)
    if not isinstance(weights.head, Blocks):
        chosen = "none"  # its widths do not divide into groups
    info = fast_info(shape, name=name, fingerprint=fingerprint, quantize=chosen)
    trunk = FastTrunk(weights, shape, info, reference=reference)
    # Whatever is still to be compiled is compiled here, and not in the first reply.
    if chosen != "none":
        import anima.trunk.fast_edits  # noqa: F401
    trunk.forward(torch.zeros((1, 1), dtype=torch.long), trunk.cache())
    return trunk


def fast_info(shape: Shape, *, name: str, fingerprint: str, quantize: Quantize) -> TrunkInfo:
    """What there is to know of a model in this execution."""
    return TrunkInfo(
        model=name,
        fingerprint=fingerprint,
        engine="fast",
        device="cpu",
        dtype="float32",
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        key_value_heads=shape.key_value_heads,
        vocabulary=shape.vocabulary,
        window=shape.window,
        quantize=quantize,
    )
