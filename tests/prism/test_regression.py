import pytest
import torch

from anima.errors import SteeringError
from anima.prism.regression import fitted, labels_of

ROWS = torch.tensor([[2.0, 0.1], [1.8, -0.2], [2.2, 0.0], [-1.0, 0.1], [-1.2, -0.1]])


def test_rows_of_one_kind_are_told_from_the_other():
    weights, bias = fitted(list(ROWS), [0, 0, 0, 1, 1], penalty=1e-3)
    assert (ROWS @ weights.T + bias).argmax(-1).tolist() == [0, 0, 0, 1, 1]


def test_training_twice_gives_the_same_weights():
    first, second = (fitted(list(ROWS), [0, 0, 0, 1, 1], penalty=1e-3) for _ in range(2))
    assert all((one == other).all() for one, other in zip(first, second, strict=True))


def test_labels_are_numbered_in_the_order_of_the_texts():
    assert labels_of({"warm": ["a", "b"], "dry": ["c"]}) == [0, 0, 1]


def test_one_kind_alone_cannot_be_learned():
    with pytest.raises(SteeringError, match="two kinds"):
        labels_of({"warm": ["a"]})
    with pytest.raises(SteeringError, match="two kinds"):
        labels_of({"warm": ["a"], "dry": []})
