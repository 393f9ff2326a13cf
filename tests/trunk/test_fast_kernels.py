import pytest
import torch

from anima.trunk.fast_kernels import Head, Nibbles, has_kernel, in_eight_bits, in_four_bits

pytestmark = pytest.mark.skipif(not has_kernel(), reason="this CPU has no 4-bit product")


def matrix(rows=70, columns=96):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


def error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(("form", "loss"), [(in_four_bits, 0.1), (in_eight_bits, 0.006)])
def test_rounding_a_matrix_loses_little(form, loss):
    weight = matrix()
    assert error(form(weight).dequantised(), weight) < loss
    assert torch.equal(form(torch.zeros(2, 32)).dequantised(), torch.zeros(2, 32))


@pytest.mark.parametrize("form", [in_four_bits, in_eight_bits])
@pytest.mark.parametrize("rows", [1, 8, 9, 64, 65])
def test_any_number_of_rows_is_multiplied_as_the_full_matrix_would(form, rows):
    weight = form(matrix())
    x = torch.randn(rows, 96, generator=torch.Generator().manual_seed(1)).bfloat16()
    found = Nibbles(weight)(x)
    assert found.shape == (rows, 70)
    assert error(found.float(), x.float() @ weight.dequantised().t()) < 0.005


@pytest.mark.parametrize("rows", [1, 9])
def test_the_best_logits_of_the_head_are_exact_and_the_rest_near(rows):
    weight = in_eight_bits(matrix(600))
    x = torch.randn(rows, 96, generator=torch.Generator().manual_seed(2))
    exact = x @ weight.dequantised().t()
    found = Head(weight)(x)
    best = exact.topk(200).indices
    torch.testing.assert_close(found.gather(1, best), exact.gather(1, best), rtol=0, atol=1e-4)
    assert error(found, exact) < 0.005
