import pytest
import tiny
import torch
from planted import directions, planted

from anima.context import Tokens
from anima.errors import FeatureError
from anima.features.fidelity import curve, fidelity, loss
from anima.features.statistics import measure

BYTES = tuple(range(3, 43))
PIECE = Tokens(ids=(1, *BYTES), roles=("template", *(("user",) * 20), *(("assistant",) * 20)))


def test_a_perfect_sae_explains_all_and_none_explains_nothing():
    h = 5 * torch.randn(400, 16)
    both = torch.cat([directions(16, 16), -directions(16, 16)])
    perfect = planted("standard", features=16, width=16, encoder=both.T, decoder=both,
                      biases={"b_enc": torch.zeros(32)})  # fmt: skip
    assert fidelity(perfect, h.split(100)).fvu == pytest.approx(0, abs=1e-9)
    assert fidelity(perfect, h.split(100)).l0 == pytest.approx(16)
    mean = planted("jumprelu", features=16, width=16, threshold=1e6, decoder_bias=h.mean(0))
    assert fidelity(mean, [h]).fvu == pytest.approx(1, abs=1e-4)
    assert fidelity(mean, [h]).l0 == 0


def test_a_higher_threshold_means_fewer_features_and_more_left_over():
    h = torch.randn(500, 32)
    found = curve(planted("jumprelu", features=32, threshold=0.2), h.split(64), (1, 2, 4))
    assert found[0].l0 > found[1].l0 > found[2].l0
    assert found[0].fvu < found[1].fvu < found[2].fvu
    with pytest.raises(FeatureError, match="no threshold"):
        curve(planted("standard"), [h], (2.0,))


def test_no_token_is_no_measurement():
    with pytest.raises(FeatureError, match="no token"):
        fidelity(planted(), [])
    with pytest.raises(FeatureError, match="no token"):
        measure(planted(), [])


def test_replacing_by_a_perfect_reconstruction_costs_nothing():
    trunk = tiny.trunk()
    both = torch.cat([torch.eye(32), -torch.eye(32)])
    perfect = planted("standard", encoder=both.T, decoder=both, biases={"b_enc": torch.zeros(64)})
    found = loss(perfect, trunk, [PIECE, PIECE])
    assert found.rise == pytest.approx(0, abs=1e-4)
    assert (found.tokens, found.texts) == (80, 2)


def test_replacing_by_nothing_costs_what_the_models_own_forward_says():
    trunk = tiny.trunk()
    silent = planted("jumprelu", threshold=1e9, layer=1)
    found = loss(silent, trunk, [PIECE])
    content = torch.tensor([role != "template" for role in PIECE.roles])[None, :, None]
    ids = torch.tensor([PIECE.ids])
    logits = trunk.forward(
        ids, trunk.cache(), taps={1: (lambda h: -h * content,)}, logits_at="all"
    ).logits
    expected = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:])
    assert found.replaced == pytest.approx(float(expected), rel=1e-5)
    assert found.rise == pytest.approx(found.replaced - found.clean)


def test_statistics_are_those_of_the_activations():
    sae = planted("jumprelu", features=8, threshold=0.5)
    h = torch.randn(300, 32)
    found = measure(sae, h.split(77))
    a = sae.encode(h)
    assert torch.allclose(found.density, (a > 0).float().mean(0))
    assert torch.allclose(found.typical, a.sum(0) / (a > 0).sum(0).clamp(min=1), atol=1e-5)
    assert torch.equal(found.maximum, a.max(0).values)
    assert found.norm == pytest.approx(float(h.norm(dim=-1).mean()), rel=1e-5)
    assert found.l0 == pytest.approx(float((a > 0).float().sum(1).mean()), rel=1e-5)
