"""The last layers of MiniLM over two texts at once; knows no memory and not what it is asked for.

    x = [h_k(first) + t₀ ; h_k(second) + t₁]        h_k: the states after k layers of each text alone
    y = the layers k+1, k+2, … of x, as they were tuned
    logit = w · [u, v, |u − v|, u v] + b            u, v: the means of y over the tokens of each text

So a token of one text can look at those of the other, while what the lower layers make of a text is
made once for all that it is compared with. Source: DeFormer, Cao et al., arXiv 2005.00697, with the
layers tuned as in BERT, arXiv 1810.04805.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from anima.encoding.minilm import Alike, Layer, layer_of
from anima.errors import CorruptModelError
from anima.home import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from anima.encoding.encoder import Vectors

States = Callable[[Sequence[str], int, int], "Sequence[Vectors]"]
"""What the first so many layers make of each text alone, of so many tokens at most: `[t, d]` each."""

_WIDTH: Final = 384
_LAYER: Final = "layer.{}."


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """Tuned layers from `first` on, the two types `[2, d]`, and the weights `[4 d]` of the logit.

    `told` is what else its maker wrote down, as text by name.
    """

    first: int
    tensors: Mapping[str, "Vectors"]
    told: Mapping[str, str]
    layers: Sequence[Layer]

    @classmethod
    def of(
        cls, first: int, tensors: Mapping[str, "Vectors"], told: Mapping[str, str] | None = None
    ) -> "Joint":
        """From its tensors, the layers' named as BERT's; raises KeyError and ValueError."""
        count = len({name.split(".")[1] for name in tensors if name.startswith("layer.")})
        if tensors["types"].shape != (2, _WIDTH) or tensors["head"].shape != (4 * _WIDTH + 1,):
            raise ValueError("the types or the head are of another size")
        layers = [layer_of(tensors, _LAYER.format(at)) for at in range(count)]
        return cls(first=first, tensors=tensors, told=dict(told or {}), layers=layers)

    def logits(self, one: "Vectors", others: Sequence["Vectors"]) -> "NDArray[np.float64]":
        """One text with each of n others `[n]`, by their states after `first` layers `[t, d]`."""
        if not others:
            return np.zeros(0)
        types, groups, start = self.tensors["types"], list[Alike](), 0
        for other in others:
            groups.append(Alike(start, 1, len(one) + len(other)))
            start = groups[-1].rows.stop
        x = np.concatenate(
            [part for other in others for part in (one + types[0], other + types[1])]
        )
        for layer in self.layers:
            x = layer(x, groups)
        found = []
        for each in groups:
            u, v = (part.mean(0) for part in np.split(x[each.rows], [len(one)]))
            found.append(np.concatenate([u, v, np.abs(u - v), u * v]))
        head = self.tensors["head"].astype(np.float64)
        logits: NDArray[np.float64] = np.stack(found) @ head[:-1] + head[-1]
        return logits

    def write(self, path: Path) -> None:
        """Keep it, in half precision; raises StorageError."""
        from safetensors.numpy import save

        halved = {
            name: np.ascontiguousarray(each, np.float16) for name, each in self.tensors.items()
        }
        told = {**self.told, "first": str(self.first)}
        write_atomically(path, save(halved, metadata=told), remedy="Choose another file.")


def read_joint(path: Path) -> Joint:
    """The layers in a file; raises CorruptModelError for what is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            told = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        return Joint.of(int(told.pop("first")), tensors, told)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CorruptModelError(
            f"{path} is damaged ({error}): get it again from where Anima came from."
        ) from error
