import pytest
import torch

from anima.trunk.fast_kernels import Blocks, in_eight_bits, in_four_bits


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
@pytest.mark.parametrize("tokens", [1, 3, 4, 8, 13, 70])
def test_any_number_of_tokens_is_multiplied_as_the_full_matrix_would(form, tokens):
    weight = form(matrix())
    x = torch.randn(tokens, 96, generator=torch.Generator().manual_seed(1))
    found = Blocks(weight)(x)
    assert found.shape == (tokens, 70)
    assert error(found, x @ weight.dequantised().t()) < 5e-5


@pytest.mark.parametrize("form", [in_four_bits, in_eight_bits])
def test_a_token_is_multiplied_to_the_bit_alike_alone_and_among_others_and_by_any_threads(form):
    blocks = Blocks(form(matrix(600)))
    x = torch.randn(13, 96, generator=torch.Generator().manual_seed(2))
    together = blocks(x)
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            assert torch.equal(blocks(x), together)
            assert torch.equal(blocks(x[5:6]), together[5:6])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("form", [in_four_bits, in_eight_bits])
def test_rows_are_read_back_as_the_file_has_them(form):
    weight = form(matrix())
    ids = torch.tensor([69, 0, 17, 17])
    assert torch.equal(Blocks(weight).rows_at(ids), weight.dequantised()[ids])
