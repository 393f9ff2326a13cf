import math
from dataclasses import replace

import pytest
import tiny
from prism_rig import dense, mode, planted_sae

from anima.errors import SteeringError
from anima.prism.mode import (
    Calibration,
    FeaturePush,
    check_fits,
    document,
    mode_of,
    read_mode,
    toml,
    write_mode,
)

INFO = tiny.trunk().info


def full():
    both = mode(
        sampling={"temperature": 0.7}, strength=0.25,
        calibration=Calibration(kl_p95=1.02, kl_mean=0.3, prompts=8, tokens=256),
    )  # fmt: skip
    return replace(both, vectors=dense().vectors, description='Speaks "softly"\nand\x7f é')


def test_a_mode_reads_back_from_its_file_as_it_was_written(tmp_path):
    write_mode(tmp_path / "dream.toml", full())
    again = read_mode(tmp_path / "dream.toml")
    assert again == full()
    assert again.digest == full().digest


def test_a_mode_survives_json():
    assert mode_of(document(full()), "here") == full()


def test_a_modes_file_says_what_acts_in_words():
    text = toml(mode())
    assert 'operation = "clamp"' in text
    assert "strength = 0.3" in text
    assert "feature = 3" in text


def test_the_overall_strength_scales_what_adds_and_not_caps():
    made = mode(
        features=(
            FeaturePush(feature=1, operation="clamp", strength=0.1),
            FeaturePush(feature=2, operation="ablate", strength=0.8),
            FeaturePush(feature=3, operation="cap", strength=0.05),
        )
    )
    assert [push.strength for push in made.pushes(2)] == [pytest.approx(0.2), 1.0, 0.05]
    assert made.pushes(0) == ()


@pytest.mark.parametrize("strength", [-0.1, 4.1, math.nan, math.inf])
def test_an_overall_strength_out_of_range_is_refused(strength):
    with pytest.raises(SteeringError, match=r"strength .* out of range"):
        mode().pushes(strength)


@pytest.mark.parametrize(
    ("change", "by", "said"),
    [
        ("strength = 0.3", "strength = nan", "strength nan cannot be"),
        ("strength = 0.3", "strength = 7.0", "strength 7 cannot be"),
        ("strength = 0.3", 'strength = "0.3"', "strength is '0.3', which is no number"),
        ('operation = "clamp"', 'operation = "push"', "no operation 'push'; choose add"),
        ("feature = 3", 'feature = "three"', "feature 1: feature is 'three', which is no whole"),
        ("feature = 3", "", "feature 1 says no feature"),
        ("feature = 3", "feature = 3\nlable = 'sea'", "feature 1: there is nothing called 'lable'"),
        ("[[feature]]", "[feature]", r"two brackets on each side: \[\[feature\]\]"),
        ("layer = 1", "layer = 1.5", "layer is 1.5, which is no whole number"),
        ("layer = 1", "layer = true", "layer is true, which is no whole number"),
        ("schema = 1", "", "write `schema = 1` in its first line"),
        ("schema = 1", "schema = 9", "newer Anima: its schema is 9.* Update Anima"),
        ("schema = 1", 'schema = "1"', "schema '1' is no version .* write `schema = 1`"),
        ('name = "dream"', 'name = "../../etc"', "cannot name a mode"),
        ('model = "tiny"', "model = 3", "model is 3, which is no text"),
        ("norm = 6.0", "norm = -1.0", "norm -1 must be finite and above 0"),
        ("norm = 6.0", "norm = inf", "norm inf must be finite and above 0"),
        ("norm = 6.0", f"norm = {10**400}", "norm is too large"),
        ("norm = 6.0", f"norm = 1{'0' * 5000}", "not valid TOML"),
        ("norm = 6.0", f"norm = 0x1{'0' * 5000}", "norm is too large"),
        ("strength = 0.3", f"strength = -{10**400}", "feature 1: strength is too large"),
        ("norm = 6.0", f"norm = 6.0\nsampling.top_p = {10**400}", "sampling: top_p is too large"),
        ("norm = 6.0", "norm = 6.0\nsampling.top_k = inf", "top_k inf is out of range"),
        ("norm = 6.0", "", "says no norm"),
        ("norm = 6.0", "norm = 6.0\nnrom = 2.0", "nothing called 'nrom' here; there are schema"),
        ("norm = 6.0", "norm = 6.0\nsampling = 3", "sampling is 3 where a table should be"),
        ("norm = 6.0", "norm = 6.0\nsampling.temperature = -1", "temperature -1 is out of range"),
        ("norm = 6.0", "norm = 6.0\ncalibration.kl_p95 = 'x'", "kl_p95 is 'x', which is no number"),
        ("norm = 6.0", "norm = ", "not valid TOML"),
    ],
)
def test_a_damaged_mode_is_refused_with_its_path_and_what_is_wrong(tmp_path, change, by, said):
    path = tmp_path / "dream.toml"
    write_mode(path, mode(calibration=None))
    text = path.read_text(encoding="utf-8")
    assert change in text
    path.write_text(text.replace(change, by, 1), encoding="utf-8")
    with pytest.raises(SteeringError, match=rf"dream\.toml.*{said}"):
        read_mode(path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (3, "values is 3, which is no list of numbers"),
        ([1, "a"], "values holds 'a', which is no"),
        ([1, 10**400], "values is too large"),
    ],
)
def test_a_vector_of_no_numbers_is_refused(values, said):
    made = document(dense())
    made["vector"][0]["values"] = values
    with pytest.raises(SteeringError, match=f"here: vector 1: {said}"):
        mode_of(made, "here")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(SteeringError, match="There is no mode at"):
        read_mode(tmp_path / "none.toml")


def test_a_mode_with_a_vector_of_another_width_does_not_fit():
    with pytest.raises(SteeringError, match="is 8 wide, and tiny is 32"):
        check_fits(dense(width=8), INFO, None)


def test_a_mode_naming_a_feature_that_is_not_there_does_not_fit():
    with pytest.raises(SteeringError, match="feature 99 does not exist"):
        check_fits(mode(feature=99), INFO, planted_sae())


def test_a_mode_of_another_model_or_sae_does_not_fit():
    sae = planted_sae()
    with pytest.raises(SteeringError, match="other weights"):
        check_fits(mode(fingerprint="another"), INFO, sae)
    with pytest.raises(SteeringError, match="with other weights"):
        check_fits(mode(), INFO, planted_sae(seed=5))
    with pytest.raises(SteeringError, match="is not loaded"):
        check_fits(mode(), INFO, None)
    with pytest.raises(SteeringError, match="layers 0 to 2"):
        check_fits(dense(layer=7), INFO, None)
    with pytest.raises(SteeringError, match="reads layer 2"):
        check_fits(mode(), INFO, planted_sae(layer=2))


@pytest.mark.parametrize("name", ["off", "auto", "", "Two Words", "-x", "a/b", "x" * 40])
def test_a_name_that_cannot_be_is_refused(name):
    with pytest.raises(SteeringError, match="cannot name a mode"):
        mode(name)


def test_features_without_an_sae_are_refused():
    with pytest.raises(SteeringError, match="names no SAE"):
        mode(sae="")
