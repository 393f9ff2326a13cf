import numpy
import pytest
import tiny
import torch

from anima.config import Settings
from anima.evaluation import classifier, prompting, replies
from anima.evaluation.harness import OFF, PROMPT_ONLY, Request, run
from anima.evaluation.material import MODES, Prompt, concepts, styled_replies
from anima.evaluation.replies import Arm, Bench

PROMPTS = [Prompt(text="Hello", about=("x*",)), Prompt(text="What is 3 + 4?", answer="7")]


@pytest.fixture(scope="module")
def bench():
    judge = classifier.by_words(styled_replies("train"))
    return Bench(loaded=tiny.loaded(window=2048), classifier=judge, known=str.isalpha, limit=12)


def push(h):
    return torch.full_like(h, 0.5)


def test_a_reply_does_not_depend_on_what_else_is_asked(bench):
    alone = bench.speak(Arm(name=OFF), ["Hello"])
    together = bench.speak(Arm(name=OFF), ["What is this long question about?", "Hello"])
    assert together[1] == alone[0]


def test_the_seed_decides_the_draws(bench):
    other = Bench(
        loaded=bench.loaded, classifier=bench.classifier, known=bench.known, limit=12, seed=1
    )
    arm = Arm(name=OFF)
    assert bench.speak(arm, ["Hello"]) == bench.speak(arm, ["Hello"])
    assert bench.speak(arm, ["Hello"]) != other.speak(arm, ["Hello"])


def test_an_arm_without_anything_costs_nothing_and_a_tap_does(bench):
    off = bench.measure(Arm(name=OFF), PROMPTS)
    steered = bench.measure(Arm(name="push", taps=lambda: {1: [push]}), PROMPTS)
    assert [row["KL"] for row in off] == [0, 0]
    assert all(row["KL"] > 0 for row in steered)
    assert all(row["NLL"] > 0 for row in [*off, *steered])


def test_a_system_text_stands_after_the_core_and_a_rewritten_prompt_in_its_place(bench):
    plain = bench.ids("Hello")
    with_system = bench.ids("Hello", "Be brief.")
    assert len(with_system) > len(plain)
    text = bench.loaded.tokenizer.decode(with_system)
    assert text.index("Anima") < text.index("Be brief.") < text.index("Hello")
    asked = Arm(name="ask", asked=lambda prompt: f"{prompt}!")
    assert bench.speak(asked, ["Hello"]) != bench.speak(Arm(name=OFF), ["Hello"])


def test_topic_and_answer_are_judged_by_what_the_prompt_says(bench):
    rows = bench.measure(Arm(name=OFF), [*PROMPTS, Prompt(text="Say something.")])
    assert [type(row["on topic"]) for row in rows] == [bool, bool, type(None)]


def test_a_row_is_judged_by_its_modes_own_measures(bench):
    row = bench.measure(Arm(name=OFF), PROMPTS[:1])[0]
    for mode in MODES:
        found = replies.judged(row, mode)
        assert found["effect"] == row[f"style {mode}"]
        assert 0 <= found["overall"] <= 1
        assert sum(name.startswith("is ") for name in found) >= 4


def test_prompting_runs_at_smoke_size_from_request_to_table(bench, tmp_path):
    request = Request(
        home=None, settings=Settings(), size="smoke", seed=0, judge="words", say=print
    )
    study = prompting.study(request, bench)
    outcome = run(study, seed=0, journal=tmp_path / "j", clock=lambda: 0.0, say=lambda line: None)
    assert outcome.complete
    assert [(line.group, line.arm) for line in outcome.lines] == [
        (mode, arm) for mode in MODES for arm in (OFF, PROMPT_ONLY)
    ]
    off = [line for line in outcome.lines if line.arm == OFF]
    assert all(line.figures["KL"].high == 0 for line in off)
    assert numpy.isfinite([line.figures["KL"].value for line in outcome.lines]).all()


def row(text):
    return {
        "text": text,
        "on topic": None,
        "style dream": 0.3,
        **replies.fluency(text, str.isalpha),
    }


def test_a_concept_is_judged_by_words_that_did_not_find_it():
    ocean = next(concept for concept in concepts() if concept.name == "ocean")
    found = replies.judged_concept(row("The tide left coral on the shore"), ocean)
    assert (found["effect"], found["similarity"]) == (1, None)
    assert found["density"] == pytest.approx(300 / 7)
    promised = replies.judged_concept(row(" ".join(ocean.promised)), ocean)
    assert (promised["effect"], promised["density"], promised["overall"]) == (0, 0, 0)


def test_sobriety_counts_fantasy_and_imagery():
    plain = "The mill was built of brick and grinds flour on workdays"
    sober, fanciful = (
        replies.judged_sober(row(plain)),
        replies.judged_sober(row("The wizard rode a dragon to the kingdom of stars and mist")),
    )
    assert (sober["effect"], sober["fanciful"]) == (1, 0)
    assert (fanciful["effect"], fanciful["overall"]) == (0, 0)
    assert fanciful["fanciful"] > 30
