import pytest
import torch
from planted import planted

from anima.features.choosing import Candidate, best, calibrated
from anima.features.fidelity import Loss


def candidate(layer, weak, rise, strong=0.0):
    loss = Loss(clean=3.0, replaced=3.0 + rise, rise=rise, spread=0.0, tokens=9, texts=3)
    return Candidate(
        layer=layer, l0=40, fvu=0.2, loss=loss, weak=weak, strong=strong, scored=100
    )  # fmt: skip


def test_the_layer_whose_features_show_most_in_the_output_is_chosen():
    assert (
        best([candidate(3, 0.1, 0.1), candidate(5, 0.2, 0.3), candidate(7, 0.2, 0.4, 0.1)]).layer
        == 7
    )


def test_a_layer_that_costs_the_model_too_much_is_not_chosen():
    assert best([candidate(3, 0.1, 0.1), candidate(5, 0.2, 0.6)]).layer == 3


def test_where_all_cost_too_much_the_cheapest_is_chosen():
    assert best([candidate(3, 0.1, 0.9), candidate(5, 0.2, 0.7), candidate(6, 0.3, 2)]).layer == 5


@pytest.mark.parametrize("wanted", [0.5, 2.0, 7.25])
def test_a_calibrated_threshold_lets_as_many_features_through_as_asked(wanted):
    h = torch.randn(800, 32, generator=torch.Generator().manual_seed(0))
    sae = calibrated(planted(features=32, threshold=9.0), h, wanted)
    assert (sae.encode(h) > 0).float().sum(1).mean().item() == pytest.approx(wanted, abs=0.01)
