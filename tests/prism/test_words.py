import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import SteeringError
from anima.prism.words import Words, counted, trained

TEXTS = {
    "warm": ["I love you so much", "I feel with you, friend", "you dear, I hold you", "my heart"],
    "dry": ["Water boils at 100 degrees", "Mass is 5 kg", "List of ports: 80", "It melts at 40"],
}


def test_texts_of_one_kind_are_told_from_the_other():
    judge = trained(TEXTS)
    assert judge.chances("I love my dear friend")["warm"] > 0.8
    assert judge.chances("It boils at 80 degrees")["dry"] > 0.8


def test_training_twice_gives_the_same_weights():
    first, second = trained(TEXTS), trained(TEXTS)
    assert (first.weights == second.weights).all()


@given(st.text(max_size=60))
def test_chances_of_any_text_sum_to_one(text):
    judge = _judge()
    assert sum(judge.chances(text).values()) == pytest.approx(1, abs=1e-5)
    assert float(counted(text, 64).norm()) == pytest.approx(1, abs=1e-5)


def test_one_kind_alone_cannot_be_learned():
    with pytest.raises(SteeringError, match="two kinds"):
        trained({"warm": TEXTS["warm"]})
    with pytest.raises(SteeringError, match="two kinds"):
        trained({"warm": TEXTS["warm"], "dry": []})


_made: list[Words] = []


def _judge():
    if not _made:
        _made.append(trained(TEXTS, buckets=64))
    return _made[0]
