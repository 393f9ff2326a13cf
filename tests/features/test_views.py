import numpy as np
import pytest
import tiny
import torch
from label_rig import TALKS, source
from planted import planted

from anima.features import views
from anima.features.labelling import vocabulary
from anima.features.passages import joined
from anima.features.statistics import FeatureStatistics, measure


@pytest.fixture
def loaded():
    return tiny.loaded()


def test_a_feature_s_view_is_its_activations_and_one_peak_of_each_conversation(loaded, tmp_path):
    sae = planted(threshold=0.1)
    made = source(loaded, tmp_path)
    texts = vocabulary(loaded.tokenizer, loaded.trunk.info.vocabulary)
    view = views.view_feature(sae, made, 2, texts, count=2)
    whole = torch.cat([sae.encode(passage.h)[:, 2] for passage in made(0)])
    assert view.tokens == len(whole)
    assert np.allclose(np.sort(view.activations), np.sort(whole[whole > 0].numpy()), atol=1e-5)
    peaks = [one.activations[one.peak] for one in (*view.strongest, *view.usual)]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] == pytest.approx(float(whole.max()))
    assert len(peaks) <= len(TALKS)
    for one in view.strongest:
        assert max(one.activations) == one.activations[one.peak]
        assert len(one.tokens) == len(one.activations)


def test_a_feature_that_is_never_active_has_nothing_to_show(loaded, tmp_path):
    texts = vocabulary(loaded.tokenizer, loaded.trunk.info.vocabulary)
    view = views.view_feature(planted(threshold=1e9), source(loaded, tmp_path), 0, texts)
    assert len(view.activations) == 0
    assert not view.strongest
    assert not view.usual


def test_rows_are_shares_of_each_feature_s_maximum_in_the_order_of_their_peaks(loaded, tmp_path):
    sae = planted(threshold=0.1)
    h = torch.cat([passage.h for passage in source(loaded, tmp_path)(0)])
    marks = joined([passage.marks for passage in source(loaded, tmp_path)(0)])
    statistics = measure(sae, [h])
    words = [str(token) for token in marks.ids]
    view = views.view_tokens(sae, h, words, ["user"] * len(h), statistics, count=4, densest=1.0)
    assert view.shares.shape == (4, len(h))
    assert float(view.shares.max()) == pytest.approx(1.0)
    places = view.shares.argmax(axis=1).tolist()
    assert places == sorted(places)
    a = sae.encode(h)[:, view.features[0]]
    expected = (a / statistics.maximum[view.features[0]]).clamp(max=1)
    assert np.allclose(view.shares[0], expected.numpy(), atol=1e-6)


def test_features_that_are_on_everywhere_are_left_out():
    sae = planted(threshold=0.0, features=2)
    h = sae.decoder.repeat(3, 1)
    statistics = FeatureStatistics(
        density=torch.tensor([0.9, 0.01]), typical=torch.ones(2), maximum=torch.ones(2), norm=1.0,
        tokens=10,
    )  # fmt: skip
    view = views.view_tokens(sae, h, ["x"] * 6, ["user"] * 6, statistics)
    assert view.features == (1,)


def test_the_map_puts_rows_that_point_alike_together_and_is_the_same_again():
    sae = planted(features=32, width=32)
    generator = torch.Generator().manual_seed(0)
    rows = torch.cat([sae.decoder[:1], sae.decoder[1:2]]).repeat_interleave(20, 0)
    rows = rows + 0.05 * torch.randn(rows.shape, generator=generator)
    biases = {"b_enc": torch.zeros(40), "threshold": torch.zeros(40)}
    two = planted(encoder=rows.T, decoder=rows, biases=biases, decoder_bias=torch.zeros(32))
    places = views.view_map(two, range(40))
    assert places.shape == (40, 2)
    apart = np.linalg.norm(places[:20].mean(0) - places[20:].mean(0))
    spread = max(np.linalg.norm(half - half.mean(0), axis=1).mean() for half in np.split(places, 2))
    assert apart > 2 * spread
    assert np.array_equal(views.view_map(two, range(40)), places)
