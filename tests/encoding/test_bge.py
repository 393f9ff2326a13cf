"""bge-small under onnxruntime, with its real weights."""

import os

import numpy
import pytest

from anima.encoding import open_encoder
from anima.home import find_home


@pytest.mark.slow
def test_the_real_encoder_knows_a_question_from_another() -> None:
    pytest.importorskip("onnxruntime")
    encoder = open_encoder("bge", find_home(None, os.environ))
    fact, other, asked = encoder.encode(
        ["My sister is a vet", "I moved to Utrecht", "What does my sibling do for a living?"]
    )
    assert fact @ asked > other @ asked + 0.1
    assert numpy.linalg.norm(fact) == pytest.approx(1.0, abs=1e-5)
    assert encoder.encode([]).shape == (0, encoder.width)
