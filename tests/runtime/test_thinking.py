"""Plan, draft, reflect, answer: over a tiny Llama, with a real memory and real sessions."""

import itertools
import os
from datetime import UTC, datetime

import pytest
import tiny
from runtime_rig import Shelf, wake

import anima
from anima.errors import UsageError
from anima.events import Notice, Perceived, Recalled, Replied, Thinking, Thought, Token
from anima.home import find_home
from anima.memory import Memory
from anima.runtime.replay import replay
from anima.runtime.thinking import STAGES, prompt_of

SETTINGS = {"temperature": 0.7, "max_tokens": 6, "seed": 3, "device": "cpu", "engine": "reference"}


def thinking(shelf=None, **settings):
    return wake(shelf, loaded=tiny.loaded(window=4096), max_tokens=6, **settings)


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def outcomes(session):
    place = find_home(None, os.environ)
    return [(each.turn, each.difference) for each in replay(place, "default", session)]


@pytest.fixture
def model(tmp_path):
    return str(tiny.save(tmp_path / "model", tiny.llama(window=4096)))


@pytest.fixture
def memory(tmp_path):
    now = datetime(2026, 1, 2, 12, tzinfo=UTC)
    with Memory.open(tmp_path / "memory.json", clock=lambda: now) as opened:
        yield opened


def test_each_stage_is_told_as_it_comes_and_when_it_is_whole_before_the_answer():
    events = list(thinking().think("Hello"))
    thoughts = of(events, Thought)
    assert [thought.stage for thought in thoughts] == list(STAGES) == ["plan", "draft", "reflect"]
    for thought in thoughts:
        pieces = [piece.text for piece in of(events, Thinking) if piece.stage == thought.stage]
        assert thought.text.startswith("".join(pieces[:-1]))
        assert (thought.tokens, thought.finish) == (6, "length")
    (replied,) = of(events, Replied)
    assert len(of(events, Token)) == replied.tokens == 6
    order = [type(event) for event in events]
    assert order.index(Perceived) > max(i for i, kind in enumerate(order) if kind is Thought)


def test_each_stage_reads_the_stages_before_it():
    shelf = Shelf()
    runtime = thinking(shelf)
    list(runtime.think("Hello"))
    record = shelf.records[-1]
    decode = runtime.tokenizer.decode
    texts = {each["stage"]: each["text"].strip() for each in record["thoughts"]}
    asked = {each["stage"]: decode(each["ids"]) for each in record["thoughts"]}
    assert "Plan:" not in asked["plan"]
    for stage in ("draft", "reflect"):
        assert prompt_of(stage, "Hello", texts)[-20:] in asked[stage]
    assert "final answer" in decode(record["ids"])


def test_only_the_answer_enters_the_context():
    shelf = Shelf()
    runtime = thinking(shelf)
    runtime.say("Hi")
    plain = runtime.status()["context_used"]
    list(runtime.think("Hello"))
    record = shelf.records[-1]
    assert record["segments"] == [{"role": "user", "text": "Hello"}]
    # A turn of the same length without thoughts takes as many tokens.
    other = thinking()
    other.say("Hi")
    other.say("Hello")
    assert runtime.status()["context_used"] - plain == other.status()["context_used"] - plain
    assert len(record["reply_ids"]) == 6


def test_a_plain_turn_has_no_thoughts_and_is_the_same_after_a_thinking_one_as_ever():
    shelf = Shelf()
    runtime = thinking(shelf)
    runtime.say("Hello")
    assert "thoughts" not in shelf.records[-1]
    list(runtime.think("Hi"))
    runtime.undo()
    again = thinking()
    again.say("Hello")
    again.set("seed", runtime.settings()["seed"])
    assert runtime.say("And now?") == again.say("And now?")


def test_an_empty_text_is_refused():
    with pytest.raises(UsageError, match="empty"):
        thinking().think("  ")


@pytest.mark.parametrize("stage", list(STAGES))
def test_stopped_in_a_stage_the_turn_ends_without_an_answer(stage):
    shelf = Shelf()
    runtime = thinking(shelf)
    events = []
    for event in runtime.think("Hello"):
        events.append(event)
        if isinstance(event, Thinking) and event.stage == stage:
            runtime.stop()
    (replied,) = of(events, Replied)
    assert (replied.finish, replied.text, of(events, Token)) == ("stopped", "", [])
    record = shelf.records[-1]
    assert record["thoughts"][-1]["stage"] == stage
    assert record["thoughts"][-1]["finish"] == "stopped"
    assert runtime.say("Go on") is not None


def test_a_consumer_that_leaves_in_a_stage_leaves_a_turn_that_stands():
    shelf = Shelf()
    runtime = thinking(shelf)
    events = runtime.think("Hello")
    next(event for event in events if isinstance(event, Thinking))
    events.close()
    record = shelf.records[-1]
    assert (record["finish"], record["reply"]) == ("stopped", "")
    assert [each["finish"] for each in record["thoughts"]] == ["stopped"]
    assert runtime.turns == 1


def test_regenerating_a_thinking_turn_thinks_again():
    runtime = thinking(temperature=1.0)
    list(runtime.think("Hello"))
    first = runtime.last
    events = list(runtime.regenerate())
    assert len(of(events, Thought)) == 3
    assert runtime.last["reply_ids"] != first["reply_ids"]


def test_stages_are_put_into_the_memory_each_with_the_anchor_of_the_one_before(memory):
    runtime = thinking(remembering=memory)
    list(runtime.think("My sister is called Clara."))
    lines = list(memory.lines())
    stages = [line for line in lines if line.role == "thought"]
    assert [line.context["stage"] for line in stages] == ["plan", "draft", "reflect"]
    assert "previous" not in stages[0].context
    for before, after in itertools.pairwise(stages):
        assert after.context["previous"] == before.anchor
    answers = [line for line in lines if line.role == "assistant"]
    for answer in answers:
        assert answer.context["stage"] == "answer"
        assert answer.context["previous"] == stages[-1].anchor


def test_a_thought_is_never_recalled_and_goes_with_its_turn(memory):
    memory.put(None, "The zebra sleeps in the attic.", {}, role="thought")
    memory.put(None, "The attic is cold.", {})
    assert [hit.line.text for hit in memory.query("zebra attic")] == ["The attic is cold."]
    runtime = thinking(remembering=memory)
    before = {line.seq for line in memory.peek(20)}
    list(runtime.think("Where does the zebra sleep?"))
    assert {line.role for line in memory.peek(20)} >= {"thought", "user"}
    runtime.undo()
    assert {line.seq for line in memory.peek(20)} == before


def test_recalled_lines_stand_before_every_stage_and_are_told_once(memory):
    memory.put(None, "My sister is called Clara.", {"session": "earlier", "turn": 1})
    runtime = thinking(remembering=memory)
    events = list(runtime.think("What is my sister called?"))
    assert len(of(events, Recalled)) == 1
    assert of(events, Notice) == []
    decode = runtime.tokenizer.decode
    for each in runtime.last["thoughts"]:
        assert "Clara" in decode(each["ids"]) or each["stage"] != "plan"
    assert runtime.last["segments"][0]["role"] == "memory"


def test_thinking_turns_replay_whole_stopped_and_left(model):
    with anima.open(model=model, **SETTINGS) as runtime:
        runtime.say("Hello there")
        list(runtime.think("What is my name?"))
        for event in runtime.think("And yours?"):
            if isinstance(event, Thinking) and event.stage == "draft":
                runtime.stop()
        events = runtime.think("And hers?")
        next(event for event in events if isinstance(event, Thinking))
        events.close()
        runtime.say("Thanks")
        session = runtime.session
    assert [difference for _, difference in outcomes(session)] == [None] * 5


def test_a_tampered_stage_does_not_match(model):
    import json

    with anima.open(model=model, **SETTINGS) as runtime:
        list(runtime.think("What is my name?"))
        session = runtime.session
    folder = find_home(None, os.environ).persona("default") / "sessions"
    path = folder / f"{session}.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        for thought in record.get("thoughts", ()):
            thought["text"] = "I never thought that."
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert [difference for _, difference in outcomes(session)] == ["thoughts differ"]
