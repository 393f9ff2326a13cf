"""Each line is read beside the question; what is kept of a line is used again; files are named."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from anima.encoding.joint import Joint
from anima.errors import CorruptModelError
from anima.home import shipped_models
from anima.memory.ranking import answering
from anima.memory.ranking.answering import Answering

from ..readers import WIDTH, Lower, planted


def test_each_line_is_read_by_itself() -> None:
    reader = Answering(joint=planted(), states=Lower())
    one, other = "my dog is called rex", "we had soup"
    assert reader.logits("what is my dog called?", [one, other]) == pytest.approx([3.0, -3.0])
    assert reader.logits("what is my dog called?", [other]) == pytest.approx([-3.0])


def test_no_line_has_no_logit_and_is_not_read() -> None:
    states = Lower()
    assert Answering(joint=planted(), states=states).logits("who?", []).size == 0
    assert states.asked == []


def test_a_line_that_was_read_is_not_made_again() -> None:
    states = Lower()
    reader = Answering(joint=planted(), states=states)
    first = reader.logits("where?", ["rex", "soup"])
    again = reader.logits("who?", ["soup", "rex", "rex"])
    assert states.asked == ["where?", "rex", "soup", "who?"]
    assert again.tolist() == [first[1], first[0], first[0]]


def test_only_the_lines_read_last_are_kept() -> None:
    states = Lower()
    reader = Answering(joint=planted(), states=states)
    for at in range(300):
        reader.logits("who?", [f"line {at}"])
    reader.logits("who?", ["line 299"])
    assert states.asked.count("line 299") == 1
    reader.logits("who?", ["line 0"])
    assert states.asked.count("line 0") == 2
    assert states.asked.count("who?") == 1


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "torn.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(CorruptModelError, match="torn"):
        answering.read_answering(path, Lower())


def test_a_reader_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / answering.FILE
    planted().write(path)
    found = answering.read_answering(path, Lower())
    assert found.logits("who?", ["rex", "soup"]) == pytest.approx([3.0, -3.0], abs=1e-2)


def test_there_is_none_for_an_encoder_that_gives_no_states() -> None:
    assert answering.answering_for(None) is None
    assert answering.answering_for(type("Bare", (), {"name": "minilm"})()) is None
    assert answering.answering_for(type("Bge", (), {"name": "bge", "states": Lower()})()) is None


def test_what_comes_with_anima_can_be_read() -> None:
    shipped = shipped_models()
    assert shipped is not None
    path = shipped / "minilm" / answering.FILE
    assert path.stat().st_size < 8e6
    found = answering.read_answering(path, random_states)
    logits = found.logits("what is my dog called?", ["my dog is called rex", "we had soup"])
    assert np.isfinite(logits).all()
    assert isinstance(found.joint, Joint)


def random_states(texts: Sequence[str], layers: int, most: int) -> list[NDArray[np.float32]]:
    assert (layers, most) == (4, answering.LONGEST)
    chance = np.random.default_rng(0)
    return [chance.normal(size=(5, WIDTH)).astype(np.float32) for _ in texts]
