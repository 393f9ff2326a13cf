import pytest
import tiny
from runtime_rig import Shelf, kinds, only, turns, wake

from anima.errors import StateError, UsageError
from anima.events import Persisted, Recomputed, Replied, Token


def test_a_turn_yields_perceived_tokens_replied_and_persisted_in_this_order():
    shelf = Shelf()
    events = list(wake(shelf).turn("Hello"))
    assert kinds(events) == ["Perceived", *["Token"] * 8, "Replied", "Persisted"]
    replied = only(events, Replied)
    assert replied.finish == "length"
    assert replied.text.startswith("".join(e.text for e in events if isinstance(e, Token)))
    assert only(events, Persisted).generation == shelf.commits == 1


def test_say_returns_what_the_turn_replied():
    assert wake().say("Hello") == only(list(wake().turn("Hello")), Replied).text


def test_the_same_seed_says_the_same_and_another_seed_something_else():
    said = [wake(temperature=1.5, seed=seed, max_tokens=20).say("Hello") for seed in (5, 5, 6)]
    assert said[0] == said[1] != said[2]


def test_a_reply_ends_at_an_end_token_which_is_not_part_of_it():
    greedy = only(list(wake().turn("Hello")), Replied)
    first = [event.id for event in wake().turn("Hello") if isinstance(event, Token)][2]
    model = tiny.loaded()
    ended = type(model)(**{**vars(model), "end_ids": frozenset({first})})
    events = list(wake(loaded=ended).turn("Hello"))
    replied = only(events, Replied)
    assert (replied.finish, replied.tokens) == ("end", 2)
    assert greedy.text.startswith(replied.text)


def test_a_second_turn_while_one_runs_is_refused():
    runtime = wake()
    running = runtime.turn("Hello")
    next(running)
    with pytest.raises(StateError, match="A turn is running"):
        next(runtime.turn("And?"))
    running.close()


def test_an_empty_message_is_refused_before_anything_happens():
    runtime = wake()
    with pytest.raises(UsageError, match="empty"):
        runtime.turn(" \n")
    assert runtime.turns == 0


def test_undo_takes_back_turn_context_and_counts_and_leaves_a_record():
    shelf = Shelf()
    runtime = wake(shelf)
    runtime.say("Hello")
    before = runtime.status() | {"settings": None}
    runtime.say("Second")
    assert runtime.undo() == "Second"
    assert runtime.status() | {"settings": None} == before
    assert shelf.records[-1]["record"] == "undo"
    assert runtime.say("Second")


def test_undo_without_a_turn_says_so():
    with pytest.raises(StateError, match="no turn"):
        wake().undo()


def test_regenerate_answers_the_same_text_with_a_new_seed():
    shelf = Shelf()
    runtime = wake(shelf, temperature=1.5)
    first = runtime.say("Hello")
    events = list(runtime.regenerate())
    assert only(events, Replied).text != first
    assert [record["seed"] for record in turns(shelf)] == [5, 6]
    assert runtime.turns == 1


def test_a_chosen_seed_is_the_next_replys_seed():
    shelf = Shelf()
    runtime = wake(shelf, temperature=1.5)
    runtime.say("One")
    runtime.set("seed", 77)
    runtime.say("Two")
    runtime.say("Three")
    assert [record["seed"] for record in turns(shelf)] == [5, 77, 78]


def test_set_is_kept_by_the_organ_and_none_is_the_default_again():
    shelf = Shelf()
    runtime = wake(shelf)
    assert runtime.set("temperature", 1.5) == 1.5
    runtime.say("Hello")
    assert turns(shelf)[0]["sampling"]["temperature"] == 1.5
    assert shelf.states["sampling"].values == {"temperature": 1.5}
    assert runtime.set("temperature", None) == 0.0


@pytest.mark.parametrize(
    ("name", "value"), [("temprature", 1), ("top_p", 7), ("max_tokens", 0), ("seed", 1.5)]
)
def test_a_setting_that_cannot_be_is_refused_and_nothing_changes(name, value):
    runtime = wake()
    before = runtime.settings()
    with pytest.raises(UsageError):
        runtime.set(name, value)
    assert runtime.settings() == before


def test_a_system_text_enters_after_the_core_and_recomputes():
    runtime = wake()
    runtime.say("Hello")
    runtime.set_system("Speak softly.")
    assert runtime.system == "Speak softly."
    assert [segment.role for segment in runtime._life.context.prefix] == ["core", "system"]
    events = list(runtime.turn("And?"))
    assert only(events, Recomputed).reason == "system changed"
    runtime.set_system(None)
    assert runtime.system is None


def test_a_system_text_that_fills_the_window_is_refused():
    runtime = wake(window=256)
    with pytest.raises(UsageError, match="no room"):
        runtime.set_system("x" * 400)
    assert runtime.system is None


def test_a_closed_runtime_says_so():
    runtime = wake()
    runtime.close()
    runtime.close()
    with pytest.raises(StateError, match="closed"):
        runtime.say("Hello")
