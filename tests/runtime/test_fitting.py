import os

import planted
import pytest
import tiny
import torch

import anima
from anima.errors import SteeringError
from anima.home import find_home

SETTINGS = {"temperature": 0, "max_tokens": 4, "seed": 3, "device": "cpu"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny.save(tmp_path_factory.mktemp("model")))


def saved(tmp_path, **options):
    """A planted SAE that explains a stream wholly: as many orthonormal features as it is wide."""
    rows = planted.directions(32, 32)
    both = torch.cat([rows, -rows])
    sae = planted.planted("standard", features=32, **options)
    complete = type(sae)(
        name="whole", architecture="standard", model="tiny", layer=options.get("layer", 1),
        encoder=both.T, decoder=both, decoder_bias=torch.zeros(32),
        biases={"b_enc": torch.zeros(64)},
    )  # fmt: skip
    return str(planted.save(tmp_path / "sae", complete))


def test_an_saes_folder_is_opened_measured_and_steers(model, tmp_path):
    with anima.open(model=model, sae=saved(tmp_path), **SETTINGS) as runtime:
        assert runtime.notices == ()
        assert runtime.features.sae.name == "whole"
        assert runtime.features.norm > 0
        plain = runtime.logits("Hello")
        runtime.prism.steer(3, 0.2)
        assert not torch.equal(runtime.logits("Hello"), plain)


def test_what_an_sae_looked_like_is_kept_in_the_cache(model, tmp_path):
    folder = saved(tmp_path)
    for _ in range(2):
        with anima.open(model=model, sae=folder, **SETTINGS) as runtime:
            assert runtime.features is not None
    looks = list((find_home(None, os.environ).cache / "looks").glob("*.json"))
    assert len(looks) == 1


def test_an_sae_that_explains_nothing_is_read_only_and_the_chat_goes_on(model, tmp_path):
    folder = str(planted.save(tmp_path / "odd", planted.planted(features=2)))
    with anima.open(model=model, sae=folder, **SETTINGS) as runtime:
        assert "does not fit this model" in runtime.notices[0]
        with pytest.raises(SteeringError, match="does not fit this model"):
            runtime.prism.steer(1, 0.2)
        runtime.say("Hello")
        assert runtime.prism.why()


@pytest.mark.parametrize("width", [16, 64])
def test_an_sae_of_another_width_is_said_and_the_chat_goes_on(model, tmp_path, width):
    folder = str(planted.save(tmp_path / "odd", planted.planted(width=width)))
    with anima.open(model=model, sae=folder, **SETTINGS) as runtime:
        assert f"reads a stream of width {width}" in runtime.notices[0]
        assert runtime.features is None
        runtime.say("Hello")


def test_a_folder_without_an_sae_and_a_name_that_is_none_are_said(model, tmp_path):
    for name in (str(tmp_path), "no-such-sae"):
        with anima.open(model=model, sae=name, **SETTINGS) as runtime:
            assert runtime.notices[0].startswith("There are no features")
            runtime.say("Hello")


def test_weights_that_are_not_finite_are_said(model, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = planted.save(tmp_path / "nan", planted.planted(features=8))
    weights = load_file(folder / "sae_weights.safetensors")
    weights["W_enc"][0, 0] = torch.nan
    save_file(weights, folder / "sae_weights.safetensors")
    with anima.open(model=model, sae=str(folder), **SETTINGS) as runtime:
        assert "not finite" in runtime.notices[0]
