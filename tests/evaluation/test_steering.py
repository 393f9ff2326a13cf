import time

import pytest
import tiny
from prism_rig import book, mode

from anima.config import Settings
from anima.errors import UsageError
from anima.evaluation import classifier, negative, stability, steering
from anima.evaluation.arms import EFFORTS, Stand, need_sae
from anima.evaluation.harness import (
    MEAN_DIFFERENCE,
    NOISE,
    OFF,
    PLACEBO,
    PROMPT_ONLY,
    RANDOM_FEATURE,
    WRONG_SIGN,
    ZOMBIE,
    Request,
    run,
)
from anima.evaluation.material import concepts, styled_replies
from anima.evaluation.replies import Bench
from anima.prism.build import build
from anima.prism.contrast import Contrast
from anima.prism.shelf import Shelf
from anima.runtime.modes import open_workshop


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    judge = classifier.by_words(styled_replies("train"))
    loaded = tiny.loaded(window=2048, engine="fast")
    bench = Bench(loaded=loaded, classifier=judge, known=str.isalpha, limit=10)
    shelf = Shelf(own=tmp_path_factory.mktemp("modes"))
    for each in (mode("dream", 0.2), mode("system", 0.2, feature=5)):
        shelf.save(each)
    return Stand(
        bench=bench, workshop=open_workshop(loaded, book()), shelf=shelf, effort=EFFORTS["smoke"]
    )


def request(tmp_path):
    return Request(
        home=tmp_path, settings=Settings(), size="smoke", seed=0, judge="words",
        say=lambda message: None,
    )  # fmt: skip


def outcome(module, stand, tmp_path):
    return run(
        module.study(request(tmp_path), stand), seed=0, clock=time.monotonic,
        say=lambda message: None,
    )  # fmt: skip


def rows_of(found, arm, group):
    return [row for row in found.rows if (row["arm"], row["group"]) == (arm, group)]


@pytest.fixture(scope="module")
def steered(stand, tmp_path_factory):
    return outcome(steering, stand, tmp_path_factory.mktemp("steering"))


def test_every_arm_is_there_for_every_mode_and_for_the_concepts(steered):
    assert steered.complete
    lines = {(line.group, line.arm) for line in steered.lines}
    expected = {(name, arm) for name in ("system", "dream") for arm in steering.MODE_ARMS}
    assert lines == expected | {("concepts", arm) for arm in steering.CONCEPT_ARMS}


def test_off_and_zombie_say_the_same_at_no_cost(steered):
    for off, dead in zip(
        rows_of(steered, OFF, "dream"), rows_of(steered, ZOMBIE, "dream"), strict=True
    ):
        assert off["text"] == dead["text"]
        assert off["KL"] == pytest.approx(0, abs=1e-6)
        assert dead["KL"] == pytest.approx(0, abs=1e-4)


def test_steering_costs_something_and_every_reply_is_priced(steered):
    for arm in (steering.PRISM, WRONG_SIGN, PLACEBO, MEAN_DIFFERENCE, PROMPT_ONLY):
        rows = rows_of(steered, arm, "dream")
        assert all(row["KL"] > 0 for row in rows if row["tokens"])


def test_controls_are_brought_to_the_cost_of_the_mode(stand):
    arms = steering.ModeArms(stand=stand)
    target = stand.cost(arms.state("dream", steering.PRISM))
    assert target > 0
    for arm in (RANDOM_FEATURE, NOISE, WRONG_SIGN, MEAN_DIFFERENCE):
        state = arms.state("dream", arm)
        pushed = sum(abs(push.strength) for push in state.pushes)
        near = stand.cost(state) == pytest.approx(target, rel=0.6)
        assert near or pushed >= 0.45


def test_a_concept_is_measured_as_mode_create_makes_it(stand, steered):
    single = steering.ConceptArms(stand=stand, all_of=concepts())
    concept = concepts()[0]
    others = [text for other in concepts()[1:] for text in other.texts]
    made = build(
        stand.workshop, Contrast(like=concept.texts, unlike=tuple(others)), name=concept.name,
        description="",
    )  # fmt: skip
    assert single.built(concept).mode.digest == made.mode.digest
    (row,) = [
        row for row in rows_of(steered, steering.PRISM, "concepts") if row["unit"] == concept.name
    ]
    assert row["built"] == made.best.name
    assert row["features"] == [push.feature for push in made.mode.features]


def test_suppression_is_compared_with_asking(stand, tmp_path):
    found = outcome(negative, stand, tmp_path)
    assert found.complete
    assert {line.arm for line in found.lines} == {*negative.ARMS, negative.MODE}
    assert {line.group for line in found.lines} == {negative.FANTASY, negative.CONCEPTS}
    for row in found.rows:
        assert row["suppressed"] in (0.0, 1.0)
    for off in rows_of(found, OFF, negative.FANTASY):
        (dead,) = [
            row for row in rows_of(found, ZOMBIE, negative.FANTASY) if row["unit"] == off["unit"]
        ]
        assert dead["text"] == off["text"]


def test_a_mode_is_tried_on_every_kind_of_prompt(stand, tmp_path):
    found = outcome(stability, stand, tmp_path)
    assert found.complete
    kinds = {line.group.split(": ")[1] for line in found.lines}
    assert kinds == {"everyday", "stories", "code", "arithmetic", "french"}


def test_without_an_sae_it_is_said(stand):
    bare = Stand(
        bench=stand.bench, workshop=open_workshop(stand.bench.loaded, None),
        shelf=stand.shelf, effort=EFFORTS["smoke"],
    )  # fmt: skip
    with pytest.raises(UsageError, match="needs an SAE"):
        need_sae(bare, "steering")
