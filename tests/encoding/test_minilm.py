"""MiniLM gives unit vectors that do not depend on their neighbours; a damaged file is named."""

import os
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from anima.encoding import open_encoder
from anima.encoding.minilm import MiniLmEncoder
from anima.errors import CorruptModelError
from anima.home import find_home

WIDTH = 384


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of the true shape with random weights and forty words."""
    made = tmp_path_factory.mktemp("encoder")
    generator = torch.Generator().manual_seed(0)

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.05

    weights = {
        "embeddings.word_embeddings.weight": matrix(41, WIDTH),
        "embeddings.position_embeddings.weight": matrix(512, WIDTH),
        "embeddings.token_type_embeddings.weight": matrix(2, WIDTH),
    }

    def affine(name: str, out: int, inner: int | None = None) -> None:
        weights[f"{name}.weight"] = torch.ones(out) if inner is None else matrix(out, inner)
        weights[f"{name}.bias"] = matrix(out)

    affine("embeddings.LayerNorm", WIDTH)
    for at in range(6):
        layer = f"encoder.layer.{at}."
        for part in ("query", "key", "value"):
            affine(f"{layer}attention.self.{part}", WIDTH, WIDTH)
        affine(f"{layer}attention.output.dense", WIDTH, WIDTH)
        affine(f"{layer}attention.output.LayerNorm", WIDTH)
        affine(f"{layer}intermediate.dense", 4 * WIDTH, WIDTH)
        affine(f"{layer}output.dense", WIDTH, 4 * WIDTH)
        affine(f"{layer}output.LayerNorm", WIDTH)
    save_file(weights, made / "model.safetensors")
    words = {"[UNK]": 0, **{f"w{at}": at for at in range(1, 41)}}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(made / "tokenizer.json"))
    return made


def test_vectors_are_of_length_one_and_the_same_alone_and_among_others(folder: Path) -> None:
    encoder = MiniLmEncoder(folder)
    texts = ["w1 w2 w3", "w4", "w2 w1 w3 w9 w8"]
    together = encoder.encode(texts)
    assert together.shape == (3, encoder.width)
    assert together.dtype == numpy.float32
    assert numpy.linalg.norm(together, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert (encoder.encode(texts[1:2])[0] == together[1]).all()
    assert not numpy.allclose(together[0], encoder.encode(["w3 w2 w1"])[0], atol=1e-4)


def test_no_texts_are_no_vectors(folder: Path) -> None:
    assert MiniLmEncoder(folder).encode([]).shape == (0, WIDTH)


def test_of_a_long_text_the_beginning_counts(folder: Path) -> None:
    encoder = MiniLmEncoder(folder)
    long = " ".join(f"w{at % 40 + 1}" for at in range(300))
    assert (encoder.encode([long])[0] == encoder.encode([f"{long} w1 w2"])[0]).all()


def test_a_damaged_file_is_named_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CorruptModelError, match="Remove that folder"):
        MiniLmEncoder(tmp_path)


@pytest.mark.slow
def test_the_real_encoder_knows_a_question_from_another() -> None:
    encoder = open_encoder("minilm", find_home(None, os.environ))
    fact, other, asked = encoder.encode(
        ["My sister is a vet", "I moved to Utrecht", "What does my sibling do for a living?"]
    )
    assert fact @ asked > other @ asked + 0.2
