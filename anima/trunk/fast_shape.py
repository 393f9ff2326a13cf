"""The shape of a Llama and its rotary angles, read from a config; knows no weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from anima.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Rope:
    """Rotary positions: the base of the frequencies, and Llama 3.1's stretching of the slow ones.

    `stretch` holds factor, low_freq_factor, high_freq_factor and original_max_position_embeddings.
    """

    theta: float
    stretch: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a LlamaForCausalLM's config says of its tensors."""

    layers: int
    width: int
    inner: int
    heads: int
    key_value_heads: int
    head_width: int
    vocabulary: int
    window: int
    epsilon: float
    rope: Rope

    @property
    def group(self) -> int:
        """Query heads that share one key and value head."""
        return self.heads // self.key_value_heads

    @property
    def turn(self) -> int:
        """Rows of gate, then so many of up, that follow one another in their one matrix."""
        return 16 if self.inner % 16 == 0 else self.inner

    def in_turn(self) -> Tensor:
        """The order of the rows of gate and up, one below the other, that makes them take turns."""
        rows = torch.arange(2 * self.inner).view(2, -1, self.turn)
        return rows.transpose(0, 1).reshape(-1)


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape in a `config.json`; ModelError with the reason where the fast execution has none.

    Both spellings of the rotary settings are read, `rope_parameters` and the older two keys.
    """
    architecture = (config.get("architectures") or ["an unnamed architecture"])[0]
    if architecture != "LlamaForCausalLM":
        raise ModelError(f"The fast execution knows LlamaForCausalLM, not {architecture}.")
    for name, usual in (
        ("attention_bias", False), ("mlp_bias", False), ("hidden_act", "silu"),
        ("quantization_config", None),
    ):  # fmt: skip
        if config.get(name, usual) != usual:
            raise ModelError(f"The fast execution knows no Llama with {name} {config[name]!r}.")
    heads = int(config["num_attention_heads"])
    return Shape(
        layers=int(config["num_hidden_layers"]),
        width=int(config["hidden_size"]),
        inner=int(config["intermediate_size"]),
        heads=heads,
        key_value_heads=int(config.get("num_key_value_heads") or heads),
        head_width=int(config.get("head_dim") or config["hidden_size"] // heads),
        vocabulary=int(config["vocab_size"]),
        window=int(config.get("max_position_embeddings") or 2048),
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
        rope=_rope(config),
    )


def _rope(config: Mapping[str, Any]) -> Rope:
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = float(found.get("rope_theta") or config.get("rope_theta") or 10000.0)
    kind = found.get("rope_type") or found.get("type") or "default"
    if kind == "default":
        return Rope(theta=theta)
    if kind != "llama3":
        raise ModelError(f"The fast execution knows no rotary positions of type {kind!r}.")
    names = (
        "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
    )  # fmt: skip
    return Rope(theta=theta, stretch={name: float(found[name]) for name in names})


def rotations(shape: Shape, positions: int) -> Tensor:
    """The rotation of each pair at each position, complex `[positions, head_width/2]`."""
    even = torch.arange(0, shape.head_width, 2, dtype=torch.float32)
    frequencies = 1.0 / shape.rope.theta ** (even / shape.head_width)
    if shape.rope.stretch:
        frequencies = _stretched(frequencies, shape.rope.stretch)
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * frequencies
    return torch.complex(angles.cos(), angles.sin())


def _stretched(frequencies: Tensor, stretch: Mapping[str, float]) -> Tensor:
    """Llama 3.1's rule: slow waves are slowed by the factor, those between are blended."""
    factor, slow, quick = (
        stretch[name] for name in ("factor", "low_freq_factor", "high_freq_factor")
    )
    turns = stretch["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    share = ((turns - slow) / (quick - slow)).clamp(0, 1)
    return frequencies * (share + (1 - share) / factor)


def paired(heads: int, head_width: int) -> Tensor:
    """The order of rows that puts the two halves of each rotated pair side by side.

    Applied to q and k alike it leaves their products as they are.
    """
    one = torch.arange(head_width).view(2, -1).t().reshape(-1)
    return (torch.arange(heads)[:, None] * head_width + one).reshape(-1)
