import threading

import pytest
import tiny
import torch
from runtime_rig import Shelf, wake

from anima.context import Segment
from anima.errors import ContextError, ModelError, StateError, StorageError, UsageError
from anima.events import Perceived, Persisted, Recomputed, Replied, Token
from anima.organ import Contribution, Delta, OrganState
from anima.runtime.opening import context_of
from anima.runtime.record import fold


def kinds(events):
    return [type(event).__name__ for event in events]


def turns(shelf):
    return [record for record in shelf.records if record["record"] == "turn"]


def only(events, kind):
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


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
    other._feed.drop()
    assert other.say("And now?") == continued


def test_with_all_organs_off_the_logits_are_bit_identical_to_the_bare_model():
    runtime = wake()
    runtime.switch("sampling", False)
    asked = runtime._context.ask([Segment(role="user", text="Hello")]).tokens().ids
    with torch.no_grad():
        bare = tiny.llama()(torch.tensor([asked]), logits_to_keep=1).logits[0, -1]
    assert torch.equal(runtime.logits("Hello"), bare)


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


def test_the_sampling_organ_switched_off_leaves_the_models_defaults():
    shelf = Shelf()
    runtime = wake(shelf)
    runtime.set("temperature", 1.5)
    runtime.switch("sampling", False)
    runtime.say("Hello")
    assert turns(shelf)[0]["sampling"]["temperature"] == 0.0
    assert turns(shelf)[0]["organs"] == ["prism"]


def test_a_system_text_enters_after_the_core_and_recomputes():
    runtime = wake()
    runtime.say("Hello")
    runtime.set_system("Speak softly.")
    assert runtime.system == "Speak softly."
    assert [segment.role for segment in runtime._context.prefix] == ["core", "system"]
    events = list(runtime.turn("And?"))
    assert only(events, Recomputed).reason == "system changed"
    runtime.set_system(None)
    assert runtime.system is None


def test_a_system_text_that_fills_the_window_is_refused():
    runtime = wake(window=256)
    with pytest.raises(UsageError, match="no room"):
        runtime.set_system("x" * 400)
    assert runtime.system is None


def test_clear_starts_a_new_session_without_history():
    shelf = Shelf()
    runtime = wake(shelf)
    runtime.say("Hello")
    assert runtime.clear() == runtime.session == "s2"
    assert runtime.turns == 0
    fresh = only(list(wake().turn("Hello")), Replied).text
    assert runtime.say("Hello") == fresh


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
    assert runtime.say("Still there?")


def test_a_reply_ends_when_the_window_is_full():
    runtime = wake(window=256, max_tokens=1000)
    replied = only(list(runtime.turn("Hello")), Replied)
    assert (replied.finish, replied.context_used) == ("context", 256)


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


def test_a_closed_runtime_says_so():
    runtime = wake()
    runtime.close()
    runtime.close()
    with pytest.raises(StateError, match="closed"):
        runtime.say("Hello")


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
    assert context_of(tiny.loaded().tokenizer, history).tokens() == runtime._context.tokens()
    assert len(history.turns) == runtime.turns
    assert history.draws == 7


class Diary:
    """An organ that contributes, hears every token, learns a number, and can take it back."""

    name = "diary"

    def __init__(self, **contribution):
        self.contribution = Contribution(**contribution)
        self.heard = []
        self.total = 0

    def contribute(self, turn):
        self.heard = []
        return self.contribution

    def observe(self, reading):
        self.heard.append(reading.id)

    def finish(self):
        self.total += len(self.heard)
        return (), Delta(values={"added": len(self.heard)})

    def undo(self, delta):
        self.total -= delta.values["added"]

    def state(self):
        return OrganState(schema=1, values={"total": self.total})

    def load(self, state):
        self.total = state.values["total"]


def with_organ(organ, shelf=None, **settings):
    runtime = wake(shelf, **settings)
    runtime._organs[organ.name] = organ
    return runtime


def test_an_organ_hears_every_token_and_its_delta_is_recorded_and_undone():
    shelf, diary = Shelf(), Diary()
    runtime = with_organ(diary, shelf)
    runtime.say("Hello")
    assert diary.total == 8
    assert turns(shelf)[0]["deltas"] == {"diary": {"added": 8}}
    runtime.undo()
    assert diary.total == 0


def test_an_error_of_the_model_leaves_everything_as_before_the_turn():
    def broken(h):
        if h.shape[1] == 1:
            raise ModelError("burst")

    shelf, diary = Shelf(), Diary(taps={0: (broken,)})
    runtime = with_organ(diary, shelf)
    with pytest.raises(ModelError, match="burst"):
        runtime.say("Hello")
    assert (diary.total, runtime.turns, turns(shelf)) == (0, 0, [])
    diary.contribution = Contribution()
    assert runtime.say("Hello") == wake().say("Hello")


def test_ctrl_c_raised_inside_a_turn_keeps_the_partial_and_trusts_no_half_written_cache():
    def pressed(h):
        if h.shape[1] == 1:
            raise KeyboardInterrupt

    shelf, diary = Shelf(), Diary(taps={0: (pressed,)})
    runtime = with_organ(diary, shelf)
    with pytest.raises(KeyboardInterrupt):
        runtime.say("Hello")
    assert [(r["finish"], len(r["reply_ids"])) for r in turns(shelf)] == [("stopped", 1)]
    diary.contribution = Contribution()
    events = list(runtime.turn("More"))
    assert only(events, Recomputed).reason == "resumed"
    assert turns(shelf)[1]["fresh"]


def test_an_organs_segments_taps_and_biases_reach_the_model():
    bias = torch.zeros(259)
    bias[100] = 1000
    assert set(with_organ(Diary(logit_bias=bias)).say("Hi")) == {
        tiny.loaded().tokenizer.decode([100])
    }
    direction = torch.randn(32, generator=torch.Generator().manual_seed(1))
    pushed = with_organ(Diary(taps={1: (lambda h: 20 * direction,)}))
    assert pushed.say("Hi") != wake().say("Hi")
    seen = []

    def attention(ids):
        seen.append(len(ids))
        return torch.zeros(3, 1, 4, 1, len(ids))

    runtime = with_organ(Diary(attention_bias=attention))
    assert runtime.say("Hi") == wake().say("Hi")
    assert seen == list(range(seen[0], seen[0] + 8))
    quoted = with_organ(Diary(segments=(Segment(role="memory", text="[1] note. "),)))
    quoted.say("Hi")
    assert "memory" in quoted._context.tokens().roles


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
    while len(runtime._context.exchanges) == runtime.turns:
        runtime.say(f"question {runtime.turns}")
    tokens, count = runtime._context.tokens(), runtime.turns
    runtime.fork()
    assert (runtime._context.tokens(), runtime.turns) == (tokens, count)


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
