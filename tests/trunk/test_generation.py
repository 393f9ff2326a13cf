import pytest
import torch

from anima.errors import ModelError
from anima.trunk.generation import decode, generate_batch
from anima.trunk.sampler import pick
from anima.trunk.settings import Sampling

PROMPTS = [[5, 80, 81, 82], [40], [90, 91, 92, 93, 94, 95, 96], [7, 8]]
GREEDY = Sampling(temperature=0)


def alone(trunk, prompt, limit, sampling=GREEDY, seed=0, end_ids=(), taps=dict):
    cache = trunk.cache()
    logits = trunk.forward(torch.tensor([prompt]), cache, taps=taps()).logits[0, -1]
    generator = torch.Generator().manual_seed(seed)

    def choose(row, picked):
        return pick(row, sampling, generator, torch.tensor([*prompt, *picked]))

    picks = decode(trunk, cache, logits, choose=choose, end_ids=end_ids, limit=limit, taps=taps)
    return [chosen.id for chosen in picks], cache


def test_the_last_token_picked_is_not_in_the_cache(make):
    picked, cache = alone(make(), PROMPTS[0], 6)
    assert cache.length == len(PROMPTS[0]) + len(picked) - 1


def test_decoding_ends_with_the_end_token(make):
    trunk = make()
    free, _ = alone(trunk, PROMPTS[0], 10)
    ended, _ = alone(trunk, PROMPTS[0], 10, end_ids={free[3]})
    assert ended == free[: free.index(free[3]) + 1]


def test_taps_swapped_while_decoding_act_from_the_next_token_on(make):
    trunk = make()
    direction = torch.randn(32, generator=torch.Generator().manual_seed(1))
    force = []

    def taps():
        return {1: tuple(force)}

    cache = trunk.cache()
    logits = trunk.forward(torch.tensor([PROMPTS[0]]), cache).logits[0, -1]
    generator = torch.Generator()
    picked = []
    for chosen in decode(
        trunk, cache, logits, choose=lambda row, ids: pick(row, GREEDY, generator),
        end_ids=(), limit=12, taps=taps,
    ):  # fmt: skip
        picked.append(chosen.id)
        if len(picked) == 5:
            force.append(lambda h: 20 * direction)
    plain, _ = alone(trunk, PROMPTS[0], 12)
    assert picked[:5] == plain[:5]
    assert picked != plain


@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(temperature=1.3, top_p=0.9, repetition_penalty=1.2)]
)
def test_rows_of_a_ragged_batch_say_what_each_says_alone(make, sampling):
    trunk = make()
    batch = generate_batch(trunk, PROMPTS, limit=15, sampling=sampling, seeds=[3, 4, 5, 6])
    for prompt, seed, reply in zip(PROMPTS, [3, 4, 5, 6], batch, strict=True):
        assert reply == alone(trunk, prompt, 15, sampling, seed)[0]


def test_each_row_of_a_batch_ends_at_its_own_end_token(make):
    trunk = make()
    free = generate_batch(trunk, PROMPTS, limit=12)
    end = free[0][4]
    for reply, whole in zip(
        generate_batch(trunk, PROMPTS, limit=12, end_ids={end}), free, strict=True
    ):
        assert reply == (whole[: whole.index(end)] if end in whole else whole)


def test_taps_of_a_batch_can_steer_one_row_alone(make):
    trunk = make()
    push = torch.zeros(4, 1, 32)
    push[2] = 20 * torch.randn(32, generator=torch.Generator().manual_seed(1))
    steered = generate_batch(trunk, PROMPTS, limit=10, taps={1: (lambda h: push,)})
    plain = generate_batch(trunk, PROMPTS, limit=10)
    same = [a == b for a, b in zip(steered, plain, strict=True)]
    assert same == [True, True, False, True]


@pytest.mark.parametrize("prompts", [[], [[5], []]])
def test_a_batch_without_tokens_is_refused(make, prompts):
    with pytest.raises(ModelError, match="at least one"):
        generate_batch(make(), prompts, limit=3)
