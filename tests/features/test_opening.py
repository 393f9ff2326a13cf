import pytest
import torch
from planted import planted, save

from anima.errors import FeatureError
from anima.features import shelf
from anima.features.opening import open_sae
from anima.features.statistics import FeatureStatistics


def test_a_folder_is_opened_with_its_statistics(tmp_path):
    save(tmp_path, planted())
    assert open_sae(str(tmp_path), cache=tmp_path).statistics is None
    kept = FeatureStatistics(
        density=torch.rand(8), typical=torch.rand(8), maximum=torch.rand(8), norm=17.25, tokens=99
    )
    kept.save(tmp_path)
    opened = open_sae(str(tmp_path), cache=tmp_path)
    assert opened.statistics is not None
    assert torch.equal(opened.statistics.density, kept.density)
    assert (opened.statistics.norm, opened.statistics.tokens) == (17.25, 99)
    assert opened.sae.typical_norm == 17.25


def test_a_release_is_fetched_once_and_then_read_from_the_cache(tmp_path):
    asked = []

    def fetch(release, number, folder):
        asked.append((release, number))
        save(folder, planted("gated", name="from the hub"))

    for _ in range(2):
        opened = open_sae("a-release:blocks.3/x", cache=tmp_path, fetch=fetch)
        assert opened.sae.name == "from the hub"
    assert asked == [("a-release", "blocks.3/x")]


def test_a_fetch_that_fails_leaves_nothing_behind(tmp_path):
    def fetch(release, number, folder):
        save(folder, planted())
        (folder / "cfg.json").write_text("{}")

    with pytest.raises(FeatureError, match="names no layer"):
        open_sae("r:i", cache=tmp_path, fetch=fetch)
    assert list((tmp_path / "saes" / "r").iterdir()) == []


@pytest.mark.parametrize("name", ["", "no-such-thing", ":x", "x:", "../smollm2"])
def test_a_name_that_means_nothing_says_what_would(name, tmp_path):
    with pytest.raises(FeatureError, match="RELEASE:ID"):
        open_sae(name, cache=tmp_path)


def test_a_release_that_sae_lens_does_not_know_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(FeatureError, match="could not fetch l0 of the release no-such-release"):
        open_sae("no-such-release:l0", cache=tmp_path)


def test_the_shelf_knows_only_models_that_have_an_sae(tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "shipped_models", lambda: tmp_path)
    assert shelf.shipped("tiny") is None
    save(tmp_path / "tiny" / "sae", planted())
    assert shelf.shipped("tiny") == tmp_path / "tiny" / "sae"
    assert shelf.shipped("../tiny") is None
    assert shelf.shipped("") is None
