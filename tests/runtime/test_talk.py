import threading

import pytest
import tiny
import torch
from runtime_rig import Shelf, kinds, only, turns, wake

from anima.errors import ContextError, UsageError
from anima.events import Perceived, Recomputed, Replied, Token


def test_only_new_tokens_are_prefilled_on_a_second_turn():
    shelf = Shelf()
    runtime = wake(shelf)
    runtime.say("Hello")
    perceived = only(list(runtime.turn("And now?")), Perceived)
    asked = len("And now?")
    # The last token of the first reply, its closing literal, the question, the opening of the answer.
    assert perceived.new_tokens < asked + 40 < perceived.prompt_tokens
    assert [call[0] for call in turns(shelf)[1]["calls"]] == ["prefill", "decode"]


def test_a_second_turn_says_what_a_fresh_prefill_of_everything_says():
    runtime = wake()
    runtime.say("Hello")
    continued = runtime.say("And now?")
    other = wake()
    other.say("Hello")
    other._talk._feed.drop()
    assert other.say("And now?") == continued


def test_logits_ignore_history_and_change_nothing():
    shelf = Shelf()
    runtime = wake(shelf)
    before = runtime.logits("Hello")
    runtime.say("Something else")
    records, status = list(shelf.records), runtime.status()
    assert torch.equal(runtime.logits("Hello"), before)
    assert (shelf.records, runtime.status()) == (records, status)


def test_stop_ends_the_reply_at_the_next_token_and_keeps_the_partial():
    shelf = Shelf()
    runtime = wake(shelf, max_tokens=200)
    events = []
    for event in runtime.turn("Hello"):
        events.append(event)
        if isinstance(event, Token) and len(events) == 4:
            runtime.stop()
    assert kinds(events) == ["Perceived", "Token", "Token", "Token", "Replied", "Persisted"]
    assert only(events, Replied).finish == "stopped"
    assert turns(shelf)[0]["finish"] == "stopped"
    assert runtime.turns == 1


def test_stop_from_another_thread_ends_a_long_reply():
    runtime = wake(max_tokens=100_000, window=512)
    events = []
    for event in runtime.turn("Hello"):
        events.append(event)
        if len(events) == 3:
            presser = threading.Thread(target=runtime.stop)
            presser.start()
            presser.join()
    assert only(events, Replied).tokens == 2


def test_a_stop_before_a_turn_does_not_stop_it():
    runtime = wake()
    runtime.stop()
    assert only(list(runtime.turn("Hello")), Replied).finish == "length"


def test_closing_the_iterator_commits_the_partial_marked_as_stopped():
    shelf = Shelf()
    runtime = wake(shelf)
    running = runtime.turn("Hello")
    for _ in range(4):
        next(running)
    running.close()
    (record,) = turns(shelf)
    assert (record["finish"], len(record["reply_ids"])) == ("stopped", 3)
    assert only(list(runtime.turn("More")), Replied).finish == "length"


def test_a_full_context_drops_its_oldest_turns_and_says_so():
    shelf = Shelf()
    runtime = wake(shelf, window=640, loaded=tiny.loaded(window=640))
    events = []
    while not events or not isinstance(events[0], Recomputed):
        events = list(runtime.turn(f"question number {len(turns(shelf))}"))
    recomputed = events[0]
    assert recomputed.reason == "rolled over"
    assert recomputed.dropped_turns == turns(shelf)[-1]["dropped"] > 0
    assert only(events, Perceived).prompt_tokens + 8 <= 320
    assert runtime.turns == len(turns(shelf)) > 5


def test_a_message_larger_than_the_window_is_refused_and_nothing_is_lost():
    shelf = Shelf()
    runtime = wake(shelf, window=256)
    runtime.say("Hello")
    with pytest.raises(ContextError, match="window of 256"):
        list(runtime.turn("x" * 300))
    assert runtime.turns == 1
    assert len(turns(shelf)) == 1
    events = list(runtime.turn("Still there?"))
    assert only(events, Replied).text
    assert not any(isinstance(event, Recomputed) for event in events)  # nothing was forgotten


def test_a_reply_ends_when_the_window_is_full():
    runtime = wake(window=256, max_tokens=1000)
    replied = only(list(runtime.turn("Hello")), Replied)
    assert (replied.finish, replied.context_used) == ("context", 256)


def test_a_long_prompt_is_prefilled_in_chunks_between_which_a_stop_acts():
    shelf = Shelf()
    runtime = wake(shelf, loaded=tiny.loaded(window=4096))
    calls = []

    def pressing(draft):
        calls.append(len(draft.calls))
        return len(draft.calls) == 2

    events = list(runtime.run("x" * 2000, 5, 8, stopped=pressing))
    assert only(events, Replied).tokens == 0
    assert turns(shelf)[0]["calls"] == [["prefill", 512], ["prefill", 512]]
    assert runtime.say("short")


def test_a_preview_says_what_the_turn_would_say_and_changes_nothing():
    shelf = Shelf()
    runtime = wake(shelf)
    runtime.say("Hello")
    records, status = list(shelf.records), runtime.status()
    shown = only(list(runtime.preview("And?")), Replied).text
    other = only(list(runtime.preview("And?", temperature=2.0, max_tokens=3)), Replied)
    assert (shelf.records, runtime.status()) == (records, status)
    assert other.tokens == 3
    assert runtime.say("And?") == shown
    assert [call[0] for call in turns(shelf)[1]["calls"]] == ["prefill", "decode"]


def test_a_preview_without_a_text_asks_the_last_turn_again_where_it_was_asked():
    runtime = wake()
    runtime.say("Hello")
    said = runtime.say("And?")
    assert only(list(runtime.preview()), Replied).text == said
    with pytest.raises(UsageError, match="no turn"):
        next(wake().preview())
    with pytest.raises(UsageError, match="Did you mean temperature"):
        runtime.preview("x", temprature=1)
