import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anima.memory.into.nearest import directions
from anima.memory.into.overlay import CAP, RANK, overlay_of, truncated

D = 16
seeds = st.integers(0, 1000)
sizes = st.integers(1, 24)


def rows(seed, n):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, D, generator=generator), torch.randn(n, D, generator=generator)


@settings(deadline=None, max_examples=40)
@given(seeds, sizes, st.floats(0.01, 4))
def test_the_norm_is_what_was_asked_for_and_never_above_one_per_cent_of_the_identity(
    seed, n, share
):
    states, changes = rows(seed, n)
    overlay = overlay_of(states, changes, torch.zeros(D), share=share)
    assert overlay is not None
    whole = overlay.left @ overlay.right.T
    limit = CAP * D**0.5
    assert float(whole.norm()) == pytest.approx(min(share, 1.0) * limit, rel=1e-4)
    assert overlay.norm == pytest.approx(float(whole.norm()), rel=1e-4)
    assert overlay.left.shape[1] <= RANK


@settings(deadline=None, max_examples=40)
@given(seeds, sizes, st.integers(1, 12))
def test_the_truncation_is_the_best_of_its_rank(seed, n, rank):
    states, changes = rows(seed, n)
    keys = directions(states, torch.zeros(D)).double()
    left, right = truncated(changes.double(), keys, rank)
    full = changes.double().T @ keys
    u, s, v = torch.linalg.svd(full)
    best = u[:, :rank] @ s[:rank].diag() @ v[:rank]
    assert torch.allclose(left @ right.T, best, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(seeds, sizes)
def test_two_thin_products_are_the_whole_map_about_the_mean(seed, n):
    states, changes = rows(seed, n)
    mean = states.mean(0) + 1
    overlay = overlay_of(states, changes, mean, share=1.0)
    assert overlay is not None
    h = rows(seed + 1, 3)[0][None]
    whole = overlay.left @ overlay.right.T
    assert torch.allclose(overlay(h), (h - mean) @ whole.T, atol=1e-4)


def test_a_state_is_pushed_the_way_that_was_wanted_there():
    states, changes = torch.eye(D)[:3], torch.eye(D)[8:11]
    overlay = overlay_of(states, changes, torch.zeros(D), share=1.0)
    assert overlay is not None
    delta = overlay(states[1][None, None])[0, 0]
    assert int(delta.argmax()) == 9
    assert float(delta.norm()) > 0


def test_nothing_to_change_or_a_broken_number_makes_no_overlay():
    states, changes = rows(0, 4)
    mean = torch.zeros(D)
    assert overlay_of(states, changes, mean, share=0.0) is None
    assert overlay_of(states, torch.zeros(4, D), mean, share=1.0) is None
    assert overlay_of(states[:0], changes[:0], mean, share=1.0) is None
    assert overlay_of(states, changes / 0, mean, share=1.0) is None
    assert overlay_of(states * float("nan"), changes, mean, share=1.0) is None
