from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anima.trunk.repeating import BREAK, LONG, RECENT, Repeating
from anima.trunk.sampler import penalise

IDS = st.lists(st.integers(0, 5), max_size=40)


def logits(size: int = 100) -> Any:
    return torch.linspace(-4.0, 6.0, size)


def plain_runs(said: list[int], picked: list[int]) -> dict[int, int]:
    """The definition, spelled out: every place where an ending of the reply was said before."""
    heard, found = [*said, BREAK, *picked], {}
    for length in range(3, len(picked) + 1):
        ending = picked[-length:]
        for at in range(length, len(heard)):
            if heard[at - length : at] == ending and heard[at] != BREAK:
                found[heard[at]] = length
    return found


@given(said=st.lists(st.one_of(st.integers(0, 3), st.just(BREAK)), max_size=30), picked=IDS)
def test_runs_are_those_of_the_definition(said: list[int], picked: list[int]) -> None:
    assert Repeating(said=said).runs(picked) == plain_runs(said, picked)


def test_a_sentence_that_was_said_costs_more_with_every_token_of_it() -> None:
    said = [10, 11, 12, 13, 14, 15, 16, 17]
    guard = Repeating(said=said, spared=said)
    costs = [
        float(logits()[said[n]] - guard(logits(), said[:n])[said[n]]) for n in range(2, len(said))
    ]
    assert costs == pytest.approx([0.0, 0.8, 1.4, 2.45, 4.2875, 7.503125], rel=1e-5)


def test_no_run_goes_from_one_reply_into_the_next() -> None:
    assert Repeating(said=[1, 2, BREAK, 3, 4]).runs([1, 2, 3]) == {}
    assert Repeating(said=[1, 2, 3, BREAK, 4]).runs([1, 2, 3]) == {}


def test_its_own_last_words_are_less_likely_and_those_of_the_question_are_not() -> None:
    guard = Repeating(said=[90, 5, 7], spared=[90])
    bent = guard(logits(), [80])
    changed = (bent != logits()).nonzero().flatten().tolist()
    assert changed == [5, 7, 80]
    assert bent[80] == pytest.approx(float(logits()[80]) / 1.1)
    assert bent[5] == pytest.approx(float(logits()[5]) * 1.1)


def test_a_word_of_what_it_answers_stays_as_likely_when_the_reply_has_it() -> None:
    assert Repeating(spared=[80])(logits(), [80])[80] == logits()[80]
    assert Repeating()(logits(), [80])[80] < logits()[80]


def test_what_was_said_long_ago_is_as_likely_as_ever() -> None:
    said = [3, *range(20, 20 + RECENT)]
    assert Repeating(said=said)(logits(), [])[3] == logits()[3]
    assert Repeating(said=said[:RECENT])(logits(), [])[3] < logits()[3]


def cost(picked: list[int], token: int, **given: Any) -> float:
    """What a reply so far costs a token that it has not said lately, and no run would say."""
    before = logits()
    return float(before[token] - Repeating(spared=range(100), **given)(before, picked)[token])


def test_in_a_long_reply_a_form_that_is_filled_again_and_again_costs_more_each_time() -> None:
    prose = [*range(2, 100)] * 2
    costs = [
        cost([*prose, *(n for word in range(60, 60 + times) for n in (0, 1, word)), 0], 1)
        for times in (1, 2, 3, 4, 8)
    ]
    assert costs == pytest.approx([0.0, 0.1, 0.9, 1.7, 4.9], rel=1e-4)


def test_what_a_long_reply_said_often_costs_more_as_it_grows_and_is_forgiven_at_last() -> None:
    prose = [*range(2, 90)]
    early, late = [*prose, 1] * 2, [*prose, 1] * 3
    assert cost([*early, 0], 1) == pytest.approx(0.1 * (len(early) + 1 - LONG) / 64, rel=1e-4)
    assert cost([*late, 0], 1) == pytest.approx(0.1 * 2, rel=1e-4)
    assert cost([*late, *range(2, 90), *range(2, 90), *range(2, 83), 0], 1) == 0.0


@given(st.lists(st.integers(0, 5), max_size=LONG))
def test_up_to_so_many_tokens_a_form_costs_nothing(picked: list[int]) -> None:
    guard = Repeating(spared=range(100))
    if not guard.runs(picked):
        assert torch.equal(guard(logits(), picked), logits())


@given(said=IDS, picked=st.lists(st.integers(0, 5), min_size=LONG + 1, max_size=LONG + 90))
def test_without_the_part_for_long_replies_a_long_reply_costs_what_runs_and_recency_do(
    said: list[int], picked: list[int]
) -> None:
    guard = Repeating(said=said, litanies=0)
    wanted = logits()
    for token, length in guard.runs(picked).items():
        wanted[token] -= 0.8 * 1.75 ** (length - 3)
    wanted = penalise(wanted, torch.tensor(sorted({*picked[-RECENT:]})), 1.1)
    assert torch.equal(guard(logits(), picked), wanted)


def test_the_part_for_long_replies_acts_without_the_rest_and_by_its_own_strength() -> None:
    picked = [*range(2, 100)] * 2
    alone = {"strength": 0, "said": [3, 4]}
    costs = [cost([*picked, 0, 1, 0], 1, **alone, litanies=each) for each in (0, 1, 2)]
    both = [cost([*picked, *[0, 1] * 4, 0], 1, **alone, litanies=each) for each in (0, 1, 2)]
    assert costs == [0.0, 0.0, 0.0]
    assert both == pytest.approx([0.0, 1.7, 3.4], rel=1e-4)


@given(said=IDS, picked=IDS)
def test_at_strength_nought_nothing_changes(said: list[int], picked: list[int]) -> None:
    given_logits = logits()
    guard = Repeating(said=said, strength=0, litanies=0)
    assert guard(given_logits, [*picked, *[1] * LONG]) is given_logits


@given(said=IDS, picked=IDS, strength=st.floats(0.1, 4))
def test_the_logits_that_were_given_stay_and_no_other_id_changes(
    said: list[int], picked: list[int], strength: float
) -> None:
    given_logits = logits()
    bent = Repeating(said=said, strength=strength)(given_logits, picked)
    assert torch.equal(given_logits, logits())
    assert torch.equal(bent[6:], given_logits[6:])
    assert torch.isfinite(bent).all()
