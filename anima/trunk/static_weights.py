"""A Llama's weights, dense, on one device in one number type; knows no text and no cache."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from anima.errors import CorruptModelError
from anima.trunk.fast_shape import Shape
from anima.trunk.packed import Packed

_SPREAD = 0.02
"""Of random weights: the usual one of an untrained Llama."""


@dataclass(frozen=True, kw_only=True)
class StaticLayer:
    """One decoder layer `[out, in]`: q, k and v in one matrix, gate and up in one; norms `[d]`."""

    attention_norm: Tensor
    queries_keys_values: Tensor
    attention_out: Tensor
    inner_norm: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True, kw_only=True)
class StaticWeights:
    """A whole model; a tied head is the very tensor of the embedding."""

    embedding: Tensor
    layers: tuple[StaticLayer, ...]
    norm: Tensor
    head: Tensor

    @property
    def bytes_per_token(self) -> int:
        """What one decoded token must read at least: all but the embedding's other rows."""
        matrices = [self.norm, self.head, self.embedding[0]]
        matrices += [weight for layer in self.layers for weight in vars(layer).values()]
        return sum(weight.numel() * weight.element_size() for weight in matrices)


class TensorFiles(Mapping[str, Tensor]):
    """Every tensor of a folder saved by transformers by its name, read when it is asked for.

    A model may be larger than the memory beside the device. Raises CorruptModelError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[str, Path] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with self._open(path) as file:
                self._paths |= dict.fromkeys(file.keys(), path)

    def __getitem__(self, name: str) -> Tensor:
        path = self._paths[name]
        with self._open(path) as file:
            try:
                tensor: Tensor = file.get_tensor(name)
            except (OSError, SafetensorError) as error:
                raise self._damaged(error) from error
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def _open(self, path: Path) -> safe_open:
        try:
            return safe_open(path, framework="pt")
        except (OSError, SafetensorError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> CorruptModelError:
        return CorruptModelError(
            f"{self._folder} could not be loaded ({error}): put the model's folder there again "
            "from where it came."
        )


def placed(
    found: Mapping[str, Packed], shape: Shape, device: torch.device, dtype: torch.dtype
) -> StaticWeights:
    """The weights under their transformers names, fused, on the device, one layer at a time.

    Raises CorruptModelError where one is missing or of another shape.
    """

    def take(name: str, *size: int) -> Tensor:
        weight = found.get(name)
        if weight is None:
            raise CorruptModelError(f"The model has no weight {name}, which its config implies.")
        if weight.shape != torch.Size(size):
            raise CorruptModelError(
                f"The model's {name} has shape {tuple(weight.shape)}; its config implies {size}."
            )
        full = weight if isinstance(weight, Tensor) else weight.dequantised()
        return full.detach().to(device=device, dtype=dtype)

    def layer(index: int) -> StaticLayer:
        place, width, inner = f"model.layers.{index}", shape.width, shape.inner
        queries = shape.heads * shape.head_width
        keys = shape.key_value_heads * shape.head_width
        attention, feed = f"{place}.self_attn", f"{place}.mlp"
        return StaticLayer(
            attention_norm=take(f"{place}.input_layernorm.weight", width),
            queries_keys_values=torch.cat(
                [take(f"{attention}.{part}_proj.weight", rows, width)
                 for part, rows in (("q", queries), ("k", keys), ("v", keys))]
            ),
            attention_out=take(f"{attention}.o_proj.weight", width, queries),
            inner_norm=take(f"{place}.post_attention_layernorm.weight", width),
            gate_up=torch.cat(
                [take(f"{feed}.{part}_proj.weight", inner, width) for part in ("gate", "up")]
            ),
            down=take(f"{feed}.down_proj.weight", width, inner),
        )  # fmt: skip

    embedding = take("model.embed_tokens.weight", shape.vocabulary, shape.width)
    untied = "lm_head.weight" in found
    return StaticWeights(
        embedding=embedding,
        layers=tuple(layer(index) for index in range(shape.layers)),
        norm=take("model.norm.weight", shape.width),
        head=take("lm_head.weight", shape.vocabulary, shape.width) if untied else embedding,
    )


def random_weights(
    shape: Shape, device: torch.device, dtype: torch.dtype, *, seed: int = 0, tied: bool = False
) -> StaticWeights:
    """A model of this shape that has learnt nothing, made on the device itself: for timing."""
    generator = torch.Generator(device).manual_seed(seed)

    def some(*size: int) -> Tensor:
        weight = torch.empty(size, device=device, dtype=dtype)
        return weight.normal_(std=_SPREAD, generator=generator)

    def ones() -> Tensor:
        return torch.ones(shape.width, device=device, dtype=dtype)

    queries = shape.heads * shape.head_width
    keys = shape.key_value_heads * shape.head_width
    embedding = some(shape.vocabulary, shape.width)
    return StaticWeights(
        embedding=embedding,
        layers=tuple(
            StaticLayer(
                attention_norm=ones(),
                queries_keys_values=some(queries + 2 * keys, shape.width),
                attention_out=some(shape.width, queries),
                inner_norm=ones(),
                gate_up=some(2 * shape.inner, shape.width),
                down=some(shape.width, shape.inner),
            )
            for _ in range(shape.layers)
        ),
        norm=ones(),
        head=embedding if tied else some(shape.vocabulary, shape.width),
    )
