import pytest
import torch

from anima.errors import ModelError
from anima.trunk.cache import GrowingLayer

IDS = torch.arange(3, 43)[None]


def test_growing_past_its_first_capacity_keeps_every_key():
    layer = GrowingLayer()
    generator = torch.Generator().manual_seed(0)
    pieces = [torch.randn(1, 2, n, 4, generator=generator) for n in (1, 200, 100, 700, 1)]
    for piece in pieces:
        keys, values = layer.update(piece, -piece)
    assert torch.equal(keys, torch.cat(pieces, 2))
    assert torch.equal(values, -torch.cat(pieces, 2))


def test_a_fork_goes_its_own_way(make):
    trunk = make()
    cache = trunk.cache()
    trunk.forward(IDS, cache)
    fork = cache.fork([0, 0])
    assert (fork.rows, fork.length) == (2, 40)
    step = trunk.forward(torch.tensor([[5], [6]]), fork).logits
    assert cache.length == 40
    for row, token in enumerate((5, 6)):
        alone = trunk.forward(torch.tensor([[token]]), cache).logits[0]
        torch.testing.assert_close(step[row], alone, rtol=0, atol=1e-4)
        cache.crop(40)


def test_a_fork_can_reorder_padded_rows(make):
    trunk = make()
    cache = trunk.cache(2, padding=[0, 30])
    trunk.forward(IDS.repeat(2, 1), cache)
    swapped = cache.fork([1, 0])
    assert swapped.padding.tolist() == [30, 0]
    step = trunk.forward(torch.tensor([[5], [5]]), cache).logits
    other = trunk.forward(torch.tensor([[5], [5]]), swapped).logits
    torch.testing.assert_close(other.flip(0), step, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [-1, 41])
def test_cropping_to_what_is_not_there_is_refused(make, length):
    trunk = make()
    cache = trunk.cache()
    trunk.forward(IDS, cache)
    with pytest.raises(ModelError, match="40 positions"):
        cache.crop(length)
