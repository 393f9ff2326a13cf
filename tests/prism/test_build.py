from dataclasses import replace

import pytest
import tiny
import torch
from prism_rig import book, dense, planted_sae, statistics

from anima.errors import SteeringError
from anima.prism import build as building
from anima.prism.build import (
    CALIBRATION,
    TUNING,
    Candidate,
    build,
    chosen,
    contrast_score,
    recalibrated,
    repetition,
)
from anima.prism.calibration import TARGET, percentile
from anima.prism.contrast import Contrast, means
from anima.prism.mode import FeaturePush, check_fits, document, mode_of
from anima.runtime.modes import SHIPPED, build_shipped, open_workshop, shipped_contrast

CONTRAST = Contrast(
    like=tuple(f"zz{c}zz {c}z" for c in "abcdef"), unlike=tuple(f"12{c}21 {c}9" for c in "abcdef")
)


@pytest.fixture(scope="module")
def workshop():
    return open_workshop(tiny.loaded(engine="fast"), book())


def made(workshop, **options):
    return build(workshop, CONTRAST, name="odd", description="An odd one.", **options)


@pytest.fixture(scope="module")
def built(workshop):
    return made(workshop, suppress=True)


def test_a_built_mode_fits_the_model_it_was_built_on_and_survives_its_file(workshop, built):
    check_fits(built.mode, workshop.info, workshop.sae)
    assert mode_of(document(built.mode), "here") == built.mode
    assert built.mode.calibration.prompts == len(CALIBRATION)


def test_building_twice_gives_the_same_mode(workshop, built):
    assert made(workshop, suppress=True).mode == built.mode


def test_what_is_written_beside_a_mode_is_what_it_costs(workshop, built):
    base = workshop.prompts(CALIBRATION)
    for candidate in built.candidates:
        mode = candidate.mode
        said = workshop.said(base, workshop.state(mode.pushes()), building.TOKENS)
        assert percentile(said) == pytest.approx(mode.calibration.kl_p95, rel=0.05)


def test_directions_and_features_are_compared_and_the_rest_follow_by_worth(built):
    names = {candidate.name for candidate in built.candidates}
    assert {
        "difference of means",
        "denoised difference",
        "features of the difference, clamp",
        "features by output score, clamp",
    } <= names
    assert any(name.endswith("decoder rows") for name in names)
    worth = [sum(each.worth) for each in built.candidates[1:]]
    assert worth == sorted(worth, reverse=True)


def test_a_text_is_scored_by_where_it_lies_between_the_sides(workshop):
    score = contrast_score(workshop, CONTRAST)
    assert sum(score(CONTRAST.like)) / len(CONTRAST.like) == pytest.approx(1, abs=1e-3)
    assert sum(score(CONTRAST.unlike)) / len(CONTRAST.unlike) == pytest.approx(0, abs=1e-3)
    assert score(["", CONTRAST.like[0], " "]) == [0.0, *score(CONTRAST.like[:1]), 0.0]


def candidate(workshop, name, *worth):
    mode = building.blank(workshop, "odd", "")
    return Candidate(mode=mode, name=name, score=0.0, repetition=0.0, worth=worth)


def test_a_later_candidate_is_kept_only_where_it_is_clearly_better(workshop):
    first = candidate(workshop, "first", 0.5, 0.5, 0.5, 0.5)
    lucky = candidate(workshop, "lucky", 0.9, 0.4, 0.8, 0.3)
    better = candidate(workshop, "better", 0.7, 0.8, 0.7, 0.6)
    assert chosen([first, lucky]) is first
    assert chosen([first, lucky, better]) is better
    assert chosen([better, first, lucky]) is better


def test_what_is_held_down_is_held_where_neutral_text_has_it(workshop, built):
    (cap,) = [push for push in built.mode.vectors if push.operation == "cap"]
    base = workshop.prompts(CALIBRATION)
    texts = workshop.texts(workshop.said(base, None, building.TOKENS))
    spoken = means(workshop.residuals([text for text in texts if text.strip()]))
    level = float((spoken @ torch.tensor(cap.values)).mean()) / workshop.norm
    assert cap.strength == pytest.approx(level, rel=1e-3)


def test_suppressing_ablates_features_of_the_other_side_and_those_alone(built):
    ablated = [push for push in built.mode.features if push.operation == "ablate"]
    assert ablated
    assert all(push.strength == 1 for push in ablated)
    assert [push.operation for push in built.mode.vectors][-1] == "cap"


def test_without_an_sae_the_difference_of_means_is_the_mode():
    found = made(open_workshop(tiny.loaded(engine="fast"), None, layer=2))
    assert [each.name for each in found.candidates] == ["difference of means"]
    assert (found.mode.layer, found.mode.sae, len(found.mode.vectors)) == (2, "", 1)


def test_a_mode_calibrated_again_from_any_strength_costs_the_same(workshop, built):
    again = recalibrated(workshop, built.mode)
    weak = replace(
        built.mode,
        features=tuple(_third(push) for push in built.mode.features),
        vectors=tuple(_third(push) for push in built.mode.vectors),
    )
    from_weak = recalibrated(workshop, weak)
    cost = again.calibration.kl_p95
    assert from_weak.calibration.kl_p95 == pytest.approx(cost, rel=0.3)
    held = [push for push in from_weak.vectors if push.operation == "cap"]
    assert held == [push for push in built.mode.vectors if push.operation == "cap"]


def _third(push):
    held = push.operation in ("ablate", "cap")
    return push if held else replace(push, strength=push.strength / 3)


def test_a_mode_that_only_takes_away_has_no_strength_to_calibrate(workshop):
    like = building.blank(workshop, "odd", "")
    only = replace(like, features=(FeaturePush(feature=1, operation="ablate", strength=1.0),))
    with pytest.raises(SteeringError, match="only takes away"):
        recalibrated(workshop, only)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_texts_build_each_of_their_modes_on_any_model(workshop, name):
    mode = build_shipped(workshop, name).mode
    assert mode.name == name
    check_fits(mode, workshop.info, workshop.sae)


@pytest.mark.slow
def test_a_mode_is_built_on_a_model_of_the_shape_of_llama_3_8b(monkeypatch):
    monkeypatch.setattr(building, "CALIBRATION", CALIBRATION[:2])
    monkeypatch.setattr(building, "TUNING", TUNING[:2])
    monkeypatch.setattr(building, "TOKENS", 4)
    monkeypatch.setattr(building, "JUDGED_TOKENS", 4)
    wide = replace(tiny.loaded(), trunk=_llama_8b())
    sae = planted_sae(width=4096, features=64, layer=1, threshold=0.01)
    shelved = replace(book(), sae=sae, norm=60.0, scales=statistics(sae))
    workshop = open_workshop(wide, shelved)
    shipped = shipped_contrast("system")
    few = Contrast(like=shipped.like[:4], unlike=shipped.unlike[:4])
    mode = build(workshop, few, name="system", description="", suppress=True).mode
    check_fits(mode, workshop.info, sae)
    held = [push for push in (*mode.features, *mode.vectors) if push.operation in building.TAKING]
    pushed = [push for push in (*mode.features, *mode.vectors) if push not in held]
    assert {push.operation for push in held} == {"ablate", "cap"}
    assert pushed
    assert 0.005 < sum(push.strength**2 for push in pushed) ** 0.5 < 0.5
    assert mode.calibration.kl_p95 == pytest.approx(TARGET, rel=0.25)
    said = workshop.said(
        workshop.prompts(building.CALIBRATION), workshop.state(mode.pushes()), building.TOKENS
    )
    assert percentile(said) == pytest.approx(mode.calibration.kl_p95, rel=0.05)


def _llama_8b():
    from transformers import LlamaConfig, LlamaForCausalLM

    from anima.trunk.reference import ATTENTION, ReferenceTrunk

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=4096, intermediate_size=1024, num_hidden_layers=2, num_attention_heads=32,
        num_key_value_heads=8, vocab_size=len(tiny.SPECIALS) + 256, rope_theta=500_000.0,
        max_position_embeddings=8192, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        attn_implementation=ATTENTION,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        # As sure of its tokens as a trained one, so that a nat can be had.
        model.lm_head.weight *= 8
    return ReferenceTrunk(model, name="llama-3-8b", fingerprint="shape")


def test_what_modes_are_made_with_is_not_what_they_are_measured_with():
    texts = {text for name in SHIPPED for side in ("like", "unlike")
             for text in getattr(shipped_contrast(name), side)}  # fmt: skip
    assert not set(CALIBRATION) & set(TUNING)
    assert not texts & {*CALIBRATION, *TUNING}


def test_repetition_counts_three_words_in_a_row_that_came_before():
    assert repetition("a b c d e") == 0
    assert repetition("a b c a b c a b c") == pytest.approx(1 - 3 / 7)
    assert repetition("") == repetition("one") == 0


def test_a_layer_other_than_the_saes_is_refused():
    with pytest.raises(SteeringError, match="not the one of planted"):
        open_workshop(tiny.loaded(), book(), layer=0)
    with pytest.raises(SteeringError, match="Layer 9 does not exist"):
        open_workshop(tiny.loaded(), None, layer=9)


def test_a_dense_mode_is_recalibrated_too(workshop):
    assert recalibrated(workshop, dense()).calibration.kl_p95 > 0
