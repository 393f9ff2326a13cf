"""Questions that name a slot, and those that do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.memory.claims.asked import slot_asked


@pytest.mark.parametrize(
    ("question", "slot"),
    [
        ("What's my name?", ("user", "name")),
        ("whats my name", ("user", "name")),
        ("And do you remember what's my name again?", ("user", "name")),
        ("Who am I?", ("user", "name")),
        ("What is my job now?", ("user", "job")),
        ("What do I do for a living?", ("user", "job")),
        ("Where do I live?", ("user", "city")),
        ("Who do I work for?", ("user", "employer")),
        ("How old am I?", ("user", "age")),
        ("What is my sister called?", ("user's sister", "name")),
        ("What\u2019s the name of my sister?", ("user's sister", "name")),
        ("Where does my sister live?", ("user's sister", "city")),
        ("What is my dog called?", ("user's dog", "name")),
        ("What is my favourite colour?", ("user", "favorite color")),
    ],
)
def test_a_question_names_the_slot_that_it_asks_for(question: str, slot: tuple[str, str]) -> None:
    assert slot_asked(question) == slot


@pytest.mark.parametrize(
    "question",
    [
        "",
        "What is the capital of France?",
        "What's your name?",
        "Is my name Tomas?",
        "My name is Tomas.",
        "Do you like my name?",
        "Where does Nora live?",
        "x" * 5000,
    ],
)
def test_any_other_text_names_none(question: str) -> None:
    assert slot_asked(question) is None


@given(st.text(max_size=200))
def test_no_text_is_too_odd(text: str) -> None:
    found = slot_asked(text)
    assert found is None or all(isinstance(each, str) for each in found)
