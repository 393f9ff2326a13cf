"""MiniLM computes what BERT does, alone and among others, without torch; a damaged file is named."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from anima.encoding import open_encoder
from anima.encoding.minilm import Affine, MiniLmEncoder, gelu, linear
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
    for text, vector in zip(texts, together, strict=True):
        assert encoder.encode([text])[0] == pytest.approx(vector, abs=1e-6)
    assert not numpy.allclose(together[0], encoder.encode(["w3 w2 w1"])[0], atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 91, 200])
def test_a_vector_is_what_the_reference_implementation_computes(folder: Path, length: int) -> None:
    text = " ".join(f"w{at * at % 40 + 1}" for at in range(length))

    found = MiniLmEncoder(folder).encode([text])[0]

    assert found == pytest.approx(reference(folder, text), abs=1e-5)


def test_many_texts_of_every_length_are_each_what_they_are_alone(folder: Path) -> None:
    encoder = MiniLmEncoder(folder)
    texts = [" ".join(f"w{at % 40 + 1}" for at in range(at % 37, 2 * at)) for at in range(1, 80)]

    for text, vector in zip(texts, encoder.encode(texts), strict=True):
        assert encoder.encode([text])[0] == pytest.approx(vector, abs=1e-6)


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=40))
def test_gelu_is_x_times_the_normal_distribution(numbers: list[float]) -> None:
    exact = [x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in numbers]

    found = gelu(numpy.array([numbers], dtype=numpy.float32))[0]

    # Beyond 2e-7 of the formula, float32 itself rounds.
    assert found == pytest.approx(exact, abs=3e-7, rel=2e-7)


@pytest.mark.parametrize("rows", [1, 14, 64, 65, 130])
@pytest.mark.parametrize(("inner", "outer"), [(384, 1152), (384, 384), (1536, 384)])
def test_a_product_by_blocks_is_the_product(rows: int, inner: int, outer: int) -> None:
    generator = numpy.random.default_rng(rows)
    x, weight = (generator.normal(size=(n, inner)).astype("f4") for n in (rows, outer))
    bias = generator.normal(size=outer).astype("f4")

    exact = x.astype("f8") @ weight.T.astype("f8") + bias

    assert numpy.abs(linear(x, Affine(weight, bias)) - exact).max() < 1e-4


def test_neither_torch_nor_transformers_is_imported(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from anima.encoding.minilm import MiniLmEncoder; "
        "MiniLmEncoder(Path(sys.argv[1])).encode(['w1']); "
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "set()"


def test_no_texts_are_no_vectors(folder: Path) -> None:
    assert MiniLmEncoder(folder).encode([]).shape == (0, WIDTH)


def test_of_a_long_text_the_beginning_counts(folder: Path) -> None:
    encoder = MiniLmEncoder(folder)
    long = " ".join(f"w{at % 40 + 1}" for at in range(300))
    assert (encoder.encode([long])[0] == encoder.encode([f"{long} w1 w2"])[0]).all()


def test_a_damaged_file_is_named_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for content in (b"", b"damaged", b"damaged as well", whole[:-4], b"\2" + bytes(7) + b"[]"):
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(CorruptModelError, match="Remove that folder"):
            MiniLmEncoder(tmp_path)


def reference(folder: Path, text: str) -> numpy.ndarray:
    """The vector as transformers computes it."""
    from transformers import BertConfig, BertModel

    weights = load_file(folder / "model.safetensors")
    config = BertConfig(
        vocab_size=len(weights["embeddings.word_embeddings.weight"]),
        hidden_size=WIDTH, num_hidden_layers=6, num_attention_heads=12,
        intermediate_size=4 * WIDTH,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False).eval()
    model.load_state_dict(weights, strict=False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    ids = tokenizer.encode(text).ids
    with torch.inference_mode():
        states = model(torch.tensor([ids])).last_hidden_state[0]
    return torch.nn.functional.normalize(states.mean(0), dim=0).numpy()


@pytest.mark.slow
def test_the_real_encoder_computes_what_the_reference_implementation_does() -> None:
    home = find_home(None, os.environ)
    encoder = open_encoder("minilm", home)
    folder = home.cache / "encoders" / "all-MiniLM-L6-v2"
    texts = ["My sister is a vet", "ok", "Grüße aus München! " * 20]
    for text, vector in zip(texts, encoder.encode(texts), strict=True):
        assert vector == pytest.approx(reference(folder, text), abs=1e-5)


@pytest.mark.slow
def test_the_real_encoder_knows_a_question_from_another() -> None:
    encoder = open_encoder("minilm", find_home(None, os.environ))
    fact, other, asked = encoder.encode(
        ["My sister is a vet", "I moved to Utrecht", "What does my sibling do for a living?"]
    )
    assert fact @ asked > other @ asked + 0.2


def test_states_are_those_of_each_text_alone_and_end_in_its_vector(folder: Path) -> None:
    encoder = MiniLmEncoder(folder)
    texts = ["w1 w2 w3", "w4", "w2 w1 w3 w9 w8"]
    for text, state in zip(texts, encoder.states(texts, 4, 64), strict=True):
        assert state.shape == (len(text.split()), encoder.width)
        assert state == pytest.approx(encoder.states([text], 4, 64)[0], abs=1e-5)
    (last,) = encoder.states(texts[:1], 6, 64)
    mean = last.mean(0)
    assert mean / numpy.linalg.norm(mean) == pytest.approx(encoder.encode(texts[:1])[0], abs=1e-6)


def test_of_a_long_text_the_beginning_and_the_last_token_are_read(folder: Path) -> None:
    encoder = MiniLmEncoder(folder)
    words = [f"w{at}" for at in range(1, 21)]
    (found,) = encoder.states([" ".join(words)], 2, 8)
    (wanted,) = encoder.states([" ".join([*words[:7], words[-1]])], 2, 8)
    assert found == pytest.approx(wanted, abs=1e-6)
