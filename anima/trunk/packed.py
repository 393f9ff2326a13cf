"""Reads a converted model's weights, packed or in full; knows nothing of the model they make."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from anima.errors import CorruptModelError
from anima.trunk.manifest import MANIFEST, remedy

WEIGHTS = "weights.safetensors"
GROUP = 32
"""Weights of one row that share a scale."""


@dataclass(frozen=True, kw_only=True)
class FourBit:
    """A matrix [out, in] whose values are scale·q + minimum, 0 ≤ q < 16 (GGUF's Q4_1).

    `packed` uint8 [out, in/2]: byte k of the 16 bytes of a group holds value k in its low and value
    k+16 in its high four bits. `scale` and `minimum` float16 [out, in/32].
    """

    packed: Tensor
    scale: Tensor
    minimum: Tensor

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.packed), 2 * self.packed.shape[1]))

    def dequantised(self) -> Tensor:
        """The matrix in float32, bit for bit what the file means."""
        rows, groups = self.scale.shape
        packed = self.packed.view(rows, groups, 1, GROUP // 2)
        full = torch.empty(rows, groups, 2, GROUP // 2)
        full[:, :, :1] = packed & 15
        full[:, :, 1:] = packed >> 4
        # Two roundings, product and sum, as in the reference; a fused addcmul would make one.
        full.mul_(self.scale.float()[:, :, None, None])
        full.add_(self.minimum.float()[:, :, None, None])
        return full.view(rows, groups * GROUP)


@dataclass(frozen=True, kw_only=True)
class EightBit:
    """A matrix [out, in] whose values are scale·q, q int8 (GGUF's Q8_0).

    `values` int8 [out, in], `scale` float16 [out, in/32].
    """

    values: Tensor
    scale: Tensor

    @property
    def shape(self) -> torch.Size:
        return self.values.shape

    def dequantised(self) -> Tensor:
        """The matrix in float32, bit for bit what the file means."""
        grouped = self.values.view(*self.scale.shape, GROUP)
        return (grouped * self.scale.float()[:, :, None]).view(self.values.shape)


Packed = FourBit | EightBit | Tensor
"""One weight as the file has it: a packed matrix, or a plain float32 tensor."""


def is_converted(folder: Path) -> bool:
    """Whether the folder is in the form that `convert` writes."""
    return (folder / MANIFEST).is_file()


def read_packed(folder: Path) -> dict[str, Packed]:
    """Every weight of a converted model under its transformers name (`… .weight`), still packed.

    The tensors are backed by the mapped file. Raises CorruptModelError.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            parts = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        names = sorted({name.rpartition(".")[0] for name in parts})
        return {f"{name}.weight": _weight(name, parts) for name in names}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CorruptModelError(f"{path} cannot be read ({error}): {remedy(folder)}") from error


def load_state(folder: Path) -> dict[str, Tensor]:
    """The state of a LlamaForCausalLM in float32, exactly as the packed file means it.

    Nothing in it is backed by the file. A tied head is the very tensor of the embedding, under
    both names. Raises CorruptModelError.
    """
    state = {
        name: weight.clone() if isinstance(weight, Tensor) else weight.dequantised()
        for name, weight in read_packed(folder).items()
    }
    if "model.embed_tokens.weight" in state:
        state.setdefault("lm_head.weight", state["model.embed_tokens.weight"])
    return state


def _weight(name: str, parts: dict[str, Tensor]) -> Packed:
    """Put the parts of one weight together; raises KeyError or ValueError if they do not fit."""
    if f"{name}.weight" in parts:
        return parts[f"{name}.weight"]
    scale = parts[f"{name}.scale"]
    rows, groups = scale.shape
    if f"{name}.values" in parts:
        values = parts[f"{name}.values"]
        _expect(name, values, (rows, groups * GROUP))
        return EightBit(values=values, scale=scale)
    packed, minimum = parts[f"{name}.packed"], parts[f"{name}.minimum"]
    _expect(name, packed, (rows, groups * GROUP // 2))
    _expect(name, minimum, (rows, groups))
    return FourBit(packed=packed, scale=scale, minimum=minimum)


def _expect(name: str, tensor: Tensor, shape: tuple[int, int]) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"a part of {name} has shape {tuple(tensor.shape)}, not {shape}")
