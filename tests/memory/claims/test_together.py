import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from anima.encoding.joint import Joint
from anima.errors import CorruptModelError
from anima.home import shipped_models
from anima.memory.claims import together
from anima.memory.claims.together import READ, Together

WIDTH = 384
TOLD = {"of_keys": "0.75", "bias": "0.25", "least": "0.05", "sure": "0.8", "likely": "0.5"}


def planted(weight: float = 0.0, bias: float = 0.0) -> Joint:
    """No layers: its logit is the older text's mean along the first direction, times a weight."""
    head = np.zeros(4 * WIDTH + 1, np.float32)
    head[WIDTH], head[-1] = weight, bias
    return Joint.of(4, {"types": np.zeros((2, WIDTH), np.float32), "head": head})


class Lower:
    """States of a text that say how long it is, and what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str], layers: int, most: int) -> list[NDArray[np.float32]]:
        assert (layers, most) == (4, together.LONGEST)
        self.asked += texts
        found = [np.zeros((2, WIDTH), np.float32) for _ in texts]
        for each, text in zip(found, texts, strict=True):
            each[:, 0] = zlib.crc32(text.encode()) % 7 - 3
        return found


def reader(joint: Joint, states: Lower, **other: float) -> Together:
    return Together(
        joint=joint,
        states=states,
        of_keys=other.get("of_keys", 1.0),
        bias=other.get("bias", 0.0),
        least=other.get("least", 0.05),
        sure=0.8,
        likely=0.5,
    )


def test_what_is_read_together_adds_to_what_the_keys_said() -> None:
    by_keys = np.array([0.3, 0.1])
    found = reader(planted(bias=1.0), Lower()).chances("new", ["one", "two"], by_keys)
    wanted = 1 / (1 + np.exp(-(np.log(by_keys / (1 - by_keys)) + 1.0)))
    assert found == pytest.approx(wanted)


def test_what_neither_sees_stays_as_the_keys_said() -> None:
    by_keys = np.array([0.3, 0.9])
    found = reader(planted(), Lower()).chances("new", ["one", "two"], by_keys)
    assert found == pytest.approx(by_keys)


def test_each_older_text_is_read_by_itself() -> None:
    olds = ["one", "two", "three"]
    by_keys = np.full(3, 0.5)
    found = reader(planted(weight=1.0), Lower()).chances("new", olds, by_keys)
    wanted = [zlib.crc32(each.encode()) % 7 - 3 for each in olds]
    assert np.log(found / (1 - found)) == pytest.approx(wanted, abs=1e-5)


def test_only_the_likeliest_are_read_and_none_below_the_least() -> None:
    states = Lower()
    by_keys = np.array([0.06, 0.9, 0.5, 0.04, 0.7, 0.6])
    found = reader(planted(), states).chances("new", list("abcdef"), by_keys)
    assert states.asked == ["new", "b", "e", "f"]
    assert np.flatnonzero(found).tolist() == [1, 4, 5]
    assert len(states.asked) == READ + 1


def test_where_nothing_is_likely_nothing_is_read() -> None:
    states = Lower()
    found = reader(planted(), states).chances("new", ["one"], np.array([0.01]))
    assert (found.tolist(), states.asked) == ([0.0], [])


def test_a_reader_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / together.FILE
    joint = planted(bias=0.5)
    Joint(first=4, tensors=joint.tensors, told=TOLD, layers=()).write(path)
    found = together.read_together(path, Lower())
    assert (found.of_keys, found.bias, found.least) == (0.75, 0.25, 0.05)
    assert (found.sure, found.likely) == (0.8, 0.5)


@pytest.mark.parametrize("told", [{}, {**TOLD, "sure": "very"}])
def test_a_file_without_its_numbers_is_refused_by_name(
    tmp_path: Path, told: dict[str, str]
) -> None:
    path = tmp_path / "without.safetensors"
    Joint(first=4, tensors=planted().tensors, told=told, layers=()).write(path)
    with pytest.raises(CorruptModelError, match="without"):
        together.read_together(path, Lower())


def test_there_is_none_for_an_encoder_that_gives_no_states() -> None:
    assert together.together_for(None) is None
    assert together.together_for(type("Bare", (), {"name": "minilm"})()) is None


def test_what_comes_with_anima_can_be_read() -> None:
    shipped = shipped_models()
    assert shipped is not None
    found = together.read_together(shipped / "minilm" / together.FILE, Lower())
    assert 0 < found.least < found.likely <= found.sure < 1
    chance = np.random.default_rng(0)
    one, other = (chance.normal(size=(5, WIDTH)).astype(np.float32) for _ in "ab")
    assert np.isfinite(found.joint.logits(one, [other])).all()
