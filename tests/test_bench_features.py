import tiny
import torch
from planted import planted

from tools.bench_features import random_sae, shares

IDS = list(range(10, 40))


def test_reading_and_steering_are_shares_of_plain_decode_for_each_sae():
    trunk = tiny.fast()
    saes = {"planted": planted(), "random": random_sae(trunk, IDS, 512)}
    rows = shares(trunk, IDS, saes, 2, 4)
    assert [(each.what, each.whose, each.unit) for each in rows] == [
        ("decode, plain", "anima", "ms/token"),
        ("reading features, share of decode", "planted", "%"),
        ("steering beside reading, share of decode", "planted", "%"),
        ("reading features, share of decode", "random", "%"),
        ("steering beside reading, share of decode", "random", "%"),
    ]
    assert all(each.n == 2 and each.least <= each.median <= each.most for each in rows)
    assert rows[0].least > 0


def test_the_random_sae_is_as_sparse_as_a_trained_one():

    trunk = tiny.fast()
    sae = random_sae(trunk, IDS, 512)
    h = trunk.forward(torch.tensor([IDS]), trunk.cache(), reads=(sae.layer,)).reads[sae.layer][0]
    active = float((sae.encode(h) > 0).sum(1).float().mean())
    assert 30 < active < 120
