from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import CorruptModelError
from anima.memory.claims import replacing
from anima.memory.claims.replacing import (
    Eyes,
    Line,
    Replacing,
    above_others,
    compared,
    rarities,
    wording,
)

WIDTH, SEEN = 6, 3
scores = st.lists(st.floats(-1, 1), min_size=2, max_size=8, unique=True).map(np.array)
said = st.text(alphabet="abcdenow lftoIy'?19 ", max_size=60)


def eyes() -> Eyes:
    chance = np.random.default_rng(0)
    return Eyes(
        mean=np.zeros(WIDTH),
        projection=chance.normal(size=(WIDTH, SEEN)),
        probes=chance.normal(size=(WIDTH, 3)),
        biases=np.array([0.5, -0.25, 4.0]),
        pair=chance.normal(size=2 * SEEN),
        pair_bias=0.5,
        rarity=rarities(["coffee", "work"]),
    )


def reader(**other: float) -> Replacing:
    chance = np.random.default_rng(1)
    lines = [Line(text="I live in Leeds", key=key(1)), Line(text="moved to Oslo", key=key(2))]
    count = replacing.features(eyes(), lines[0], lines[1:]).shape[1]
    return Replacing(
        encoder="minilm",
        eyes=eyes(),
        centre=np.zeros(count),
        spread=np.ones(count),
        inner=chance.normal(size=(count, 4)) / 8,
        inner_bias=np.zeros(4),
        outer=chance.normal(size=4),
        outer_bias=0.0,
        sure=other.get("sure", 0.875),
        likely=other.get("likely", 0.5),
    )


def key(seed: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    drawn = np.random.default_rng(seed).normal(size=WIDTH)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


@given(scores)
def test_only_the_best_is_above_the_others(each: np.ndarray) -> None:
    above = above_others(each)
    assert (above > 0).sum() == 1
    assert above.argmax() == each.argmax()


def test_one_alone_is_above_none() -> None:
    assert above_others(np.array([0.7])).tolist() == [0.0]


@given(said, said)
def test_what_words_say_together_is_about_a_unit_each(new: str, old: str) -> None:
    found = compared(wording(new), wording(old), {})
    assert np.isfinite(found).all()
    assert (found >= 0).all()


def test_a_line_that_drops_the_old_lets_go_of_it() -> None:
    old = wording("my order is an espresso")
    assert "espresso" in wording("gone off espresso, it's cortado for me").let_go & old.words
    assert "cortado" not in wording("gone from espresso, it's a big cortado").let_go


def test_a_relation_is_one_under_each_of_its_words() -> None:
    assert wording("my sis moved").relations == wording("my sister lives here").relations
    assert wording("my mum is fine").relations != wording("my dad is fine").relations


def test_the_commonest_word_is_the_least_rare() -> None:
    rarity = rarities(["go", "work", "cello"])
    assert rarity["go"] < rarity["work"] < rarity["cello"] <= 1


@given(st.integers(1, 8))
def test_a_chance_is_given_for_each_older_line(count: int) -> None:
    olds = [Line(text=f"I take a {at} in shoes", key=key(at)) for at in range(count)]
    chances = reader().chances(Line(text="make that a 9", key=key(99)), olds)
    assert chances.shape == (count,)
    assert ((chances > 0) & (chances < 1)).all()


def test_nothing_older_has_no_chances() -> None:
    assert reader().chances(Line(text="I live in Leeds", key=key(1)), []).size == 0


def test_a_reader_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / replacing.FILE
    reader().write(path)
    found = replacing.read_replacing(path)
    new, olds = Line(text="left Leeds", key=key(3)), [Line(text="I live in Leeds", key=key(1))]
    assert found.encoder == "minilm"
    assert (found.sure, found.likely) == (0.875, 0.5)
    assert found.chances(new, olds) == pytest.approx(reader().chances(new, olds), abs=0.02)


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / replacing.FILE
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(CorruptModelError, match="replacing"):
        replacing.read_replacing(path)


def test_there_is_none_for_an_encoder_that_none_was_made_for() -> None:
    assert replacing.replacing_for("letters") is None
