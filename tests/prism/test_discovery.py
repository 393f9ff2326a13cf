import pytest
import tiny
import torch
from prism_rig import planted_sae, statistics

from anima.features.statistics import FeatureStatistics
from anima.prism import discovery
from anima.prism.contrast import Reader
from anima.prism.discovery import Found


def texts(*active, count=12, seed=0, strength=3.0):
    """Residuals of texts in which some planted features are strong."""
    sae, generator = planted_sae(), torch.Generator().manual_seed(seed)
    rows = sae.directions(torch.tensor(list(active), dtype=torch.long)).sum(0)
    noise = [0.3 * torch.randn(7, 32, generator=generator) for _ in range(count)]
    return [each + strength * rows for each in noise]


def reader():
    model = tiny.loaded()
    return Reader(trunk=model.trunk, encoder=model.tokenizer, format=tiny.chat_format())


def test_the_planted_difference_is_proposed_first_and_its_opposite_from_the_other_side():
    sae = planted_sae()
    like, unlike = discovery.codes(sae, texts(4, 9)), discovery.codes(sae, texts(2, seed=1))
    found = discovery.proposals(like, unlike, statistics(sae), count=2)
    assert {each.feature for each in found} == {4, 9}
    assert all(each.rise == pytest.approx(3, abs=0.3) for each in found)
    (other,) = discovery.proposals(unlike, like, statistics(sae), count=1)
    assert other.feature == 2


def test_dead_and_dense_features_are_never_proposed():
    sae = planted_sae()
    like, unlike = discovery.codes(sae, texts(4, 9)), discovery.codes(sae, texts(2, seed=1))
    usual = statistics(sae)
    density = usual.density.clone()
    density[4], density[9] = 0.0, 0.6
    odd = FeatureStatistics(
        density=density, typical=usual.typical, maximum=usual.maximum, norm=6.0, tokens=10
    )
    proposed = discovery.proposals(like, unlike, odd, count=24)
    assert not {4, 9} & {each.feature for each in proposed}


def test_difference_and_principal_direction_find_what_was_planted():
    expected = planted_sae().directions(torch.tensor([4, 9])).sum(0)
    like, unlike = texts(4, 9, count=20), texts(count=20, seed=1)
    for direction in (
        discovery.difference(like, unlike), discovery.principal(like, unlike),
    ):  # fmt: skip
        cosine = torch.nn.functional.cosine_similarity(direction, expected, dim=0)
        assert float(cosine) > 0.95


def test_the_denoised_difference_lies_in_the_span_of_the_features_alone():
    sae = planted_sae()
    like, unlike = texts(4, 9), texts(2, seed=1)
    direction = discovery.denoised(
        sae, discovery.codes(sae, like), discovery.codes(sae, unlike),
        count=2, densest=0.2, scales=statistics(sae),
    )  # fmt: skip
    parts = sae.directions(torch.arange(24)) @ direction
    assert {4, 9, 2} <= set(parts.abs().topk(4).indices.tolist())
    assert float(direction.norm()) == pytest.approx(float(parts.norm()), rel=1e-4)
    assert parts[2] < 0 < parts[4]


def test_output_scores_are_shares_and_the_same_again():
    sae = planted_sae(layer=2)
    scores = discovery.output_scores(reader(), sae, range(24), norm=20.0)
    assert len(scores) == 24
    assert all(0 <= score <= 1 for score in scores)
    assert scores == discovery.output_scores(reader(), sae, range(24), norm=20.0)
    assert discovery.output_scores(reader(), sae, [], norm=20.0) == []


def test_a_feature_written_strongly_raises_what_its_row_promises():
    sae = planted_sae(layer=2)
    strong = discovery.output_scores(reader(), sae, range(24), norm=200.0)
    weak = discovery.output_scores(reader(), sae, range(24), norm=0.01)
    assert sum(strong) > sum(weak)


def test_features_of_a_low_output_score_are_kept_only_where_there_are_too_few_others():
    found = [Found(feature=f, separation=1, rise=1, output=s) for f, s in enumerate(
        [0.0, 0.2, 0.005, 0.05, 0.02]
    )]  # fmt: skip
    assert [f.feature for f in discovery.worth_steering(found, most=9)] == [1, 3, 4]
    assert [f.feature for f in discovery.worth_steering(found, most=2, least=1)] == [1, 3]
    assert [f.feature for f in discovery.worth_steering(found[:3], most=9, least=2)] == [1, 2]


def test_a_direction_made_of_planted_rows_is_found_again_and_what_no_row_has_is_left_out():
    sae = planted_sae()
    rows = sae.directions(torch.tensor([4, 9])).float()
    rows = rows / rows.norm(dim=-1, keepdim=True)
    wanted = 2.0 * rows[0] - 0.5 * rows[1]
    beside = torch.linalg.qr(sae.directions(torch.arange(24)).float().T, mode="complete").Q[:, -1]
    rise = torch.zeros(24)
    rise[4], rise[9] = 1.0, -1.0
    shares = discovery.pursued(
        sae, wanted + beside, rise, statistics(sae), count=8, densest=0.2
    )  # fmt: skip
    assert dict(shares) == pytest.approx({4: 2.0, 9: -0.5}, abs=0.05)
    assert discovery.summed(sae, shares) == pytest.approx(wanted, abs=0.05)
