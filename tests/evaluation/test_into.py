import numpy
import pytest
import tiny

from anima.config import Settings
from anima.evaluation import into
from anima.evaluation.harness import OFF, PLACEBO, Request, run
from anima.home import find_home


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    request = Request(
        home=find_home(folder, {}), settings=Settings(), size="smoke", seed=0,
        judge="words", say=lambda message: None,
    )  # fmt: skip
    study = into.study(request, tiny.loaded(window=4096), limit=3)
    try:
        yield run(study, seed=0, clock=lambda: 0.0, say=request.say)
    finally:
        study.close()


def line(outcome, group, arm):
    (found,) = [each for each in outcome.lines if (each.group, each.arm) == (group, arm)]
    return found.figures


def test_every_arm_is_measured_on_every_fact(outcome):
    assert outcome.complete
    arms = {each.arm for each in outcome.lines if each.group == into.FACTS}
    assert arms == {
        OFF,
        into.IN_PROMPT,
        *into.WAYS,
        *(f"{w}, {PLACEBO}" for w in ("knn", "bias", "overlay")),
    }
    for arm in arms:
        assert line(outcome, into.FACTS, arm)["NLL"].n == 6


def test_only_arms_that_quote_make_the_prompt_longer(outcome):
    bare = line(outcome, into.FACTS, OFF)["tokens"].value
    for way in into.WAYS:
        longer = line(outcome, into.FACTS, way)["tokens"].value > bare
        assert longer == ("quote" in way)


def test_each_way_acts_and_the_right_lines_act_otherwise_than_wrong_ones(outcome):
    bare = line(outcome, into.FACTS, OFF)["NLL"].value
    for way in ("bias", "knn", "overlay"):
        acting = line(outcome, into.FACTS, way)["NLL"].value
        assert acting != bare
        assert acting != line(outcome, into.FACTS, f"{way}, {PLACEBO}")["NLL"].value


def test_what_acts_costs_divergence_on_prompts_that_it_has_nothing_to_do_with(outcome):
    for way in into.WAYS:
        assert line(outcome, into.UNRELATED, way)["KL"].value > 0


def test_the_gate_is_within_bounds_whatever_the_memory_says():
    assert [into.gate_of(each) for each in (None, -1.0, 0.4, 7.0)] == [1.0, 0.0, 0.4, 1.0]
    assert numpy.isfinite(into.gate_of(0.0))
