import pytest
import tiny
import torch
from planted import planted

from anima.errors import FeatureError
from anima.features.sanity import check, probe
from anima.trunk.tokens import Tokenizer

TOKENS = probe(Tokenizer(tiny.backend()), tiny.chat_format())
BOTH = torch.cat([torch.eye(32), -torch.eye(32)])


def perfect(**changes):
    return planted(
        "standard", encoder=BOTH.T, decoder=BOTH, biases={"b_enc": torch.zeros(64)}, **changes
    )


def test_an_sae_that_fits_is_sane():
    found = check(perfect(l0=20.0), tiny.trunk(), TOKENS)
    assert found.sane
    assert (found.why, found.l0) == ("", pytest.approx(32))
    assert found.fvu == pytest.approx(0, abs=1e-6)


def test_one_that_leaves_most_unexplained_is_not_and_says_so():
    found = check(planted(features=2), tiny.trunk(), TOKENS)
    assert not found.sane
    assert found.fvu > 0.4
    assert "of the variance unexplained" in found.why
    assert "nothing is steered" in found.why


@pytest.mark.parametrize("stated", [5.0, 200.0])
def test_one_with_another_count_of_active_features_than_its_release_is_not(stated):
    found = check(perfect(l0=stated), tiny.trunk(), TOKENS)
    assert not found.sane
    assert f"where {stated:.0f} should be" in found.why


def test_one_of_another_model_is_refused():
    with pytest.raises(FeatureError, match="width 16"):
        check(planted(width=16), tiny.trunk(), TOKENS)
    with pytest.raises(FeatureError, match="layer 7"):
        check(planted(layer=7), tiny.trunk(), TOKENS)
