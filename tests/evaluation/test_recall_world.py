"""The seeded lives: always the same, true to themselves, and no wording in both halves."""

import random
import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.evaluation.recall_life import attributes, forms
from anima.evaluation.recall_wording import MONTHS, WEEKDAYS, form_of, on_day, wrapped
from anima.evaluation.recall_world import Measure, life, lives
from anima.evaluation.texts import read

HALVES = ("tune", "report")
EVERY = {half: lives(half, seed=3, count=12) for half in HALVES}
BOTH = pytest.mark.parametrize("half", HALVES)


def every_life():
    return [one for half in HALVES for one in EVERY[half]]


@BOTH
def test_a_seed_always_draws_the_same_lives_and_another_one_others(half):
    assert lives(half, seed=3, count=12) == EVERY[half]
    assert life(half, seed=4, number=0) != EVERY[half][0]
    assert len({one.lines for one in EVERY[half]}) == 12


@BOTH
def test_a_life_holds_something_of_everything(half):
    lines = [line for one in EVERY[half] for line in one.lines]
    assert {line.kind for line in lines} == {
        "fact", "update", "again", "before", "other", "trap", "chat", "reply",
    }  # fmt: skip
    queries = [query for one in EVERY[half] for query in one.queries]
    assert {query.asks for query in queries} == {"now", "as of", "past", "by date", "nothing"}
    for trait in ("paraphrased", "many", "feeling", "dated", "late", "lure", "stale"):
        assert {bool(getattr(query, trait)) for query in queries} == {False, True}, trait
    assert {line.role for line in lines} == {"user", "assistant"}
    assert {line.valence is None for line in lines} == {False, True}


@BOTH
def test_no_form_is_left_unfilled(half):
    texts = [line.text for one in EVERY[half] for line in one.lines]
    texts += [query.text for one in EVERY[half] for query in one.queries]
    assert not [text for text in texts if re.search(r"[{}]|\bon on\b|\bNone\b", text)]


def test_gold_lines_are_there_and_say_the_value_that_holds():
    for one in every_life():
        by_id = {line.id: line for line in one.lines}
        assert list(by_id) == list(range(len(one.lines)))
        for query in one.queries:
            assert bool(query.gold) == (query.asks != "nothing")
            for claim in query.gold:
                assert claim
                assert {by_id[line].slot for line in claim} == {query.slot}
                assert len({by_id[line].value for line in claim}) == 1
                assert all(by_id[line].claims for line in claim)


def test_no_question_about_one_value_is_answered_by_lines_of_two():
    for one in every_life():
        for query in one.queries:
            everything = [line for claim in query.gold for line in claim]
            assert len(everything) == len(set(everything))
            assert not query.stale.intersection(everything)
            if query.asks != "nothing" and not query.many:
                assert len(query.gold) == 1
            by_id = {line.id: line for line in one.lines}
            right = {by_id[line].value for line in everything}
            assert not right.intersection(by_id[line].value for line in query.stale)


def test_what_holds_now_was_said_last_by_the_clock_and_late_lines_arrive_later():
    for one in every_life():
        by_id = {line.id: line for line in one.lines}
        for query in one.queries:
            if query.asks != "now" or not query.stale:
                continue
            newest = max(by_id[line].when for line in query.gold[0])
            assert newest > max(by_id[line].when for line in query.stale)
            if query.late:
                assert max(query.stale) > min(query.gold[0])


def test_an_earlier_time_lies_between_what_held_and_what_replaced_it():
    for one in every_life():
        by_id = {line.id: line for line in one.lines}
        for query in one.queries:
            if query.asks != "as of":
                assert query.at is None
                continue
            since = min(by_id[line].when for line in query.gold[0])
            assert since < query.at
            said_by_then = {line for line in query.stale if by_id[line].when <= query.at}
            assert all(by_id[line].when < since for line in said_by_then)


def test_nobody_told_what_an_unanswerable_question_asks():
    for one in every_life():
        told = {line.slot for line in one.lines if line.claims}
        untold = {query.slot for query in one.queries if query.asks == "nothing"}
        assert untold
        assert not told & untold


def test_the_halves_share_no_wording_and_each_covers_every_attribute():
    tune, report = ({_plain(each) for each in _wordings(forms(half))} for half in HALVES)
    # Counted, so that a failure does not show what is held out.
    assert len(tune & report) == 0
    names = {each.name for each in attributes()}
    assert len(names) >= 25
    for half in HALVES:
        own = forms(half)
        assert names <= set(own)
        for name in names:
            assert len(own[name]["facts"]) >= 3
            assert own[name]["literal"]
            assert own[name]["paraphrased"]
            assert all("{v}" in form or "{a}" in form for form in own[name]["facts"])
    for attribute in attributes():
        changed = [bool(forms(half)[attribute.name]["updates"]) for half in HALVES]
        assert not attribute.changes or all(changed)


def test_the_halves_share_few_values():
    pools = read("recall")["pools"]
    shared = {name: set(pools["tune"][name]) & set(pools["report"][name]) for name in pools["tune"]}
    assert {name for name, both in shared.items() if both} <= {"status"}


def _wordings(part):
    if isinstance(part, str):
        yield part
    else:
        for each in part.values() if isinstance(part, dict) else part:
            yield from _wordings(each)


def _plain(form):
    return " ".join(re.findall(r"[a-z{}']+", form.lower()))


def test_a_little_measure_makes_a_little_life():
    small = life("tune", seed=0, number=0, measure=Measure(told=3, untold=1, chat=2))
    assert len({line.slot for line in small.lines if line.claims}) == 3
    assert len(small.lines) < len(EVERY["tune"][0].lines) / 3


@given(st.dates(date(2024, 1, 1), date(2026, 1, 1)), st.integers(-70, 40), st.integers(0, 9))
def test_a_relative_day_means_just_that_day(said, ahead, seed):
    day = said + timedelta(days=ahead)
    text = on_day(day, said, random.Random(seed))
    if text in WORDS:
        assert WORDS[text] == ahead
    elif text.startswith(("this ", "last ")):
        assert abs(ahead) < 7
        assert text.endswith(WEEKDAYS[day.weekday()])
    elif "week" in text:
        assert ahead % 7 == 0
        assert text.endswith("ago") == (ahead < 0)
    elif text.startswith("in "):
        assert text == f"in {MONTHS[day.month - 1]}"
    else:
        assert str(day.day) in text
        assert MONTHS[day.month - 1] in text


WORDS = {
    "today": 0, "tomorrow": 1, "the day after tomorrow": 2, "yesterday": -1,
}  # fmt: skip


def test_a_sentence_within_other_talk_is_ended():
    assert wrapped("Hello. {s} Bye.", "it rains") == "Hello. it rains. Bye."
    assert wrapped("Hello. {s} Bye.", "It rains!") == "Hello. It rains! Bye."
    assert wrapped("Hello. {s}", "it rains") == "Hello. it rains"


def test_the_form_of_a_text_is_the_longest_that_fits():
    choices = ["I like {v}", "I like {v} a lot", "I am {a}"]
    assert form_of(choices, "well, I like tea a lot") == "I like {v} a lot"
    assert form_of(choices, "I like tea") == "I like {v}"
    assert form_of(choices, "you like tea") == ""
