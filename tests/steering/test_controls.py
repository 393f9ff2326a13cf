import pytest
import tiny
import torch
from steering_rig import WIDTH, push, state, stream

from anima.steering.controls import placebo, shuffled, zombie
from anima.steering.delta import delta, pushing


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_without_a_state_and_under_a_zombie_the_logits_are_bit_identical(engine):
    trunk = tiny.EXECUTIONS[engine]()
    ids = torch.tensor([[5, 6, 7, 8]])
    bare = trunk.forward(ids, trunk.cache()).logits
    made = state(push("clamp", 0.3))
    dead = trunk.forward(ids, trunk.cache(), taps={1: (pushing(zombie(made)),)}).logits
    alive = trunk.forward(ids, trunk.cache(), taps={1: (pushing(made),)}).logits
    assert torch.equal(bare, dead)
    assert not torch.equal(bare, alive)


def test_a_placebo_is_as_long_as_what_it_stands_for_on_every_token_and_points_elsewhere():
    made = state(push("clamp", 0.1), push("clamp", 0.05, 4))
    real = delta(stream(), made).delta
    fake = delta(stream(), placebo(made, torch.Generator().manual_seed(1))).delta
    torch.testing.assert_close(fake.norm(dim=-1), real.norm(dim=-1))
    cosine = torch.nn.functional.cosine_similarity(fake, real, dim=-1).abs()
    assert float(cosine.max()) < 0.6


def test_shuffled_keeps_operations_and_strengths_on_other_features():
    pushes = [push("clamp", 0.1, 0), push("ablate", 1.0, 1)]
    moved = shuffled(pushes, range(10, 20), WIDTH, torch.Generator().manual_seed(0))
    assert [(p.operation, p.strength) for p in moved] == [("clamp", 0.1), ("ablate", 1.0)]
    assert all(10 <= p.feature < 20 for p in moved)
    assert moved[0].feature != moved[1].feature
