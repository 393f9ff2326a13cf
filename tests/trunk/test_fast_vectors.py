import numpy as np
import pytest
from numba import njit

from anima.trunk.fast_vectors import (
    added,
    dot,
    exponentials,
    filled,
    float_at,
    gated,
    mix,
    scaled,
    scores,
    turned,
)


@njit
def one_dot(x, y):
    return dot(x.ctypes.data, y.ctypes.data, len(x) // 16)


@njit
def all_scores(query, keys, out):
    scores(query.ctypes.data, keys.ctypes.data, out.ctypes.data, len(keys), query.shape[0] // 16)


@njit
def mixed(shares, values, out):
    mix(shares.ctypes.data, values.ctypes.data, out.ctypes.data, len(values), values.shape[1] // 16)


@njit
def softened(x):
    return exponentials(x.ctypes.data, len(x) // 16)


@njit
def one_gated(gate, up, out):
    gated(gate.ctypes.data, up.ctypes.data, out.ctypes.data)


@njit
def small_acts(x, turns, y, out):
    """out: x turned and halved, then x trebled, then sevens; returns x + y and out's first float."""
    at, vectors = out.ctypes.data, len(x) // 16
    turned(x.ctypes.data, turns.ctypes.data, np.float32(0.5), at, vectors)
    scaled(x.ctypes.data, np.float32(3.0), at + 4 * len(x), vectors)
    filled(at + 8 * len(x), np.float32(7.0), vectors)
    total = x.copy()
    added(total.ctypes.data, y.ctypes.data, len(x) - 3)
    return total, float_at(at)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("width", [16, 64, 128, 144])
def test_scores_and_mixtures_are_the_products_they_stand_for(width):
    query, keys, shares = normal(width), normal(37, width, seed=1), normal(37, seed=2)
    found = np.zeros(37, np.float32)
    all_scores(query, keys, found)
    np.testing.assert_allclose(found, keys @ query, atol=1e-4)
    assert abs(one_dot(query, keys[0]) - query @ keys[0]) < 1e-4
    out = np.ones(width, np.float32)
    mixed(shares, keys, out)
    np.testing.assert_allclose(out, 1 + shares @ keys, atol=1e-4)


def test_exponentials_are_those_of_the_distance_to_the_largest():
    x = np.concatenate([normal(48) * 30, [-3e38] * 16]).astype(np.float32)
    expected = np.exp(x.astype(np.float64) - x.max())
    total = softened(x)
    np.testing.assert_allclose(x, expected, rtol=3e-6, atol=1e-37)
    assert abs(total / expected.sum() - 1) < 1e-5


def test_a_gate_is_the_sigmoid_unit_times_the_other_branch_and_stays_finite():
    gate = np.concatenate([normal(12) * 5, [-200, 200, 0, -90]]).astype(np.float32)
    up, out = normal(16, seed=1), np.zeros(16, np.float32)
    one_gated(gate, up, out)
    wide = gate.astype(np.float64)
    np.testing.assert_allclose(out, wide / (1 + np.exp(-wide)) * up, rtol=1e-5, atol=1e-6)


def test_turning_scaling_filling_and_adding_are_what_they_say():
    x, y, angles = normal(48), normal(48, seed=1), normal(24, seed=2)
    turns = np.stack([np.cos(angles), np.sin(angles)], 1).reshape(-1).astype(np.float32)
    out = np.zeros(3 * 48, np.float32)
    total, first = small_acts(x, turns, y, out)
    pairs = x[::2] + 1j * x[1::2]
    turned_ = 0.5 * pairs * np.exp(1j * angles)
    expected = np.stack([turned_.real, turned_.imag], 1).reshape(-1)
    np.testing.assert_allclose(out[:48], expected, atol=1e-6)
    np.testing.assert_allclose(out[48:96], 3 * x)
    assert (out[96:] == 7).all()
    assert first == out[0]
    np.testing.assert_array_equal(total, np.concatenate([(x + y)[:45], x[45:]]))
