from pathlib import Path

import pytest

from anima.evaluation import material
from anima.evaluation.measures import on_topic
from anima.evaluation.texts import read
from anima.prism.build import CALIBRATION, TUNING

SHIPPED = Path(__file__).parent.parent.parent / "checkpoints" / "models"
DISCOVERY = sorted((SHIPPED / "contrast").glob("*.txt"))
HALVES = ("train", "test")
TURNS = sorted((SHIPPED / "switching").glob("*.txt"))


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_the_halves_of_prompts_share_nothing_and_are_equally_large_but_for_fresh_ones():
    for kind in ("open", "neutral", "fantastic"):
        tune = {prompt.text for prompt in material.prompts(kind, "tune")}
        report = {prompt.text for prompt in material.prompts(kind, "report")}
        fresh = [prompt for prompt in material.prompts(kind) if prompt.fresh]
        assert not tune & report
        assert len(tune) == len(report) - len(fresh)
        assert len(tune) + len(report) == len(material.prompts(kind))
        assert all(prompt.half == "report" for prompt in fresh)


def test_there_are_fresh_prompts_and_none_is_said_anywhere_else():
    fresh = {p.text for kind in ("open", "fantastic") for p in material.prompts(kind) if p.fresh}
    others = [turn.text for turn in material.unseen_turns()]
    others += [turn.text for talk in material.conversations().values() for turn in talk]
    others += [text for path in (*DISCOVERY, *TURNS) for text in lines(path)]
    others += [reply.question for half in HALVES for reply in material.styled_replies(half)]
    assert len([p for p in material.prompts("open", "report") if p.fresh]) >= 72
    assert len([p for p in material.prompts("fantastic", "report") if p.fresh]) >= 24
    assert not fresh & {*others, *CALIBRATION, *TUNING}


def test_there_is_as_much_of_everything_as_the_evaluations_promise():
    assert len(material.prompts("open")) >= 40
    assert len(material.concepts()) >= 20
    assert all(len(each) >= 10 for each in material.out_of_distribution().values())
    assert len(material.unseen_turns()) >= 150
    assert {len(talk) for talk in material.conversations().values()} == {100}
    assert len(material.styled_replies("train")) + len(material.styled_replies("test")) >= 60


def test_every_prompt_names_its_topic_or_its_answer():
    for prompt in material.prompts("open"):
        assert prompt.about
    for prompts in material.out_of_distribution().values():
        assert all(bool(prompt.about) != (prompt.answer is not None) for prompt in prompts)


@pytest.mark.parametrize("concept", material.concepts(), ids=lambda concept: concept.name)
def test_what_judges_a_concept_is_blind_to_what_finds_it(concept):
    for word in concept.promised:
        assert not on_topic(word, concept.judged)
    for text in concept.texts:
        assert not on_topic(text, concept.judged)


def test_every_mode_has_as_many_contrast_texts_on_both_sides():
    counts = {path.name: len(lines(path)) for path in DISCOVERY}
    assert set(counts) == {f"{m}.{side}.txt" for m in material.MODES for side in ("like", "unlike")}
    assert min(counts.values()) >= 24
    for mode in material.MODES:
        assert counts[f"{mode}.like.txt"] == counts[f"{mode}.unlike.txt"]


def test_texts_for_discovery_are_used_for_nothing_else():
    judged = {
        text
        for part in ("train", "test")
        for reply in material.styled_replies(part)
        for text in reply.replies.values()
    }
    asked = {
        prompt.text
        for kind in ("open", "neutral", "fantastic")
        for prompt in material.prompts(kind)
    }
    found = [line for path in DISCOVERY for line in lines(path)]
    assert len(set(found)) == len(found)
    assert not set(found) & (judged | asked)


def test_no_unseen_turn_is_among_those_to_train_on():
    trained = [line for path in TURNS for line in lines(path)]
    assert {path.stem for path in TURNS} == set(material.MODES)
    assert len(set(trained)) == len(trained) >= 180
    unseen = {turn.text for turn in material.unseen_turns()}
    assert not unseen & set(trained)
    traps = [turn.text for turn in material.unseen_turns() if turn.trap]
    for words in ("I see", "catalog", "Look at it this way"):
        assert any(words in text for text in traps)


def test_a_question_is_in_one_half_of_the_style_texts_only():
    train = {reply.question for reply in material.styled_replies("train")}
    test = {reply.question for reply in material.styled_replies("test")}
    assert not train & test


def test_a_wording_asks_for_a_mode_or_against_its_opposite():
    for mode in material.MODES:
        assert material.wording(mode) != material.wording(mode, negated=True)
    asked = material.refusal("user", prompt="Go on.", topic="war")
    assert "Go on." in asked
    assert "war" in asked


def test_an_unknown_mode_has_no_wording():
    with pytest.raises(material.UsageError, match="anima, system, dream"):
        material.wording("pirate")


def test_texts_are_read_from_the_package_and_not_from_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read.cache_clear()
    assert read("prompts")["open"]
