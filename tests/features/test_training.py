from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planted import directions

from anima.errors import UsageError
from anima.features.activations import Rows
from anima.features.choosing import calibrated
from anima.features.fidelity import fidelity
from anima.features.sae import load_folder
from anima.features.training import Recipe, Told, train

RECIPE = Recipe(
    features=24, k=3, samples=64 * 60, batch=64, dead_after=640, rate=5e-3, auxiliary_rows=0
)


def rows(n=1500, width=16, seed=0):
    """Sparse sums of planted directions around a mean, in float16 as a harvest stores them."""
    generator = torch.Generator().manual_seed(seed)
    strengths = torch.rand(n, 12, generator=generator) * 4
    active = torch.rand(n, 12, generator=generator) < 0.2
    return Rows.of([(10 + (strengths * active) @ directions(12, width)).half().numpy()])


def weights(trained):
    return {name: value.clone() for name, value in trained.sae.state_dict().items()}


def test_training_is_the_same_under_the_same_seed_and_another_under_another(tmp_path):
    first, second, third = (
        weights(train(rows(), replace(RECIPE, seed=seed), tmp_path / str(n), model="tiny", layer=1))
        for n, seed in enumerate((1, 1, 2))
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["W_dec"], third["W_dec"])


@pytest.mark.parametrize("stopped", [7, 20, 33])
def test_taken_up_from_a_checkpoint_it_ends_as_in_one_go(stopped, tmp_path):
    whole = weights(train(rows(), RECIPE, tmp_path / "whole", model="tiny", layer=1))
    steps = []

    def spent():  # asked twice a step: for the rate and for the end
        steps.append(1)
        return float(len(steps) == 2 * stopped + 2)

    cut = train(rows(), RECIPE, tmp_path / "cut", model="tiny", layer=1, keep_every=7, spent=spent)
    assert cut.steps == stopped + 1
    told: list[Told] = []
    resumed = train(
        rows(), RECIPE, tmp_path / "cut", model="tiny", layer=1, keep_every=7, report=told.append
    )
    assert all(torch.equal(whole[name], value) for name, value in weights(resumed).items())
    assert told[-1].step == RECIPE.steps


def test_a_checkpoint_of_another_recipe_is_not_taken_up(tmp_path):
    train(rows(), RECIPE, tmp_path, model="tiny", layer=1, keep_every=10)
    with pytest.raises(UsageError, match="checkpoint of another training"):
        train(rows(), replace(RECIPE, k=4), tmp_path, model="tiny", layer=1)


def test_what_was_planted_is_learned_and_saved_at_the_streams_own_scale(tmp_path):
    recipe = replace(RECIPE, samples=64 * 600)
    trained = train(rows(6000), recipe, tmp_path, model="tiny", layer=1)
    assert trained.steps == 600
    trained.sae.save_inference_model(tmp_path / "sae")
    held = rows(1000, seed=9).h.float()
    sae = calibrated(load_folder(tmp_path / "sae"), held, 3.0)
    found = fidelity(sae, [held])
    assert sae.architecture == "jumprelu"
    assert found.l0 == pytest.approx(3.0, abs=0.05)
    assert found.fvu < 0.15
    assert torch.allclose(sae.decoder.norm(dim=-1), torch.ones(24), atol=1e-4)


def test_it_ends_when_the_time_is_spent(tmp_path):
    assert train(rows(), RECIPE, tmp_path, model="tiny", layer=1, spent=lambda: 1.0).steps == 1


@given(st.integers(1, 10_000))
def test_the_rate_rises_stays_and_falls_to_almost_nothing(steps):
    recipe = Recipe(samples=steps * 2048)
    rates = [recipe.rate_at(step) for step in range(0, steps, max(1, steps // 50))]
    assert all(0 < rate <= recipe.rate for rate in rates)
    assert recipe.rate_at(steps - 1) <= recipe.rate / max(1.0, recipe.decay * steps) + 1e-12
    assert (
        recipe.rate_at(steps // 2, 0.999)
        <= recipe.rate * max(1 / steps, 0.001) / recipe.decay + 1e-12
    )


@given(st.integers(1, 300), st.integers(1, 40))
def test_an_epoch_shows_every_row_at_most_once(n, size):
    made = Rows.of([torch.arange(1, n + 1).half()[:, None].numpy()])
    size = min(size, n)
    seen = torch.cat([made.batch(step, size=size, seed=3) for step in range(n // size)])[:, 0]
    assert len(seen.unique()) == len(seen) == n // size * size
    assert torch.equal(made.batch(0, size=size, seed=3), seen[:size, None])


def test_rows_are_scaled_to_a_mean_norm_of_the_root_of_the_width():
    made = rows()
    assert made.h.float().mul(made.scale).norm(dim=-1).mean().item() == pytest.approx(4.0, rel=1e-3)
    assert torch.allclose(made.mean, made.h.float().mean(0), atol=1e-4)


def test_impossible_recipes_and_empty_harvests_are_refused():
    with pytest.raises(UsageError, match="k 9000"):
        Recipe(k=9000)
    with pytest.raises(UsageError, match="do not fill one batch"):
        Recipe(samples=10)
    with pytest.raises(UsageError, match="no activations"):
        Rows.of([])
