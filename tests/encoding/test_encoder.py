"""Encoders are found by name, and what is near in meaning is near in cosine."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.encoding import DEFAULT, ENCODERS, open_encoder, similarity
from anima.errors import UsageError
from anima.home import Home


class Letters:
    """Counts letters, as unit vectors `[n, 3]`."""

    name = "letters"
    width = 3

    def encode(self, texts):
        counts = numpy.array([[1 + text.count(each) for each in "abc"] for text in texts])
        return (counts / numpy.linalg.norm(counts, axis=1, keepdims=True)).astype(numpy.float32)


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path) -> None:
    home = Home(root=tmp_path, cache=tmp_path, config=tmp_path / "config.toml")
    with pytest.raises(UsageError, match="minilm, bge, trunk"):
        open_encoder("nothing", home)
    assert DEFAULT in ENCODERS


@given(st.lists(st.text("abc", max_size=9), min_size=1, max_size=5), st.text("abc", max_size=9))
def test_similarity_is_the_cosine_of_each_text_with_the_other(texts, other) -> None:
    found = similarity(Letters(), texts, other)
    assert len(found) == len(texts)
    assert all(-1 <= value <= 1 + 1e-6 for value in found)
    assert similarity(Letters(), [other], other) == pytest.approx([1.0], abs=1e-6)
