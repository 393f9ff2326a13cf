"""How lines and questions speak: any text has a manner, and function words decide it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.memory.ranking.manner import asked_of_oneself, manner, time_asked


@given(st.text(), st.booleans())
def test_any_text_has_a_manner_and_a_time(text, by_user):
    manner(text, by_user=by_user)
    assert time_asked(text) in ("now", "event", "before")


@pytest.mark.parametrize(
    ("text", "asks", "own", "past"),
    [
        ("I live in Rome.", False, True, False),
        ("Do you like Rome? Is it warm?", True, False, False),
        ("Do you like Rome? I do.", False, True, False),
        ("Tom lives in Rome.", False, False, False),
        ("As a child my favourite colour was red.", False, True, True),
        ("It was moved, my flight is on Monday now.", False, True, False),
        ("?!", False, False, False),
        ("", False, False, False),
    ],
)
def test_the_manner_of_what_the_user_says(text, asks, own, past):
    found = manner(text, by_user=True)
    assert (found.asks, found.own, found.past) == (asks, own, past)


def test_what_others_say_is_of_the_user_where_it_says_you() -> None:
    assert manner("You live in Rome.", by_user=False).own
    assert not manner("I live in Rome.", by_user=False).own


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("Where do I live?", "now"),
        ("How old am I?", "now"),
        ("Is there anything to know before you plan a menu?", "now"),
        ("When did my grandmother die?", "event"),
        ("Where did I live before?", "before"),
        ("What was my previous job?", "before"),
        ("What was my old number?", "before"),
        ("When was the appointment at first?", "before"),
        ("What did I use before that?", "before"),
        ("Where did Ann go before the party?", "event"),
    ],
)
def test_the_time_that_a_question_is_about(text, time):
    assert time_asked(text) == time


@pytest.mark.parametrize(("text", "own"), [("Is it mine?", True), ("Is it in Miami?", False)])
def test_a_question_about_oneself_says_so(text, own):
    assert asked_of_oneself(text) is own
