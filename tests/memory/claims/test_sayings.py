"""Many ways of saying one thing of somebody make one claim, and what is like them makes none."""

from datetime import UTC, datetime

import pytest

from anima.memory.claims import kinds, sayings, values
from anima.memory.claims.claims import Claim
from anima.memory.claims.slots import extract, rest


def claims(text: str) -> dict[tuple[str, str], Claim]:
    return {claim.slot: claim for claim in extract(text) if claim.holds}


def test_every_saying_is_a_pattern_with_a_known_kind_and_a_word_to_find_it_by() -> None:
    book = sayings._book()
    found = {at for places in book.by_word.values() for at in places}

    assert found == set(range(len(book.sayings)))
    for saying in book.sayings:
        assert "v" in sayings._pattern(saying.text).groupindex or saying.about
        assert (saying.kind or "free") in kinds._KINDS


@pytest.mark.parametrize(
    ("slot", "value", "texts"),
    [
        (("user", "employer"), "acme", ["Acme hired me", "I have a job at Acme.", "My employer is Acme"]),
        (("user", "city"), "oslo", ["I'm based in Oslo", "we've settled in Oslo", "Oslo is where I live"]),
        (("user's brother", "job"), "pilot", ["my brother's a pilot", "my brother has become a pilot"]),
        (("user", "favorite color"), "teal", ["the colour I love most is teal", "I like teal best of all colours"]),
        (("user", "current book"), "dune", ["I'm reading Dune now", "I'm in the middle of Dune."]),
        (("user", "car"), "fiat panda", ["I have a Fiat Panda.", "my car's a Fiat Panda", "I drive a Fiat Panda"]),
        (("user", "wake-up time"), "7:10", ["my alarm goes off at 7:10", "I get up at 7:10"]),
        (("user", "thesis deadline day"), "3 may", ["my thesis is due on May 3", "I have to hand in my thesis on 3 May"]),
        (("user", "rent"), "900 euros", ["I pay 900 euros rent now", "rent went up to 900 euros"]),
        (("user's boss", "name"), "irene", ["I report to Irene", "I've got a new boss, Irene", "my manager is Irene"]),
        (("user", "gate code"), "4471", ["you need 4471 to open our gate", "the code of our gate is 4471"]),
        (("user", "phone model"), "pixel 7", ["my phone is a Pixel 7", "I use a Pixel 7", "I got a new phone, a Pixel 7"]),
        (("user's mother", "health"), "in hospital", ["my mum is in hospital", "My mother's in hospital now"]),
    ],
)  # fmt: skip
def test_what_is_said_in_other_words_is_the_same_claim(
    slot: tuple[str, str], value: str, texts: list[str]
) -> None:
    assert [claims(text)[slot].value for text in texts] == [value] * len(texts)


@pytest.mark.parametrize(
    "text",
    [
        "I live in a day and age of wonders",
        "I moved to a paid position",
        "I've only read the Chronicles of Narnia",
        "I have work for the next three hours",
        "My brother's wife knows a welder.",
        "I'm on Mac",
        "I might work for Acme",
    ],
)
def test_what_only_looks_like_a_saying_makes_no_claim(text: str) -> None:
    # A frame closes nothing by itself.
    assert not [slot for slot in claims(text) if not slot[1].startswith("~")]


def test_what_belongs_to_somebody_else_is_their_claim() -> None:
    assert set(claims("The code of Greta's gate is 4050.")) == {("greta", "gate code")}


def test_as_i_told_you_is_no_part_of_what_is_said() -> None:
    assert claims("As I told you, I'm on a vegan diet.")[("user", "diet")].value == "vegan"


def test_a_remark_beside_a_claim_counts_as_nothing_and_a_story_does_not() -> None:
    remark = "Long day today. I live in Oslo. What shall I cook tonight?"
    story = "I live in Oslo. Yesterday we sailed around the islands."

    assert rest(remark, extract(remark)) == 0
    assert rest(story, extract(story)) > 2


@pytest.mark.parametrize(
    ("value", "day"),
    [("in 2 weeks", "15 mar"), ("this fri", "6 mar"), ("tom", "2 mar"), ("3 may", "3 may")],
)
def test_a_day_that_is_so_far_ahead_is_a_date(value: str, day: str) -> None:
    assert values.on_date(value, datetime(2026, 3, 1, tzinfo=UTC)) == day
