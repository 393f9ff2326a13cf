"""What the reader of answers is taught: questions for every attribute, and no line that is wrongly wrong."""

import random
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tools import build_answering
from tools.build_answering import asked_in, taught, worded
from tools.build_replacing import Ground
from tools.replacing_lives import material

TOOLS = Path(build_answering.__file__).parent
FORMS = """
[[attribute]]
name = "city"
values = "Leeds; Oslo; Cork"
facts = "I live in {v}"
updates = "moved from {o} to {v}"
not = "my aunt likes {v}"

[[attribute]]
name = "flat"
values = "a studio; a loft"
facts = "home is {v}"
updates = "swapped {o} for {v}"
not = "lofts are dear"

[[attribute]]
name = "dog"
values = "a beagle; a pug"
facts = "I have {v}"
updates = "gave {o} away, got {v}"
not = "pugs snore"

[[attribute]]
name = "laptop"
judged = true
values = "a ThinkPad; a MacBook"
facts = "I type on {v}"
updates = "{o} died, got {v}"
not = "laptops are dear"

[[anything]]
not = '''
{n} told me about {v}
{n} dreams of {v}
{v} would be a fine thing
what is it with {v} these days'''
"""
ASKED = """
alike = [["city", "flat"]]

[questions]
city = "where do I live?"
flat = '''
what is my home like?
is it a flat?'''
dog = "which dog have I got?"
laptop = "what do I type on?"
"""


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    forms = tmp_path / "forms.toml"
    forms.write_text(FORMS, "utf-8")
    source = material(forms)
    texts = [*(each.text for each in source.sentences), "we had soup", "it rains", "good night"]
    keys = np.random.default_rng(0).normal(size=(len(texts), 4)).astype(np.float32)
    return Ground(
        source=source,
        chat=["we had soup"],
        judged_chat=["it rains"],
        talks=[["good night"]],
        keys=dict(zip(texts, keys, strict=True)),
        rarity={},
    )


def pairs(ground: Ground, tmp_path: Path) -> list[tuple[str, str, bool]]:
    path = tmp_path / "asked.toml"
    path.write_text(ASKED, "utf-8")
    found = taught(
        ground, asked_in(path, ground.source.names), lambda texts: np.ones((len(texts), 4), "f4")
    )
    texts = list(found.places)
    return [
        (texts[one], texts[other], answers)
        for (one, other), answers in zip(found.pairs, found.answers, strict=True)
    ]


def test_every_attribute_that_is_told_is_asked_for_in_three_ways_or_more() -> None:
    told = tomllib.loads((TOOLS / "replacing.toml").read_text("utf-8"))["attribute"]
    asked = asked_in(TOOLS / "answering.toml", [each["name"] for each in told])
    assert min(map(len, asked.questions)) >= 3
    assert all(at in alike for at, alike in enumerate(asked.alike))


def test_what_is_judged_is_neither_asked_nor_told(ground: Ground, tmp_path: Path) -> None:
    every = pairs(ground, tmp_path)
    judged = {e.text for e in ground.source.sentences if e.attribute in ground.source.judged}
    assert not judged.intersection(line for _, line, _ in every)
    assert not any("type on" in question for question, _, _ in every)
    assert "it rains" not in {line for _, line, _ in every}


def test_a_line_of_an_alike_attribute_is_no_wrong_answer(ground: Ground, tmp_path: Path) -> None:
    homes = {e.text for e in ground.source.sentences if e.attribute == 1 and e.claims}
    wrong = {line for question, line, right in pairs(ground, tmp_path)
             if "live" in question.casefold() and not right}  # fmt: skip
    assert wrong
    assert not homes & wrong


def test_the_right_answers_are_the_claims_of_what_is_asked(ground: Ground, tmp_path: Path) -> None:
    dogs = {e.text for e in ground.source.sentences if e.attribute == 2 and e.claims}
    right = {line for question, line, right in pairs(ground, tmp_path)
             if "dog" in question.casefold() and right}  # fmt: skip
    assert right
    assert right <= dogs


def test_the_same_is_taught_each_time(ground: Ground, tmp_path: Path) -> None:
    assert pairs(ground, tmp_path) == pairs(ground, tmp_path)


def test_an_attribute_without_questions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "asked.toml"
    path.write_text(ASKED, "utf-8")
    with pytest.raises(KeyError, match="moped"):
        asked_in(path, ["city", "flat", "moped"])


def test_a_question_keeps_its_words_however_it_is_put() -> None:
    chance = random.Random(0)
    made = {worded("where do I live?", chance) for _ in range(200)}
    assert len(made) > 10
    assert all("here do I live" in each for each in made)
