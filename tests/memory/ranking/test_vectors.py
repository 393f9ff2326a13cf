"""The exact index gives the cosines of what it holds, whatever came and went; FAISS gives the same."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import UsageError
from anima.memory.ranking.vectors import ExactIndex, VectorIndex, unit

Make = Callable[[], VectorIndex]


def faiss(kind: str) -> Make:
    def make() -> VectorIndex:
        pytest.importorskip("faiss")
        from anima.memory.ranking.faiss_index import FaissIndex

        return FaissIndex(kind)

    return make


@pytest.fixture(params=["exact", "flat"])
def make(request: pytest.FixtureRequest) -> Make:
    return ExactIndex if request.param == "exact" else faiss(request.param)


def keys(count: int, width: int = 6, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def filled(make: Make, rows: np.ndarray) -> VectorIndex:
    index = make()
    for seq, key in enumerate(rows, 1):
        index.add(seq, key)
    return index


def as_dict(index: VectorIndex, vector: np.ndarray) -> dict[int, float]:
    near = index.near(vector)
    return dict(zip(near.seqs.tolist(), near.similarities.tolist(), strict=True))


def test_near_gives_every_cosine(make: Make) -> None:
    rows, asked = keys(300), keys(1, seed=9)[0]
    expected = {
        seq: float(unit(key).astype(float) @ unit(asked)) for seq, key in enumerate(rows, 1)
    }
    assert as_dict(filled(make, rows), asked) == pytest.approx(expected, abs=1e-6)


def test_the_most_that_are_asked_for_hold_the_nearest(make: Make) -> None:
    index, asked = filled(make, keys(300)), keys(1, seed=9)[0]
    every = as_dict(index, asked)
    found = set(index.near(asked, 10).seqs.tolist())
    assert set(sorted(every, key=lambda seq: -every[seq])[:10]) <= found


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=60))
def test_the_index_holds_what_was_added_and_not_dropped(steps: list[tuple[bool, int]]) -> None:
    rows, asked = keys(13), keys(1, seed=9)[0]
    index, held = ExactIndex(), set()
    for adds, seq in steps:
        if adds:
            index.add(seq, rows[seq])
            held.add(seq)
        else:
            index.drop(seq)
            held.discard(seq)
    expected = {seq: float(unit(rows[seq]) @ unit(asked)) for seq in held}
    assert as_dict(index, asked) == pytest.approx(expected, abs=1e-6)
    mean = float(np.mean(list(expected.values()))) if held else 0.0
    assert index.background(asked) == pytest.approx(mean, abs=1e-5)


def test_what_was_dropped_is_not_found_and_leaves_nothing_in_the_matrix() -> None:
    rows = keys(5)
    index = filled(ExactIndex, rows)
    index.drop(2)
    index.drop(5)
    assert sorted(as_dict(index, rows[0])) == [1, 3, 4]
    for gone in (1, 4):
        assert not (index._units @ unit(rows[gone]) > 0.999).any()


def test_similarities_are_those_of_the_lines_asked_for_and_nan_for_others(make: Make) -> None:
    rows = keys(20)
    found = filled(make, rows).similarities(rows[4], np.array([5, 99, 1]))
    assert found[0] == pytest.approx(1.0, abs=1e-6)
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(float(unit(rows[0]) @ unit(rows[4])), abs=1e-6)


def test_a_vector_of_another_width_is_refused_by_both_numbers(make: Make) -> None:
    index = filled(make, keys(3))
    for ask in (index.near, index.background, lambda v: index.similarities(v, np.array([1]))):
        with pytest.raises(UsageError, match=r"2 numbers .* 6"):
            ask(np.ones(2, np.float32))


def test_keys_come_at_length_one_and_the_density_is_the_mean_of_all_pairs(make: Make) -> None:
    rows = np.random.default_rng(3).normal(size=(7, 4)).astype(np.float32) + 1
    index = filled(make, rows)
    index.drop(7)
    units = rows[:6] / np.linalg.norm(rows[:6], axis=1, keepdims=True)
    keys = index.keys(np.array([3, 99, 1]))
    assert keys == pytest.approx(np.stack([units[2], np.zeros(4), units[0]]), abs=1e-5)
    pairs = (units @ units.T)[~np.eye(6, dtype=bool)]
    assert index.density() == pytest.approx(pairs.mean(), abs=1e-5)
    for seq in (1, 2, 3, 4):
        index.drop(seq)
    assert index.density() == 0.0


def test_an_empty_index_finds_nothing(make: Make) -> None:
    index = make()
    vector = np.ones(4, np.float32)
    assert (len(index), index.near(vector).seqs.size, index.background(vector)) == (0, 0, 0.0)
    assert np.isnan(index.similarities(vector, np.array([1]))).all()
    index.add(1, vector)
    index.clear()
    assert index.near(np.ones(9, np.float32)).seqs.size == 0


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_a_unit_vector_has_length_one_at_any_scale(scale: float) -> None:
    assert np.linalg.norm(unit(np.float32([scale, 2 * scale]))) == pytest.approx(1.0)
