import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from anima.trunk.fast_kernels import Blocks, in_eight_bits, in_four_bits
from anima.trunk.fast_products import block_product, instructions, round_group

GROUPS = 3
WAYS = sorted({"plain", instructions()} | ({"vnni256"} if instructions() == "vnni512" else set()))


@njit
def rounded(x, norm, factor, high, low, scales, sums):
    for g in range(len(scales)):
        at = 0 if len(norm) == 0 else norm.ctypes.data + 128 * g
        round_group(
            x.ctypes.data + 128 * g, at, factor, high.ctypes.data + 32 * g,
            low.ctypes.data + 32 * g, scales.ctypes.data + 4 * g, sums.ctypes.data + 4 * g,
        )  # fmt: skip


def as_integers(x, norm=(), factor=1.0):
    """x `[n, 32·groups]` as integers, and what they mean."""
    tokens, columns = x.shape
    high, low = (np.zeros((tokens, columns), np.int8) for _ in range(2))
    scales, sums = (np.zeros((tokens, columns // 32), np.float32) for _ in range(2))
    for m in range(tokens):
        rounded(
            x[m],
            np.array(norm, np.float32),
            np.float32(factor),
            high[m],
            low[m],
            scales[m],
            sums[m],
        )
    whole = 256 * high.astype(np.int64) + low
    return (high, low, scales, sums), whole.reshape(tokens, -1, 32) * scales[..., None]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(deadline=None)  # the first example compiles
@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6))
def test_rounding_loses_a_65_thousandth_of_the_largest_and_the_sums_are_of_the_rounded(seed, size):
    x = normal(2, 32 * GROUPS, seed=seed) * np.float32(size)
    (*_, sums), meant = as_integers(x)
    largest = np.abs(x.reshape(2, -1, 32)).max(-1)
    error = np.abs(meant.reshape(x.shape) - x).reshape(2, -1, 32).max(-1)
    assert (error <= 0.51 * largest / 32512).all()
    np.testing.assert_allclose(sums, meant.sum(-1), rtol=1e-5, atol=largest.max() * 1e-5)


def test_a_norm_and_a_factor_are_applied_before_rounding_and_zeros_stay_zeros():
    x, norm = normal(1, 64), normal(64, seed=1)
    _, meant = as_integers(x, norm, 0.5)
    np.testing.assert_allclose(meant.reshape(1, 64), x * norm * 0.5, atol=1e-4)
    _, nothing = as_integers(np.zeros((1, 32), np.float32))
    assert (nothing == 0).all()


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("tokens", [1, 4])
@pytest.mark.parametrize("form", [in_four_bits, in_eight_bits])
def test_a_block_is_multiplied_alike_in_every_way_of_multiplying_bytes(form, tokens, how):
    weight = form(torch.from_numpy(normal(16, 32 * GROUPS)))
    blocks = Blocks(weight)
    x = normal(tokens, 32 * GROUPS, seed=2)
    (high, low, scales, sums), meant = as_integers(x)
    product = block_product(blocks.bits, tokens, how)

    @njit
    def run(weights, high, low, scales, sums, out, add):
        product(
            weights, high.ctypes.data, low.ctypes.data, scales.ctypes.data, sums.ctypes.data,
            out.ctypes.data, 3, out.shape[1], add,
        )  # fmt: skip

    out = np.ones((tokens, 20), np.float32)
    expected = meant.reshape(tokens, -1) @ weight.dequantised().double().numpy().T
    run(blocks.address, high, low, scales, sums, out, 0)
    np.testing.assert_allclose(out[:, :16], expected, atol=2e-5)
    run(blocks.address, high, low, scales, sums, out, 1)
    np.testing.assert_allclose(out[:, :16], 2 * expected, atol=4e-5)
    assert (out[:, 16:] == 1).all()
