from dataclasses import replace

import pytest
import torch
from steering_rig import NORM, WIDTH, generator, planted_sae, push, state, stream

from anima.steering.controls import opposed, placebo, zombie
from anima.steering.delta import delta
from anima.steering.preparing import ready
from anima.steering.push import OPERATIONS, Push


def both_ways(monkeypatch, h, make, mask=None):
    """What is written with and without compiled code."""
    from anima.trunk.fast_edits import edited

    found = []
    for edit in (None, edited):
        monkeypatch.setattr("anima.steering.state.compiled_edit", lambda edit=edit: edit)
        made = make()
        assert (made.compiled is None) == (edit is None)
        found.append(delta(h, made, mask))
    return found


@pytest.mark.parametrize("architecture", ["standard", "jumprelu"])
@pytest.mark.parametrize("budget", [0.01, 100])
@pytest.mark.parametrize(
    "change", [lambda s: s, zombie, opposed, lambda s: placebo(s, generator())]
)
def test_compiled_code_writes_what_the_tensor_operations_write(
    monkeypatch, architecture, budget, change
):
    direction = torch.randn(WIDTH, generator=generator())
    pushes = [push(operation, 0.1, feature) for feature, operation in enumerate(OPERATIONS)]
    pushes += [replace(each, feature=None, direction=direction) for each in pushes]
    sae, mask = planted_sae(architecture), torch.tensor([1.0, 0, 1, 1, 0])[:, None]
    for h, only in ((stream(), None), (stream(1, rows=1), None), (stream(), mask)):
        plain, compiled = both_ways(
            monkeypatch, h, lambda: change(state(*pushes, sae=sae, budget=budget)), only
        )
        for name in ("delta", "actual", "change", "scale"):
            torch.testing.assert_close(
                getattr(compiled, name), getattr(plain, name), rtol=1e-4, atol=1e-5
            )


def test_directions_alone_are_compiled_too(monkeypatch):
    direction = torch.randn(WIDTH, generator=generator())
    pushes = [Push(operation=each, strength=0.2, direction=direction) for each in ("add", "cap")]
    plain, compiled = both_ways(
        monkeypatch, stream(), lambda: ready(pushes, norm=NORM, width=WIDTH)
    )
    torch.testing.assert_close(compiled.delta, plain.delta, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["gated", "topk"])
def test_an_sae_that_does_not_read_linearly_is_left_to_tensor_operations(architecture):
    import anima.trunk.fast_edits  # noqa: F401

    assert state(push("clamp", 0.1), sae=planted_sae(architecture)).compiled is None


def test_the_compiled_delta_of_a_row_does_not_depend_on_its_neighbours(monkeypatch):
    from anima.trunk.fast_edits import edited

    monkeypatch.setattr("anima.steering.state.compiled_edit", lambda: edited)
    made, h = state(push("clamp", 0.2), push("add", 0.1, 5)), stream()
    whole = delta(h, made).delta
    for place in range(h.shape[1]):
        alone = delta(h[:, place : place + 1].contiguous(), made).delta
        torch.testing.assert_close(whole[:, place : place + 1], alone, rtol=0, atol=0)
