"""Decides whether the execution for devices can run a model, and makes it; knows files, no text."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from anima.errors import ModelError
from anima.trunk import packed
from anima.trunk.fast_loading import config_of, fast_info
from anima.trunk.fast_shape import Shape, shape_of
from anima.trunk.interface import Trunk
from anima.trunk.packed import Packed
from anima.trunk.static import StaticTrunk
from anima.trunk.static_weights import TensorFiles, placed


def device_obstacle(config: Mapping[str, Any], *, bits: int, free: int) -> str | None:
    """Why the model cannot run whole on a device with so many bytes `free`, or None.

    `bits` are those of one weight there.
    """
    try:
        shape = shape_of(config)
    except ModelError as error:
        return str(error)
    tied = bool(config.get("tie_word_embeddings", False))
    needed = parameters(shape, tied=tied) * bits // 8
    if 11 * needed > 10 * free:
        return (
            f"its weights have {needed / 1e9:.1f} GB and the device has {free / 1e9:.1f} GB free, "
            "so they are spread over what there is."
        )
    return None


def parameters(shape: Shape, *, tied: bool) -> int:
    """How many numbers a model of this shape has; `tied`: its head is its embedding."""
    attention = 2 * shape.width * shape.head_width * (shape.heads + shape.key_value_heads)
    layer = attention + 3 * shape.width * shape.inner + 2 * shape.width
    outer = shape.vocabulary * shape.width * (1 if tied else 2)
    return shape.layers * layer + outer + shape.width


def load_static(
    folder: Path,
    *,
    name: str,
    fingerprint: str,
    quantize: str,
    device: str,
    dtype: torch.dtype,
    reference: Callable[[], Trunk],
    say: Callable[[str], None],
) -> StaticTrunk:
    """The model of a folder, converted or saved by transformers, dense on the device."""
    kind = str(dtype).removeprefix("torch.")
    if quantize in ("int4", "int8"):
        say(f"{quantize} is for the CPU: on {device} the weights stay in {kind}.")
    shape = shape_of(config_of(folder))
    converted = packed.is_converted(folder)
    found: Mapping[str, Packed] = packed.read_packed(folder) if converted else TensorFiles(folder)
    weights = placed(found, shape, torch.device(device), dtype)
    info = fast_info(shape, name=name, fingerprint=fingerprint, quantize="none")
    info = replace(info, device=device, dtype=kind)
    return StaticTrunk(weights, shape, info, reference=reference)
