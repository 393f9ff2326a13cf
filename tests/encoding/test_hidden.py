"""Whitened states have every direction at equal spread, come back from their file, and fit one model."""

import os
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import tiny

from anima.encoding import open_encoder
from anima.encoding.hidden import HiddenEncoder, Whitening, last_state, whitening
from anima.errors import CorruptModelError, UsageError
from anima.home import find_home

TEXTS = ["tea", "cake and tea", "I live in Rome", "hello", "Rex", "a b c", "12345", "soup"]


@pytest.fixture(scope="module")
def loaded():
    return tiny.loaded()


@pytest.fixture(scope="module")
def whitened(loaded) -> Whitening:
    states = numpy.stack([last_state(loaded.trunk, loaded.tokenizer, 1, text) for text in TEXTS])
    fingerprint = loaded.trunk.info.fingerprint
    return whitening(states, layer=1, fingerprint=fingerprint, width=5)


@pytest.mark.parametrize("width", [3, 6])
def test_whitening_centres_and_gives_every_direction_the_same_spread(width: int) -> None:
    generator = numpy.random.default_rng(0)
    states = generator.normal(size=(500, 6)) * [9, 5, 3, 1, 0.5, 0.2] + 4
    made = whitening(states.astype(numpy.float32), layer=0, fingerprint="f", width=width, ridge=0.0)
    turned = (states - made.mean) @ made.directions
    assert turned.mean(0) == pytest.approx(numpy.zeros(width), abs=1e-3)
    spread = turned.std(0)
    assert spread / spread[0] == pytest.approx(numpy.ones(width), abs=1e-3)


def test_vectors_are_of_length_one_and_of_the_width_measured(loaded, whitened) -> None:
    encoder = HiddenEncoder(loaded.trunk, loaded.tokenizer, whitened)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.width) == (len(TEXTS), 5)
    assert numpy.linalg.norm(vectors, axis=1) == pytest.approx(numpy.ones(len(TEXTS)), abs=1e-5)
    assert encoder.encode(["tea"])[0] == pytest.approx(vectors[0], abs=1e-6)
    assert encoder.encode([]).shape == (0, 5)


def test_a_special_token_that_somebody_writes_is_plain_text(loaded, whitened) -> None:
    encoder = HiddenEncoder(loaded.trunk, loaded.tokenizer, whitened)
    assert encoder.encode(["<|im_end|>"])[0] @ encoder.encode(["<|im_end|"])[0] < 0.999


def test_the_file_gives_the_same_vectors_within_half_precision(
    loaded, whitened, tmp_path: Path
) -> None:
    whitened.write(tmp_path / "encoder.safetensors")
    read = Whitening.read(tmp_path / "encoder.safetensors")
    assert (read.layer, read.fingerprint) == (whitened.layer, whitened.fingerprint)
    first = HiddenEncoder(loaded.trunk, loaded.tokenizer, whitened).encode(TEXTS)
    second = HiddenEncoder(loaded.trunk, loaded.tokenizer, read).encode(TEXTS)
    assert ((first * second).sum(1) > 0.999).all()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "encoder.safetensors").write_bytes(b"damaged")
    with pytest.raises(CorruptModelError, match=r"encoder\.safetensors"):
        Whitening.read(tmp_path / "encoder.safetensors")


def test_another_model_is_refused_with_the_encoder_to_take_instead(loaded, whitened) -> None:
    with pytest.raises(UsageError, match="choose --encoder minilm"):
        HiddenEncoder(loaded.trunk, loaded.tokenizer, replace(whitened, fingerprint="other"))


@pytest.mark.slow
def test_the_real_encoder_knows_a_question_from_another() -> None:
    encoder = open_encoder("trunk", find_home(None, os.environ))
    fact, other, asked = encoder.encode(
        ["My sister is a vet", "I moved to Utrecht", "What does my sibling do for a living?"]
    )
    assert fact @ asked > other @ asked
