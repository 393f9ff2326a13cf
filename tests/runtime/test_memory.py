"""The memory of a runtime: commits, status, off, put by hand; a tiny Llama, a real ledger."""

import pytest
from memory_rig import awake, block, said, told
from runtime_rig import Shelf

from anima.errors import StateError, StorageError, UsageError


def test_answering_again_recalls_anew_and_leaves_one_turn(memory):
    told(memory, "My sister is called Clara.")
    runtime = awake(memory)
    runtime.say("What is my sister called?")
    list(runtime.regenerate())
    assert "Clara" in block(runtime)
    assert [role for role, _ in said(memory)] == ["user", "user", "assistant"]


def test_compare_and_logits_and_preview_change_nothing(memory):
    told(memory, "My sister is called Clara.")
    shelf = Shelf()
    runtime = awake(memory, shelf)
    runtime.say("What is my sister called?")
    count, commits = memory.count, shelf.commits
    list(runtime.preview("Is my sister called Emily?"))
    list(runtime.preview(temperature=1.0))
    runtime.logits("What is my sister called?")
    assert (memory.count, shelf.commits) == (count, commits)


def test_with_the_memory_off_every_turn_is_to_the_bit_as_without_the_organ(memory):
    told(memory, "My sister is called Clara.")
    bare = awake(None)
    off = awake(memory)
    off.switch("memory", False)
    for text in ("What is my sister called?", "And now?"):
        assert off.say(text) == bare.say(text)
        assert off.last["ids"] == bare.last["ids"]
    assert off.logits("Hello").equal(bare.logits("Hello"))
    assert memory.count == 1
    assert "memory" not in bare.status()["organs"]


def test_an_empty_memory_changes_no_token(memory):
    bare, fresh = awake(None), awake(memory)
    assert fresh.say("What is my sister called?") == bare.say("What is my sister called?")
    assert fresh.last["ids"] == bare.last["ids"]


def test_the_api_object_is_at_hand_where_the_memory_is_on(memory):
    assert awake(memory).memory is memory
    with pytest.raises(StateError, match="memory is off"):
        _ = awake(None).memory


def test_claims_are_read_ahead_until_none_are_left_and_not_after_closing(memory):
    told(memory, *(f"Boat {at} is red." for at in range(50)))
    runtime = awake(memory, race="rules")
    steps = [runtime.read_ahead() for _ in range(4)]
    assert steps == [True, True, False, False]
    assert memory.read_claims(1) == 0
    assert not awake(memory).read_ahead()
    assert not awake(None).read_ahead()
    runtime.close()
    assert not runtime.read_ahead()


def test_the_status_says_what_the_memory_holds(memory):
    runtime = awake(memory)
    runtime.say("Hello")
    runtime.undo()
    assert runtime.status()["memory"] == {
        "lines": 0, "records": 4, "ledger": "memory.json", "encrypted": False,
        "conversations": "in clear", "late": 0,
    }  # fmt: skip
    assert awake(None).status()["memory"] is None


def test_a_put_outside_a_turn_is_in_the_personas_commit_before_it_returns(memory):
    shelf = Shelf()
    runtime = awake(memory, shelf)
    anchor = runtime.memory.put(None, "The cat is grey.")
    assert shelf.states["memory"].values == {"count": 1, "head": anchor}
    runtime.memory.erase(1)
    assert shelf.states["memory"].values["count"] == 2


def test_a_put_that_the_commit_refuses_is_not_there(memory):
    shelf = Shelf()
    runtime = awake(memory, shelf)
    shelf.full = True
    with pytest.raises(StorageError):
        runtime.memory.put(None, "The cat is grey.")
    assert (memory.count, len(memory)) == (0, 0)
    shelf.full = False
    runtime.memory.put(None, "The cat is grey.")
    assert memory.verify().whole


def test_a_turn_commits_its_lines_once_together_with_its_record(memory):
    shelf = Shelf()
    runtime = awake(memory, shelf)
    runtime.say("Hello")
    assert shelf.commits == 1
    assert shelf.states["memory"].values["count"] == memory.count == 2
    runtime.undo()
    assert shelf.commits == 2
    assert shelf.states["memory"].values["count"] == memory.count


def test_a_turn_that_failed_leaves_nothing_in_the_memory(memory):
    told(memory, "My sister is called Clara.")
    runtime = awake(memory)
    with pytest.raises(UsageError):
        runtime.turn("  ")
    running = runtime.turn("What is my sister called?")
    next(running)
    with pytest.raises(ValueError, match="burst"):
        running.throw(ValueError("burst"))
    assert memory.count == 1
