"""Sentences make the claims that they state, and those that state nothing make none."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.memory.claims import values
from anima.memory.claims.slots import extract, rest


def told(text: str) -> set[tuple[str, str, str]]:
    return {(c.subject, c.attribute, c.value) for c in extract(text) if c.holds}


def ended(text: str) -> set[tuple[str, str, str]]:
    return {(c.subject, c.attribute, c.value) for c in extract(text) if not c.holds}


@pytest.mark.parametrize(
    ("text", "slot", "value"),
    [
        ("My name is Ana.", ("user", "name"), "ana"),
        ("Hi, I'm Dana and I live in Lyon.", ("user", "name"), "dana"),
        ("Call me Sam from now on.", ("user", "name"), "sam"),
        ("I'm 34 years old.", ("user", "age"), "34"),
        ("I just turned thirty-five!", ("user", "age"), "35"),
        ("My birthday is on May 3rd.", ("user", "birthday"), "3 may"),
        ("I was born on the 3rd of May.", ("user", "birthday"), "3 may"),
        ("I live in Paris with my wife.", ("user", "city"), "paris"),
        ("We've moved to Lisbon two weeks ago", ("user", "city"), "lisbon"),
        ("My home is in Oslo.", ("user", "city"), "oslo"),
        ("I live in Utah", ("user", "state"), "utah"),
        ("I'm originally from Canada.", ("user", "origin country"), "canada"),
        ("I work as a nurse at St. Mary's.", ("user", "job"), "nurse"),
        ("I work as a nurse at St. Mary's Hospital.", ("user", "employer"), "st mary's hospital"),
        ("I'm a software engineer.", ("user", "job"), "software engineer"),
        ("My favourite colour is teal.", ("user", "favorite color"), "teal"),
        ("Teal is my favorite color", ("user", "favorite color"), "teal"),
        ("My dog's name is Rex.", ("user's dog", "name"), "rex"),
        ("We adopted a cat called Misty.", ("user's cat", "name"), "misty"),
        ("My sister Ana lives in Nice.", ("user's sister", "city"), "nice"),
        ("My mum moved to Kiel.", ("user's mother", "city"), "kiel"),
        ("My wife is called Maria.", ("user's partner", "name"), "maria"),
        ("I'm allergic to peanuts.", ("user", "allergy"), "peanuts"),
        ("I have a shellfish allergy.", ("user", "allergy"), "shellfish"),
        ("I'm vegetarian.", ("user", "diet"), "vegetarian"),
        ("My new number is +1 555 987 6543.", ("user", "phone"), "15559876543"),
        ("You can reach me at 555-0202 now.", ("user", "phone"), "5550202"),
        ("my email is ana@x.org", ("user", "email"), "ana@x.org"),
        ("I drive a Honda Civic.", ("user", "car"), "honda civic"),
        ("I speak French.", ("user", "language"), "french"),
        ("I study at Stanford University.", ("user", "school"), "stanford university"),
        ("I switched my major to biology.", ("user", "major"), "biology"),
        ("The dentist appointment is on Tuesday", ("user", "dentist appointment day"), "tue"),
        ("My dentist appointment is at 3 p.m.", ("user", "dentist appointment time"), "15:00"),
        ("The standup has been moved to 9:30.", ("user", "stand-up time"), "9:30"),
        ("They pushed the meeting to Thursday.", ("user", "meeting day"), "thu"),
        ("The wi-fi password is hunter2.", ("user", "wifi password"), "hunter2"),
        ("The password for the guest wifi is guest123", ("user", "guest wifi password"), "guest123"),
        ("New wifi password: moonlight.", ("user", "wifi password"), "moonlight"),
        ("Remember that my locker number is 42.", ("user", "locker number"), "42"),
        ("The meeting room is B12.", ("user", "meeting room"), "b12"),
        ("I keep my passport in the blue drawer.", ("user", "passport place"), "blue drawer"),
        ("I use Firefox as my browser.", ("user", "browser"), "firefox"),
        ("Ana lives in Lyon.", ("ana", "city"), "lyon"),
        ("Ana's birthday is June 4.", ("ana", "birthday"), "4 jun"),
        ("I wake up at 6.", ("user", "wake-up time"), "6:00"),
        ("I have two kids.", ("user", "number of children"), "2"),
        ("I take 75 mg of sertraline now.", ("user", "~ i take # mg of sertraline"), "75"),
    ],
)  # fmt: skip
def test_a_fact_is_a_claim_in_its_slot(text: str, slot: tuple[str, str], value: str) -> None:
    assert (*slot, value) in told(text)


@pytest.mark.parametrize(
    "text",
    [
        "Is my name Bob?",
        "Do you know where I live in Rome",
        "Did you know my name is Ana?",
        "If I lived in Rome I would be happy.",
        "If my name is Bob then yours is Eve.",
        "I might move to Rome.",
        "I want to live in Rome.",
        "I wish my name was Rex.",
        "Imagine I live in Rome.",
        "Maybe my locker number is 42.",
        "he said my name is Bob",
        "My friend told me he lives in Rome.",
        "My mom thinks I work at Google.",
        'She sang "my name is Slim Shady, I live in Detroit"',
        '"My name is Inigo Montoya, you killed my father"',
        "I think my dog's name is cute.",
        "My life is a mess.",
        "My day is going great",
        "my job is so boring",
        "the best part is the ending",
        "My question is how",
        "I'm going to Spain this summer!",
        "I'm 100% sure",
        "I'm 5 minutes away",
        "I have four. Two brothers and two sisters.",
        "my favorite was the last one",
        "The password was sunflower.",
        "I live in fear",
        "I live in a house",
        "I work at home",
        "Call me crazy",
        "call me later",
        "In my dream I live in Rome.",
        "When I lived in Rome I was young.",
        "You live in Rome.",
        "thanks",
        "",
        "...",
    ],
)
def test_what_states_nothing_makes_no_claim(text: str) -> None:
    # A frame closes nothing by itself, see below.
    assert {claim for claim in told(text) if not claim[1].startswith("~")} == set()


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("I don't live in Paris anymore.", ("user", "city", "paris")),
        ("I no longer work at Google.", ("user", "employer", "google")),
        ("I used to live in Rome.", ("user", "city", "rome")),
        ("I'm not vegan anymore", ("user", "diet", "vegan")),
        ("I'm not allergic to peanuts.", ("user", "allergy", "peanuts")),
        ("My locker number is no longer 42.", ("user", "locker number", "42")),
        ("I quit my job at Google.", ("user", "employer", "google")),
        ("Eva and I broke up.", ("user's partner", "name", "eva")),
    ],
)
def test_what_ended_is_a_claim_that_no_longer_holds(text: str, claim: tuple[str, str, str]) -> None:
    assert claim in ended(text)
    assert claim not in told(text)


def test_what_is_denied_of_something_else_ends_nothing() -> None:
    text = "I like listening to people, which isn't the best for this conversation, but yeah"

    assert ended(text) == set()


def test_no_longer_but_says_both_what_ended_and_what_holds() -> None:
    text = "My locker number is no longer 42 but 43."

    assert ended(text) == {("user", "locker number", "42")}
    assert told(text) == {("user", "locker number", "43")}


def test_what_replaces_something_names_it() -> None:
    assert [(c.attribute, c.value, c.old) for c in extract("I switched from tea to coffee.")] == [
        ("", "coffee", "tea")
    ]
    assert [(c.value, c.old) for c in extract("It's 43 now, not 42")] == [("43", "42")]
    assert ("", "golf") in [(c.value, c.old) for c in extract("I sold my Golf.")]


def test_she_is_the_one_that_was_just_spoken_of() -> None:
    text = "My sister lives in Nice. She works as a teacher."

    assert ("user's sister", "job", "teacher") in told(text)


def test_it_is_the_thing_that_was_just_spoken_of() -> None:
    text = "My phone number changed, it's 555-0202 now."
    (claim,) = extract(text)

    assert (claim.slot, claim.value, claim.known) == (("user", "phone"), "5550202", True)


def test_one_that_may_have_others_beside_it_is_marked() -> None:
    many = {c.attribute: c.many for c in extract("I like jazz. I have a dog named Rex.")}

    assert many == {"likes": True, "name": True}
    assert not extract("My dog's name is Rex.")[0].many


def test_a_sentence_that_fits_no_pattern_is_told_by_its_frame() -> None:
    (claim,) = extract("I sit next to Tom")
    (other,) = extract("I sit next to Ben now.")

    assert claim.slot == other.slot
    assert (claim.value, other.value) == ("tom", "ben")
    assert (claim.many, claim.corrects, other.corrects) == (True, False, True)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("My name is Ana.", 0, 0),
        ("By the way, I moved to Lisbon last month", 0, 1),
        ("My name is Ana and yesterday we climbed a mountain in heavy rain", 4, 12),
    ],
)
def test_the_rest_counts_what_no_claim_says(text: str, least: int, most: int) -> None:
    assert least <= rest(text, extract(text)) <= most


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error_and_alike_twice(text: str) -> None:
    claims = extract(text)

    assert claims == extract(text)
    assert rest(text, claims) >= 0


@given(
    st.lists(
        st.sampled_from(re.findall(r"\S+", "my name is not I live in it's now 42 , ? Ana's but"))
    )
)
def test_any_order_of_the_words_of_patterns_is_read_without_an_error(words: list[str]) -> None:
    for claim in extract(" ".join(words)):
        assert claim.attribute or claim.old
        assert claim.value or not claim.holds or claim.old


def test_a_huge_text_is_read_as_far_as_something_said_goes() -> None:
    assert extract("My name is Ana. " + "and so on " * 500_000) == extract("My name is Ana.")


@pytest.mark.parametrize(
    ("one", "other", "agreed"),
    [
        ("toyota", "blue toyota corolla", True),
        ("provo", "provo utah", True),
        ("3 may", "3 may 1990", True),
        ("3:00", "15:00", True),
        ("3:00am", "15:00", False),
        ("42", "43", False),
        ("b12", "b12", True),
        ("4", "4 5", False),
        ("ana", "bea", False),
    ],
)
def test_values_agree_where_one_only_says_more(one: str, other: str, agreed: bool) -> None:
    assert values.agree(one, other) is agreed
    assert values.agree(other, one) is agreed


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("new cell phone number", "phone"),
        ("favourite colour", "favorite color"),
        ("code of my locker", "locker code"),
        ("password for the guest wi-fi", "guest wifi password"),
        ("bday", "birthday"),
        ("occupation", "job"),
        ("project's name", "project"),
    ],
)
def test_names_of_one_attribute_have_one_form(name: str, attribute: str) -> None:
    assert values.attribute_of(name) == attribute
    assert values.attribute_of(values.attribute_of(name)) == attribute
