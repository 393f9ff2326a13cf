"""Recalled lines that act within the model, in real turns; a tiny Llama, a real ledger."""

import os

import pytest
import tiny
from runtime_rig import Shelf, wake

import anima
from anima.home import find_home
from anima.memory import Memory
from anima.runtime.replay import replay

TOLD = "My sister is called Clara."
ASKED = "What is my sister called?"
ALL = "bias+knn+overlay"
SETTINGS = {
    "temperature": 0.7, "max_tokens": 6, "seed": 3, "device": "cpu", "engine": "reference",
    "race": "off",
}  # fmt: skip


@pytest.fixture
def model(tmp_path):
    return str(tiny.save(tmp_path / "model", tiny.llama(window=4096)))


@pytest.fixture
def memory(tmp_path):
    with Memory.open(tmp_path / "memory.json", clock=lambda: tiny.NOON) as opened:
        opened.put(None, TOLD, {"session": "earlier", "turn": 1})
        yield opened


def asked(memory, **settings):
    """A turn that recalls the line, undone; its record."""
    shelf = Shelf()
    runtime = wake(
        shelf, loaded=tiny.loaded(window=4096), remembering=memory, race="off", **settings
    )
    runtime.say(ASKED)
    record = shelf.records[-1]
    runtime.undo()
    return record


@pytest.mark.parametrize("words", ["quote+bias", "quote+knn", "quote+overlay", f"quote+{ALL}"])
def test_strength_zero_is_the_quoted_block_alone_to_the_token(memory, words):
    plain = asked(memory)
    off = asked(memory, memory_into=words, memory_strength=0.0)
    on = asked(memory, memory_into=words, memory_strength=4.0)
    assert off["reply_ids"] == plain["reply_ids"]
    assert off["calls"] == plain["calls"]
    assert "into" not in off["deltas"]["memory"]
    assert on["deltas"]["memory"]["into"]["strength"] == 4.0
    assert on["ids"] == plain["ids"]


def test_without_the_block_the_line_acts_and_nothing_of_it_stands_in_the_context(memory):
    record = asked(memory, memory_into="knn")
    assert [each["role"] for each in record["segments"]] == ["user"]
    values = record["deltas"]["memory"]
    assert values["quoted"] == []
    assert [line["text"] for line in values["recalled"]] == [TOLD]
    assert [line["text"] for line in values["into"]["lines"]] == [TOLD]
    assert values["into"]["mixture"]["steps"] == 8


def test_a_line_that_only_acted_is_recalled_again_and_one_that_is_quoted_is_not(memory):
    for words, again in (("knn", 1), ("quote+knn", 0)):
        runtime = wake(
            loaded=tiny.loaded(window=4096), remembering=memory, race="off", memory_into=words
        )
        runtime.say(ASKED)
        runtime.say("And once more: my sister is called what?")
        recalled = runtime.last["deltas"]["memory"]["recalled"]
        assert sum(line["text"] == TOLD for line in recalled) == again
        runtime.undo()
        runtime.undo()


def test_a_zombie_recalls_and_nothing_acts(memory):
    record = asked(memory, memory_into=ALL, control="zombie")
    assert record["deltas"]["memory"]["recalled"]
    assert "into" not in record["deltas"]["memory"]


def test_values_are_kept_with_their_model_only_where_the_bias_is_on(memory):
    runtime = wake(
        loaded=tiny.loaded(window=4096), remembering=memory, race="off", memory_into="quote+bias"
    )
    runtime.say("My brother lives in Rome.")
    kept = [line for line in memory.peek(9) if line.value is not None]
    assert {line.context["model"] for line in kept} == {"tiny-0"}
    assert memory.value_width == 32
    other = wake(loaded=tiny.loaded(window=4096), remembering=memory, race="off")
    other.say("My aunt lives in Bonn.")
    assert memory.peek(1)[0].value is None


def test_a_memory_with_values_of_another_width_goes_on_without(memory):
    memory.put(None, ("A line of another model.", [1.0, 2.0]), {})
    runtime = wake(
        loaded=tiny.loaded(window=4096), remembering=memory, race="off", memory_into="quote+bias"
    )
    runtime.say(ASKED)
    assert "vector" in runtime.last["deltas"]["memory"]["into"]
    assert all(line.value is None for line in memory.peek(2) if line.role != "user")


def test_turns_with_every_way_replay_without_todays_memory(model):
    with anima.open(model=model, **SETTINGS) as first:
        first.say(TOLD)
    with anima.open(model=model, memory_into=f"quote+{ALL}", **SETTINGS) as second:
        second.say(ASKED)
        assert second.last["deltas"]["memory"]["into"]["ways"] == ["bias", "knn", "overlay"]
        list(second.think("And my brother, Clara?"))
        session = second.session
    place = find_home(None, os.environ)
    for path in place.persona("default").glob("memory.*"):
        path.unlink()
    found = list(replay(place, "default", session))
    assert [each.difference for each in found] == [None, None]
