import numpy
import pytest

from anima.config import Settings
from anima.errors import UsageError
from anima.evaluation import switching
from anima.evaluation.harness import Request, run
from anima.evaluation.material import MODES, LabelledTurn, conversations, unseen_turns


def generator():
    return numpy.random.default_rng(0)


def oracle(turns):
    modes = {turn.text: turn.mode for turn in turns}
    return lambda text: {mode: float(modes[text] == mode) for mode in MODES}


def test_an_oracle_is_always_right_and_one_class_seldom():
    turns = unseen_turns()
    right = switching.judge(oracle(turns), turns, generator())
    assert (right.macro_f1.value, right.macro_f1.low, right.on_traps.value) == (1, 1, 1)
    assert right.macro_f1.n == len(turns)
    assert right.on_traps.n == sum(turn.trap for turn in turns)
    dull = switching.judge(switching.one_class, turns, generator())
    assert dull.macro_f1.value < 0.25
    assert dull.confusion["dream"] == {"anima": 0, "system": 52, "dream": 0}


def test_the_known_substring_list_falls_into_the_traps_and_whole_words_fare_better():
    turns = unseen_turns()
    substrings = switching.judge(switching.seed_keywords, turns, generator())
    careful = switching.judge(switching.keywords, turns, generator())
    assert substrings.macro_f1.high < careful.macro_f1.low
    assert careful.on_traps.value < careful.macro_f1.value < 0.95
    assert switching.most_likely([switching.seed_keywords("I see.")]) == ["dream"]
    assert switching.most_likely([switching.seed_keywords("my catalog of woes")]) == ["system"]
    assert switching.most_likely([switching.keywords("my catalog of woes")]) == ["anima"]


def test_switches_are_counted_per_100_turns():
    talk = [LabelledTurn(text=mode, mode=mode) for mode in ("dream", "dream", "system", "dream")]
    found = switching.steadiness(oracle(talk), talk)
    assert (found.switches, found.called_for, found.right, found.turns) == (50, 50, 1, 4)


def test_a_rule_that_never_moves_never_switches():
    talk = conversations()["wandering"]
    found = switching.steadiness(
        switching.keywords, talk, follow=lambda chances: ["system"] * len(chances)
    )
    assert found.switches == 0
    assert found.right == pytest.approx(sum(turn.mode == "system" for turn in talk) / 100)


def test_the_steady_talk_calls_for_few_switches_and_the_wandering_one_for_many():
    talks = conversations()
    calls = {
        name: switching.steadiness(switching.keywords, talk).called_for
        for name, talk in talks.items()
    }
    assert calls["steady"] == 3
    assert calls["wandering"] > 20


@pytest.mark.parametrize("size", ["smoke", "full"])
def test_the_study_shows_a_choice_beside_keywords_and_the_majority(size):
    request = Request(home=None, settings=Settings(), size=size, seed=0, judge="words", say=print)
    turns = [*unseen_turns(), *(turn for talk in conversations().values() for turn in talk)]
    study = switching.study(request, oracle(turns))
    outcome = run(study, seed=0, clock=lambda: 0.0, say=lambda line: None)
    table = {(line.group, line.arm): line.figures for line in outcome.lines}
    assert table["turns", "auto"]["macro-F1"].value == 1
    assert table["turns", "one class"]["macro-F1"].value < 0.3
    assert table["turns", "keywords"]["macro-F1 on traps"].value < 1
    assert ("turns", "auto with hysteresis") not in table
    steady, jumpy = table["talks", "auto with hysteresis"], table["talks", "auto"]
    assert steady["switches per 100"].value <= jumpy["switches per 100"].value


def test_hysteresis_needs_more_than_one_unsure_turn_to_move():
    sure = {"dream": 0.9, "system": 0.1}
    unsure = {"dream": 0.4, "system": 0.6}
    assert switching.with_hysteresis([sure, unsure, sure]) == ["dream"] * 3
    assert switching.with_hysteresis([sure, *[{"dream": 0.01, "system": 0.99}] * 5])[-1] == "system"
    assert switching.most_likely([sure, unsure, sure]) == ["dream", "system", "dream"]


def test_a_talk_begins_without_a_mode_as_a_chat_does():
    torn = {"dream": 0.5, "system": 0.5}
    assert switching.with_hysteresis([torn, {"dream": 0.9, "system": 0.1}]) == ["off", "dream"]


def test_cells_of_another_classifier_are_not_gone_on_with(tmp_path):
    request = Request(
        home=None, settings=Settings(), size="smoke", seed=0, judge="words", say=print
    )
    journal, turns = tmp_path / "cells.jsonl", unseen_turns()
    talks = [turn for talk in conversations().values() for turn in talk]

    def measured(digest):
        study = switching.study(request, oracle([*turns, *talks]), digest=digest)
        return run(study, seed=0, journal=journal, clock=lambda: 0.0, say=lambda line: None)

    assert measured("one").complete
    with pytest.raises(UsageError, match="holds cells of another"):
        measured("another")
