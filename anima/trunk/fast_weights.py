"""A Llama's weights in the form that the fast execution multiplies with; knows no text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from anima.errors import CorruptModelError
from anima.trunk.fast_kernels import (
    Blocks,
    Dense,
    Product,
    full,
    in_eight_bits,
    in_four_bits,
    reordered,
    stacked,
)
from anima.trunk.fast_shape import Shape, paired
from anima.trunk.packed import GROUP, EightBit, FourBit, Packed

Quantize = Literal["int4", "int8", "none"]


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """One decoder layer: q, k and v as one product, so gate and up; norms `[1, d]`.

    The rows of gate and up take turns, `Shape.turn` of each.
    """

    attention_norm: Tensor
    queries_keys_values: Product
    attention_out: Product
    inner_norm: Tensor
    gate_up: Product
    down: Product


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A whole model; `embedding` is read row by row, and is the head itself where they are tied."""

    embedding: Tensor | Blocks
    layers: tuple[LayerWeights, ...]
    norm: Tensor
    head: Product


def arrange(
    found: Mapping[str, Packed],
    shape: Shape,
    quantize: Quantize,
    say: Callable[[str], None] = lambda message: None,
) -> Weights:
    """The weights under their transformers names, fused and in the form asked for.

    `int4` keeps 4-bit matrices as they are and rounds others; the head then has 8 bits, because
    with 4 it loses one token in six. Matrices that do not divide into groups stay dense, which
    `say` hears once. Raises CorruptModelError where a weight is missing or of another shape.
    """
    bits = quantize if shape.width % GROUP == 0 and shape.inner % GROUP == 0 else "none"
    if bits != quantize:
        say(
            f"Widths {shape.width} and {shape.inner} do not divide into groups of {GROUP}: "
            "this model runs unpacked, in float32."
        )
    embedding = _of(found, "model.embed_tokens.weight", (shape.vocabulary, shape.width))
    tied = "lm_head.weight" not in found
    last = embedding if tied else _of(found, "lm_head.weight", (shape.vocabulary, shape.width))
    layers = tuple(_layer(found, shape, bits, index) for index in range(shape.layers))
    norm = _norm(found, "model.norm.weight", shape)
    if bits == "none":
        return Weights(embedding=full(embedding), layers=layers, norm=norm, head=Dense(full(last)))
    head = Blocks(_eight(last))
    return Weights(
        embedding=head if tied else Blocks(_eight(embedding)), layers=layers, norm=norm, head=head
    )


def read_folder(folder: Path) -> dict[str, Packed]:
    """Every tensor of a folder saved by transformers, in float32; raises CorruptModelError."""
    found: dict[str, Packed] = {}
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                found |= {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CorruptModelError(
            f"{folder} could not be loaded ({error}): put the model's folder there again from "
            "where it came."
        ) from error
    return found


def _layer(found: Mapping[str, Packed], shape: Shape, bits: Quantize, index: int) -> LayerWeights:
    place = f"model.layers.{index}"
    keys = shape.key_value_heads * shape.head_width
    queries = shape.heads * shape.head_width

    def attention(name: str, rows: int) -> Packed:
        return _of(found, f"{place}.self_attn.{name}_proj.weight", (rows, shape.width))

    def inner(name: str) -> Packed:
        return _of(found, f"{place}.mlp.{name}_proj.weight", (shape.inner, shape.width))

    both = (
        reordered(attention("q", queries), paired(shape.heads, shape.head_width)),
        reordered(attention("k", keys), paired(shape.key_value_heads, shape.head_width)),
    )
    out = _of(found, f"{place}.self_attn.o_proj.weight", (shape.width, queries))
    down = _of(found, f"{place}.mlp.down_proj.weight", (shape.width, shape.inner))
    return LayerWeights(
        attention_norm=_norm(found, f"{place}.input_layernorm.weight", shape),
        queries_keys_values=_product(stacked((*both, attention("v", keys))), bits),
        attention_out=_product(out, bits),
        inner_norm=_norm(found, f"{place}.post_attention_layernorm.weight", shape),
        gate_up=_product(reordered(stacked((inner("gate"), inner("up"))), shape.in_turn()), bits),
        down=_product(down, bits),
    )


def _product(weight: Packed, bits: Quantize) -> Product:
    if bits == "none":
        return Dense(full(weight))
    if bits == "int8":
        return Blocks(_eight(weight))
    return Blocks(weight if isinstance(weight, FourBit) else in_four_bits(full(weight)))


def _eight(weight: Packed) -> EightBit:
    return weight if isinstance(weight, EightBit) else in_eight_bits(full(weight))


def _norm(found: Mapping[str, Packed], name: str, shape: Shape) -> Tensor:
    return full(_of(found, name, (shape.width,))).clone()[None]


def _of(found: Mapping[str, Packed], name: str, shape: tuple[int, ...]) -> Packed:
    weight = found.get(name)
    if weight is None:
        raise CorruptModelError(f"The model has no weight {name}, which its config implies.")
    if weight.shape != torch.Size(shape):
        raise CorruptModelError(
            f"The model's {name} has shape {tuple(weight.shape)}; its config implies {shape}."
        )
    return weight
