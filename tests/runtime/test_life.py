import pytest
import tiny
from runtime_rig import Shelf, only, turns, wake

from anima.errors import StateError, StorageError
from anima.events import Recomputed, Replied
from anima.runtime.opening import context_of
from anima.runtime.record import fold


def test_clear_starts_a_new_session_without_history():
    shelf = Shelf()
    runtime = wake(shelf)
    runtime.say("Hello")
    assert runtime.clear() == runtime.session == "s2"
    assert runtime.turns == 0
    fresh = only(list(wake().turn("Hello")), Replied).text
    assert runtime.say("Hello") == fresh


def test_a_full_disk_keeps_the_turn_and_the_next_commit_writes_both():
    shelf = Shelf()
    runtime = wake(shelf)
    shelf.full = True
    with pytest.raises(StorageError):
        runtime.say("Hello")
    assert runtime.turns == 1
    shelf.full = False
    runtime.say("Again")
    assert [record["text"] for record in turns(shelf)] == ["Hello", "Again"]


def test_an_unsaved_turn_is_saved_at_the_latest_when_closing():
    shelf = Shelf()
    runtime = wake(shelf)
    shelf.full = True
    with pytest.raises(StorageError):
        runtime.say("Hello")
    shelf.full = False
    runtime.close()
    assert [record["text"] for record in turns(shelf)] == ["Hello"]
    assert shelf.closed


def test_a_session_without_a_turn_leaves_no_record_but_keeps_its_settings():
    shelf = Shelf()
    runtime = wake(shelf)
    runtime.set("top_k", 5)
    runtime.close()
    assert shelf.records == []
    assert shelf.states["sampling"].values == {"top_k": 5}


def test_records_fold_into_the_context_that_the_session_had():
    shelf = Shelf()
    runtime = wake(shelf, window=320)
    for number in range(6):
        runtime.say(f"question number {number}")
    runtime.undo()
    runtime.set_system("Softly.")
    runtime.say("a last one")
    header = {"record": "session", "prefix": [], "base_seed": 5}
    history = fold([header, *shelf.records], "s1")
    assert context_of(tiny.loaded().tokenizer, history).tokens() == runtime._life.context.tokens()
    assert len(history.turns) == runtime.turns
    assert history.draws == 7


def test_a_fork_goes_on_in_a_copy_and_the_original_stays():
    shelf = Shelf()
    runtime = wake(shelf, temperature=1.3)
    runtime.say("Hello")
    original = wake(temperature=1.3)
    original.say("Hello")
    assert runtime.fork() == runtime.session == "s2"
    assert runtime.turns == 1
    events = list(runtime.turn("And?"))
    assert only(events, Recomputed).reason == "resumed"
    assert only(events, Replied).text == original.say("And?"), "context and seed go on"
    with pytest.raises(StateError, match="nothing to fork"):
        wake().fork()


def test_a_fork_after_a_roll_over_keeps_what_is_in_the_context():
    runtime = wake(window=640, loaded=tiny.loaded(window=640))
    while len(runtime._life.context.exchanges) == runtime.turns:
        runtime.say(f"question {runtime.turns}")
    tokens, count = runtime._life.context.tokens(), runtime.turns
    runtime.fork()
    assert (runtime._life.context.tokens(), runtime.turns) == (tokens, count)


def test_load_goes_into_another_session_and_an_unknown_one_changes_nothing():
    runtime = wake()
    runtime.say("Hello")
    with pytest.raises(StateError, match="no session"):
        runtime.load("s9")
    assert (runtime.session, runtime.turns) == ("s1", 1)
    runtime.clear()
    assert runtime.load("s1") == runtime.session == "s1"


def test_clear_keeps_the_system_text_and_no_seed_comes_twice():
    shelf = Shelf()
    runtime = wake(shelf)
    runtime.set_system("Softly.")
    runtime.say("Hello")
    runtime.clear()
    assert runtime.system == "Softly."
    runtime.say("Hello")
    assert [record["seed"] for record in turns(shelf)] == [5, 6]
