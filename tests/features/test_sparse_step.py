import pytest
import torch

from anima.features.lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, TrainStepInput
from anima.features.sparse_step import SparseBatchTopK, strongest


def both(subtract):
    torch.manual_seed(3)
    config = BatchTopKTrainingSAEConfig(
        d_in=16, d_sae=64, k=4.5, decoder_init_norm=0.3, apply_b_dec_to_input=subtract
    )
    dense = BatchTopKTrainingSAE(config)
    for weight in dense.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    sparse = SparseBatchTopK(config)
    sparse.load_state_dict(dense.state_dict())
    return dense, sparse


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("dead", [0, 5, 40])
def test_the_sparse_step_has_the_loss_and_the_gradients_of_the_dense_one(subtract, dead):
    dense, sparse = both(subtract)
    x = torch.randn(24, 16)
    mask = torch.zeros(64, dtype=torch.bool)
    mask[:dead] = True
    asked = TrainStepInput(
        sae_in=x, coefficients={}, dead_neuron_mask=mask, n_training_steps=0, is_logging_step=False
    )
    expected, got = dense.training_forward_pass(asked), sparse.training_forward_pass(asked)
    expected.loss.backward()
    got.loss.backward()
    assert torch.allclose(got.loss, expected.loss, rtol=1e-5)
    assert torch.equal(got.feature_acts.to_dense() > 0, expected.feature_acts > 0)
    assert torch.allclose(sparse.topk_threshold, dense.topk_threshold, rtol=1e-5)
    for ours, theirs in zip(sparse.parameters(), dense.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=2e-5), (
            (ours.grad - theirs.grad).abs().max()
        )


@pytest.mark.parametrize("guess", [-1.0, 0.0, 0.5, 100.0])
def test_the_strongest_entries_do_not_depend_on_the_guess(guess):
    z = torch.randn(50, 40, generator=torch.Generator().manual_seed(1))
    active, values = strongest(z, 123, guess)
    assert torch.equal(values.sort(descending=True).values, z.flatten().topk(123).values)
    assert torch.equal(z[active.rows, active.columns], values)


def test_fewer_positive_entries_than_asked_for_are_all_taken():
    z = -torch.ones(4, 5)
    z[1, 2] = 3.0
    active, values = strongest(z, 10, 0.0)
    assert (active.rows.tolist(), active.columns.tolist(), values.tolist()) == ([1], [2], [3.0])
