"""The default model's own hidden states as vectors of texts; knows no memory and no style.

The residual stream of one layer at a text's last token, centred and whitened: raw states of one
model point nearly the same way whatever the text (Ethayarajh, arXiv 1909.00512), and whitening is
what makes their cosines tell texts apart (Su et al., arXiv 2103.15316). Centre and whitening were
measured once, over ordinary chat, and come with Anima; see `tools/build_encoder.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy

from anima.errors import CorruptModelError, UsageError
from anima.home import Home, shipped_models

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from anima.encoding.encoder import Vectors
    from anima.trunk.interface import Trunk
    from anima.trunk.tokens import Tokenizer

NAME: Final = "trunk"
MODEL: Final = "smollm2"
FILE: Final = "encoder.safetensors"
_LONGEST = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """What makes vectors `[e]` of the states `[d]` of a layer: (h − `mean`) @ `directions` `[d, e]`.

    `fingerprint` is that of the model it was measured on.
    """

    layer: int
    fingerprint: str
    mean: "NDArray[numpy.float32]"
    directions: "NDArray[numpy.float32]"

    @classmethod
    def read(cls, path: Path) -> "Whitening":
        """Raises CorruptModelError naming the file."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                about = file.metadata()
                return cls(
                    layer=int(about["layer"]),
                    fingerprint=about["fingerprint"],
                    mean=file.get_tensor("mean").astype(numpy.float32),
                    directions=file.get_tensor("directions").astype(numpy.float32),
                )
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise CorruptModelError(
                f"{path} cannot be read: {error}. Install Anima anew."
            ) from error

    def write(self, path: Path) -> None:
        """In half precision, which changes no cosine by more than .001."""
        from safetensors.numpy import save_file

        save_file(
            {
                "mean": self.mean.astype(numpy.float16),
                "directions": numpy.ascontiguousarray(self.directions.astype(numpy.float16)),
            },
            path,
            {"layer": str(self.layer), "fingerprint": self.fingerprint},
        )


def whitening(
    states: "NDArray[numpy.float32]",
    *,
    layer: int,
    fingerprint: str,
    width: int,
    ridge: float = 0.01,
) -> Whitening:
    """The centre of states `[n, d]`, and their `width` first principal directions at equal spread.

    `ridge` is a share of the greatest standard deviation, added to each one, so that directions of
    which little was seen are not blown up.
    """
    mean = states.mean(0)
    _, spread, directions = numpy.linalg.svd(states - mean, full_matrices=False)
    scaled = directions[:width].T / (spread[:width] / spread[0] + ridge)
    return Whitening(layer=layer, fingerprint=fingerprint, mean=mean, directions=scaled)


class HiddenEncoder:
    """One forward pass of the trunk a text; `opened` finds what it needs."""

    name = NAME

    def __init__(self, trunk: "Trunk", tokenizer: "Tokenizer", whitened: Whitening) -> None:
        if trunk.info.fingerprint != whitened.fingerprint:
            raise UsageError(
                f"The encoder trunk was measured on {MODEL}, and {trunk.info.model} is loaded: "
                "choose --encoder minilm."
            )
        self._trunk = trunk
        self._tokenizer = tokenizer
        self._whitened = whitened

    @property
    def width(self) -> int:
        return int(self._whitened.directions.shape[1])

    def encode(self, texts: Sequence[str]) -> "Vectors":
        """Unit vectors `[n, e]`; of a long text the first 256 tokens count."""
        if not texts:
            return numpy.empty((0, self.width), dtype=numpy.float32)
        states = numpy.stack([self.state(text) for text in texts])
        vectors = (states - self._whitened.mean) @ self._whitened.directions
        unit: Vectors = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def state(self, text: str) -> "NDArray[numpy.float32]":
        """The stream of the layer at the last token, `[d]`."""
        return last_state(self._trunk, self._tokenizer, self._whitened.layer, text)


def last_state(
    trunk: "Trunk", tokenizer: "Tokenizer", layer: int, text: str
) -> "NDArray[numpy.float32]":
    """The residual stream `[d]` of a layer at a text's last token, after the token of a beginning."""
    import torch

    # The first token of all draws the attention of every other: it must not be one of the text's.
    ids = [*tokenizer.encode_literal("<|im_start|>"), *tokenizer.encode(text)[:_LONGEST]]
    step = trunk.forward(torch.tensor([ids]), trunk.cache(), reads=[layer])
    state: NDArray[numpy.float32] = step.reads[layer][0, -1].float().cpu().numpy()
    return state


def opened(home: Home, say: Callable[[str], None], trunk: "Trunk | None") -> HiddenEncoder:
    """The encoder over a loaded model, or over one loaded for it; raises UsageError and as `load`."""
    from anima.trunk.loader import load
    from anima.trunk.tokens import read_tokenizer

    shipped = shipped_models()
    if shipped is None or not (shipped / MODEL / FILE).is_file():
        raise UsageError(
            "What the encoder trunk needs is not part of this installation: choose --encoder minilm."
        )
    whitened = Whitening.read(shipped / MODEL / FILE)
    if trunk is None:
        loaded = load(MODEL, home, say=say)
        return HiddenEncoder(loaded.trunk, loaded.tokenizer, whitened)
    tokenizer = read_tokenizer(home.cache / "models" / MODEL / "tokenizer.json")
    return HiddenEncoder(trunk, tokenizer, whitened)
