"""Lives: what is drawn, how they are lived and gone on with, how answers are judged, every arm."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from anima.config import Settings
from anima.evaluation import lives, lives_talk
from anima.evaluation.harness import OFF, PLACEBO, ZOMBIE, Request, run
from anima.evaluation.lives_talk import Hours, awake, live, lived_turns, rewritten, talk_of
from anima.evaluation.lives_world import Fact, Life, Measure, life, small_talk
from anima.evaluation.matching import says
from anima.evaluation.texts import read
from anima.home import Home
from anima.memory.claims.race import Said
from anima.persona.session import ids, read_session

HALVES = ("tune", "report")
SHORT = Measure(facts=3, talk=6, sessions=3)
SETTINGS = Settings(encoder="none", ledger="json")


def drawn(half="tune", number=0, measure=SHORT):
    talk = [f"Talk number {at} is about the weather." for at in range(measure.talk)]
    return life(half, seed=0, number=number, measure=measure, talk=talk)


def home_at(root: Path) -> Home:
    return Home(root=root, cache=root / "cache", config=root / "config.toml")


def said_by(home: Home, persona: str) -> list[str]:
    return [
        record["text"]
        for session in ids(home.persona(persona))
        for record in read_session(home, persona, session)
        if record["record"] == "turn"
    ]


def contents(folder: Path) -> Mapping[str, bytes]:
    passed = ("lock", "lock.pid")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in passed]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def model():
    return tiny.loaded(window=4096)


@pytest.fixture(scope="module")
def lived(tmp_path_factory, model):
    """A home in which one short life was lived to its end."""
    home = home_at(tmp_path_factory.mktemp("lives"))
    live(drawn(), home, SETTINGS, model, lambda message: None)
    return home


@pytest.mark.parametrize("half", HALVES)
def test_a_life_of_full_size_has_its_facts_amid_its_talk_and_ends_in_talk_alone(half):
    full = Measure()
    for number in range(8):
        one = drawn(half, number, full)
        told = [turn for turn in one.turns if turn.slot]
        changed = [fact for fact in one.facts if fact.old]
        assert len(one.facts) == len({fact.slot for fact in one.facts}) == full.facts
        assert len(one.turns) - len(told) == full.talk
        assert len(told) == full.facts + len(changed)
        assert len(changed) == 3
        assert sum(fact.feeling is not None for fact in one.facts) == 4
        assert len({turn.session for turn in one.turns}) == full.sessions
        assert not any(turn.slot for turn in one.turns[-len(one.turns) // 10 :])
        assert [turn.when for turn in one.turns] == sorted(turn.when for turn in one.turns)


@pytest.mark.parametrize("half", HALVES)
def test_the_line_of_a_fact_says_its_answer_and_is_the_last_to_speak_of_it(half):
    for number in range(8):
        one = drawn(half, number, Measure())
        for fact in one.facts:
            spoken = [turn.text for turn in one.turns if turn.slot == fact.slot]
            assert spoken[-1] == fact.line
            assert says(fact.line, fact.answers)
            assert len(spoken) == (2 if fact.old else 1)
            assert not fact.old or (says(spoken[0], fact.old) and fact.old != fact.answers)


def test_a_life_is_the_same_every_time_and_another_by_its_number():
    assert drawn() == drawn()
    assert drawn(number=1).turns != drawn().turns


def test_the_halves_share_no_slot_no_wording_and_no_value():
    slots, wordings, values = (
        {half: set() for half in HALVES}, {half: set() for half in HALVES},
        {half: set() for half in HALVES},
    )  # fmt: skip
    for half in HALVES:
        for kind in read("lives")[half]:
            slots[half].add(kind["slot"])
            wordings[half] |= {*kind["told"], *kind.get("changed", ()), kind["asked"]}
            values[half] |= {value.lower() for value in kind["values"]}
    for found in (slots, wordings, values):
        assert not found["tune"] & found["report"]


@pytest.mark.parametrize("half", HALVES)
def test_no_question_gives_its_answer_away(half):
    for kind in read("lives")[half]:
        assert all("{v}" in form for form in (*kind["told"], *kind.get("changed", ())))
        for value in kind["values"]:
            assert not says(kind["asked"], value.split("|"))


def fact_that_changed():
    return Fact(
        slot="home", line="She lives in Brno now.", asked="Where?", answers=("Brno",), old=("Oslo",)
    )


@pytest.mark.parametrize(
    ("reply", "right", "stale"),
    [
        ("She lives in BRNO.", True, False),
        ("In Oslo.", False, True),
        ("First Oslo, then Brno.", False, False),
        ("I do not know.", False, False),
        ("Brnovia", False, False),
    ],
)
def test_an_answer_is_right_with_the_new_value_alone(reply, right, stale):
    judged = lives.judged(fact_that_changed(), reply, recalled=[], quoted=[])
    assert (judged.right, judged.stale, judged.silent) == (right, stale, True)


def test_what_was_quoted_and_not_used_is_told_from_what_was_not_recalled():
    fact = fact_that_changed()
    one = Life(name="x", turns=(), facts=(fact,))
    unused = lives.judged(fact, "Who?", recalled=[fact.line], quoted=[fact.line])
    assert lives.shares(one, [unused])["quoted, unused"] == 1
    missed = lives.judged(fact, "Who?", recalled=["The attic is cold."], quoted=[])
    shown = lives.shares(one, [missed])
    assert (shown["right line recalled"], shown["silent"], shown["quoted, unused"]) == (0, 0, 0)
    assert shown["exact, neutral"] is None


def test_a_life_is_lived_over_several_sessions_turn_by_turn(lived):
    one = drawn()
    assert said_by(lived, one.name) == [turn.text for turn in one.turns]
    assert len(ids(lived.persona(one.name))) == SHORT.sessions


def test_a_life_that_was_broken_off_goes_on_where_it_was(tmp_path, model, lived):
    one, home = drawn(), home_at(tmp_path)
    # In the middle of a session, and right after one.
    for turns in (2, 3, 4, len(one.turns)):
        part = replace(one, turns=one.turns[:turns])
        live(part, home, SETTINGS, model, lambda message: None)
        assert lived_turns(home, one.name) == turns
    assert said_by(home, one.name) == [turn.text for turn in one.turns]
    assert len(ids(home.persona(one.name))) == SHORT.sessions


def test_a_life_that_is_over_is_not_lived_again(lived, model):
    before = contents(lived.root)
    live(drawn(), lived, SETTINGS, model, lambda message: None)
    assert contents(lived.root) == before


def test_the_same_talk_is_written_anew_beside_the_life(lived, model):
    one, before = drawn(), contents(lived.root)
    settings = replace(SETTINGS, persona=one.name)
    counts = []
    for race in (False, True):
        with (
            rewritten(lived, settings, race=race, likelihood=None, now=one.end) as place,
            awake(place, settings, model, Hours(now=one.end), ephemeral=True) as runtime,
        ):
            said = [line.text for line in runtime.memory.peek(99) if line.role == "user"]
            assert said[::-1] == [turn.text for turn in one.turns]
            assert runtime.memory.verify().whole
            counts.append(runtime.memory.count)
    assert counts[0] == sum(map(len, lives_talk._said(lived, one.name)))
    assert contents(lived.root) == before


def test_a_race_by_likelihood_gets_to_hear_the_talk(lived):
    asked: list[str] = []

    def likelihood(context: str, text: str) -> float:
        asked.append(text)
        return 1.0

    one = drawn()
    settings = replace(SETTINGS, persona=one.name)
    with rewritten(lived, settings, race=True, likelihood=likelihood, now=one.end) as place:
        assert lived_turns(place, one.name) == len(one.turns)


def test_talk_is_enough_and_another_for_each_life():
    for half in HALVES:
        talk = talk_of(half, 0, 20, lambda message: None)
        assert len(talk) == 20
        assert all(text.strip() for text in talk)
        assert talk != talk_of(half, 1, 20, lambda message: None)


def test_without_conversations_there_is_small_talk(monkeypatch):
    from anima.errors import UsageError

    def missing():
        raise UsageError("not installed")

    monkeypatch.setattr(lives_talk, "_conversations", missing)
    told: list[str] = []
    talk = talk_of("tune", 3, 12, told.append)
    assert len(talk) == 12
    assert "chitchat_dataset" in told[0]
    assert talk == small_talk("tune", 12, __import__("random").Random("talk tune 3"))
    assert isinstance(Said(text=talk[0]), Said)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, model):
    """The smoke size under every arm."""
    folder = tmp_path_factory.mktemp("study")
    request = Request(
        home=home_at(folder), settings=SETTINGS, size="smoke", seed=0, judge="words",
        say=lambda message: None, options={"half": "tune", "lives": str(folder / "lives")},
    )  # fmt: skip
    study = lives.study(request, model)
    return run(study, seed=0, clock=lambda: 0.0, say=lambda message: None)


def test_every_arm_is_asked_everything(outcome):
    assert outcome.complete
    assert {row["arm"] for row in outcome.rows} == {arm.name for arm in lives.arms("tune")}
    assert all(len(row["answers"]) == 3 for row in outcome.rows)


def shown(outcome, arm, group=lives.ROW):
    (line,) = [line for line in outcome.lines if (line.arm, line.group) == (arm, group)]
    return {name: figure.value for name, figure in line.figures.items()}


@pytest.mark.parametrize("group", [lives.ROW, lives.ALONE])
def test_without_memory_nothing_is_recalled_and_with_the_right_line_it_always_is(outcome, group):
    assert shown(outcome, OFF, group)["right line recalled"] == 0
    assert shown(outcome, lives.IN_PROMPT, group)["silent"] == 1
    assert shown(outcome, lives.QUOTED, group)["right line recalled"] == 1


def test_a_zombie_recalls_what_the_memory_does_and_quotes_nothing(outcome):
    ours, zombie = shown(outcome, lives.WITH), shown(outcome, ZOMBIE)
    assert zombie["right line recalled"] == ours["right line recalled"] > 0
    assert zombie["quoted, unused"] == 0 < ours["quoted, unused"]


def test_a_placebo_quotes_other_lines(outcome):
    assert shown(outcome, PLACEBO)["quoted, unused"] < shown(outcome, lives.WITH)["quoted, unused"]


def test_the_distance_to_the_fact_in_the_prompt_is_paired(outcome):
    difference = shown(outcome, f"{lives.WITH} − {lives.IN_PROMPT}")
    assert set(difference) == {"exact"}
    again = lives.tabulate(outcome.rows, np.random.default_rng(0))
    assert any(line.arm == f"{lives.WITH} − without a race" for line in again)
