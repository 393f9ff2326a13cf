import threading

import pytest
import tiny
import torch
from prism_rig import dense, furnished, mode
from runtime_rig import Shelf, wake

from anima.errors import ModelError, SteeringError
from anima.events import ModeChanged, Recomputed, Replied, Steered, Thinking, Token
from anima.prism.force import force_of

ENGINES = ["reference", "fast"]


@pytest.fixture
def furniture(tmp_path):
    return furnished(tmp_path)


class ByFirstWord:
    """Chooses the mode that a text names first, surely."""

    labels = ("off", "dream", "plain")
    fingerprint = "tiny-0"

    def on(self, reader):
        return self

    def chances(self, text):
        wanted = text.split()[0]
        return {label: 0.98 if label == wanted else 0.01 for label in self.labels}


def turns(shelf):
    return [record for record in shelf.records if record["record"] == "turn"]


def only(events, kind):
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mode_changes_what_is_said_and_off_gives_back_the_bare_model_bit_for_bit(
    furniture, engine
):
    runtime = wake(furniture=furniture, loaded=tiny.loaded(engine=engine))
    bare = wake(loaded=tiny.loaded(engine=engine)).logits("Hello")
    assert torch.equal(runtime.logits("Hello"), bare)
    runtime.mode = "dream"
    assert not torch.equal(runtime.logits("Hello"), bare)
    runtime.mode = "off"
    assert torch.equal(runtime.logits("Hello"), bare)


def test_strength_zero_is_bit_identical(furniture):
    runtime = wake(furniture=furniture)
    bare = runtime.logits("Hello")
    runtime.prism.set("dream", 0)
    assert runtime.mode == "dream"
    assert torch.equal(runtime.logits("Hello"), bare)


def test_only_content_tokens_are_pushed(furniture):
    runtime = wake(furniture=furniture, max_tokens=5)
    runtime.mode = "dream"
    list(runtime.turn("Hello"))
    (record,) = runtime.prism.pushes()
    # Five letters asked, and the reply's tokens but the last, which no call has read.
    assert record.tokens == len("Hello") + 4
    roles = {token.role for token in runtime.prism.why()}
    assert roles == {"user", "assistant"}


def test_a_turn_says_what_was_pushed_and_its_record_holds_every_coefficient(furniture):
    shelf = Shelf()
    runtime = wake(shelf, furniture=furniture)
    runtime.mode = "dream"
    events = list(runtime.turn("Hello"))
    steered = only(events, Steered)
    assert steered.mode == "dream"
    assert 0 < steered.scaled <= 1
    assert 0 < steered.share == pytest.approx(runtime.prism.share)
    recorded = turns(shelf)[0]["deltas"]["prism"]
    ((first, digest),) = recorded["schedule"]
    assert first == 0
    force = force_of(recorded["forces"][digest], "test")
    assert force.modes == (mode(),)
    assert recorded["pushes"] == [record.as_json() for record in runtime.prism.pushes()]


def test_coefficients_are_written_once_in_each_session(furniture):
    shelf = Shelf()
    runtime = wake(shelf, furniture=furniture)
    runtime.mode = "dream"
    runtime.say("Hello")
    runtime.say("More")
    runtime.clear()
    runtime.say("Again")
    told = [len(turn["deltas"]["prism"]["forces"]) for turn in turns(shelf)]
    assert told == [1, 0, 1]


def test_a_switch_while_a_reply_streams_acts_from_the_next_token_on(furniture):
    steered, plain = wake(furniture=furniture, max_tokens=12), wake(max_tokens=12)
    ids = []
    for event in steered.turn("Hello"):
        if isinstance(event, Token):
            ids.append(event.id)
            if len(ids) == 6:
                steered.mode = "plain"
    expected = [event.id for event in plain.turn("Hello") if isinstance(event, Token)]
    # The sixth token was fed after the switch: the seventh is the first that can differ.
    assert ids[:6] == expected[:6]
    assert ids != expected
    (record,) = steered.prism.pushes()
    assert record.tokens == 6


def test_a_switch_from_another_thread_is_taken_between_tokens(furniture):
    runtime = wake(furniture=furniture, max_tokens=30)
    switcher = threading.Thread(target=lambda: runtime.prism.set("dream"))
    for event in runtime.turn("Hello"):
        if isinstance(event, Token) and switcher.ident is None:
            switcher.start()
            switcher.join()
    assert runtime.mode == "dream"
    assert runtime.prism.pushes()[0].tokens == 29


def test_a_mode_that_is_not_there_changes_nothing_and_names_the_nearest(furniture):
    runtime = wake(furniture=furniture)
    runtime.mode = "dream"
    with pytest.raises(SteeringError, match="Did you mean dream"):
        runtime.mode = "draem"
    assert runtime.mode == "dream"


def test_two_modes_at_once_are_scaled_to_the_budget_and_it_is_said(tmp_path):
    furniture = furnished(tmp_path, mode(strength=0.4), mode("system", strength=0.4, feature=5))
    runtime = wake(furniture=furniture)
    runtime.mode = "dream+system"
    assert runtime.prism.nominal == pytest.approx(0.4 * 2**0.5, rel=1e-4)
    steered = only(list(runtime.turn("Hello")), Steered)
    assert steered.scaled < 1
    assert steered.share <= 0.5 + 1e-6
    assert {push["label"] for push in steered.pushes} == {"x"}


def test_modes_of_two_layers_are_refused_together(tmp_path):
    furniture = furnished(tmp_path, mode(), dense("low", layer=0))
    runtime = wake(furniture=furniture)
    with pytest.raises(SteeringError, match="layers 0, 1 at once"):
        runtime.mode = "dream+low"
    runtime.mode = "low"
    assert runtime.say("Hello") != wake().say("Hello")


def test_a_push_by_hand_acts_beside_the_mode_until_it_is_taken_off(furniture):
    runtime = wake(furniture=furniture)
    bare = runtime.logits("Hello")
    assert runtime.prism.steer("rain", 0.2).feature == 3
    runtime.prism.steer(5, -0.1, "add")
    assert [push.feature for push in runtime.prism.steers()] == [3, 5]
    assert not torch.equal(runtime.logits("Hello"), bare)
    runtime.prism.steer_off("rain")
    assert [push.feature for push in runtime.prism.steers()] == [5]
    runtime.prism.steer_off()
    assert torch.equal(runtime.logits("Hello"), bare)


@pytest.mark.parametrize(
    ("what", "strength", "said"),
    [
        (99, 0.1, "Feature 99 does not exist"),
        ("snow", 0.1, "No feature's label fits 'snow'"),
        (3, float("nan"), "strength nan"),
        (3, 7.0, "strength 7"),
    ],
)
def test_a_push_that_cannot_be_is_refused_and_the_chat_goes_on(furniture, what, strength, said):
    runtime = wake(furniture=furniture)
    with pytest.raises(SteeringError, match=said):
        runtime.prism.steer(what, strength)
    assert runtime.prism.steers() == []
    assert runtime.say("Hello") == wake().say("Hello")


def test_without_an_sae_dense_modes_work_and_features_are_refused(tmp_path):
    runtime = wake(furniture=furnished(tmp_path, with_book=False))
    problems = {card.name: card.problem for card in runtime.prism.modes()}
    assert problems["plain"] is None
    assert "not loaded" in problems["dream"]
    runtime.mode = "plain"
    assert only(list(runtime.turn("Hello")), Steered).pushes[0]["feature"] is None
    with pytest.raises(SteeringError, match="no SAE"):
        runtime.prism.steer(3, 0.1)


def test_the_mode_outlives_the_session_in_the_personas_state(furniture):
    shelf = Shelf()
    runtime = wake(shelf, furniture=furniture)
    runtime.mode = "dream"
    said = runtime.say("Hello")
    other = wake(furniture=furniture)
    other.prism._organ.load(shelf.states["prism"])
    assert other.mode == "dream"
    assert other.say("Hello") == said


def test_a_mode_of_another_model_is_off_when_the_persona_wakes_and_it_is_said(furniture, tmp_path):
    shelf = Shelf()
    runtime = wake(shelf, furniture=furniture)
    runtime.mode = "dream"
    runtime.say("Hello")
    other = wake(furniture=furnished(tmp_path / "other", with_book=False))
    other.prism._organ.load(shelf.states["prism"])
    assert other.mode == "off"
    assert "The mode is off" in other.prism.notices[0]


def test_recompute_reads_the_conversation_again_after_a_switch_and_keep_does_not(furniture):
    for on_switch, reasons in (("keep", []), ("recompute", ["mode switched"])):
        runtime = wake(furniture=furniture, on_switch=on_switch)
        runtime.say("Hello")
        runtime.mode = "dream"
        events = list(runtime.turn("More"))
        assert [e.reason for e in events if isinstance(e, Recomputed)] == reasons
        again = list(runtime.turn("And more"))
        assert not [e for e in again if isinstance(e, Recomputed)]


def test_recomputed_is_what_would_have_been_said_in_that_mode_from_the_start(furniture):
    runtime = wake(furniture=furniture, on_switch="recompute")
    first = runtime.say("Hello")
    runtime.mode = "dream"
    switched = runtime.say("More")
    other = wake(furniture=furniture)
    other.mode = "dream"
    context = (
        runtime._life.context.without_last()
        .without_last()
        .ask(runtime._life.context.exchanges[0].segments)
    )
    other._life.context = context.reply(runtime._life.context.exchanges[0].reply_ids)
    other.forget()
    assert first
    assert other.say("More") == switched


@pytest.mark.parametrize("control", ["off", "zombie"])
def test_under_off_and_zombie_nothing_is_applied(furniture, control):
    runtime = wake(furniture=furniture, control=control)
    runtime.mode = "dream"
    assert torch.equal(runtime.logits("Hello"), wake().logits("Hello"))
    events = list(runtime.turn("Hello"))
    assert (only(events, Steered).share > 0) == (control == "zombie")


@pytest.mark.parametrize("control", ["placebo", "shuffled"])
def test_placebo_and_shuffled_push_something_else_as_strongly_the_same_way_every_time(
    furniture, control
):
    real = wake(furniture=furniture)
    real.mode = "dream"
    arms = []
    for _ in range(2):
        arm = wake(furniture=furniture, control=control)
        arm.mode = "dream"
        arms.append(arm.logits("Hello"))
    assert torch.equal(arms[0], arms[1])
    assert not torch.equal(arms[0], real.logits("Hello"))
    assert not torch.equal(arms[0], wake().logits("Hello"))


def test_auto_chooses_by_the_text_and_says_so_and_undo_takes_it_back(tmp_path):
    runtime = wake(furniture=furnished(tmp_path, switcher=ByFirstWord()))
    runtime.mode = "auto"
    events = list(runtime.turn("dream of rain"))
    changed = only(events, ModeChanged)
    assert (changed.before, changed.after) == ("off", "dream")
    assert (runtime.mode, runtime.prism.auto) == ("dream", True)
    steered = wake(furniture=furnished(tmp_path / "other"))
    steered.mode = "dream"
    assert only(events, Replied).text == steered.say("dream of rain")
    runtime.undo()
    assert (runtime.mode, runtime.prism.auto) == ("off", True)


def test_a_preview_under_auto_changes_nothing(tmp_path):
    runtime = wake(furniture=furnished(tmp_path, switcher=ByFirstWord()))
    runtime.mode = "auto"
    list(runtime.preview("dream of rain"))
    assert runtime.mode == "off"


def test_a_mode_set_by_hand_ends_auto(tmp_path):
    runtime = wake(furniture=furnished(tmp_path, switcher=ByFirstWord()))
    runtime.mode = "auto"
    runtime.mode = "plain"
    runtime.say("dream of rain")
    assert (runtime.mode, runtime.prism.auto) == ("plain", False)


def test_auto_without_a_classifier_is_refused(furniture):
    with pytest.raises(SteeringError, match="no classifier"):
        wake(furniture=furniture).mode = "auto"


def test_a_modes_sampling_is_in_force_with_it_and_a_persons_own_setting_goes_before(tmp_path):
    shelf = Shelf()
    furniture = furnished(tmp_path, mode(sampling={"temperature": 0.9, "top_p": 0.8}))
    runtime = wake(shelf, furniture=furniture)
    runtime.mode = "dream"
    runtime.set("temperature", 0.4)
    runtime.say("Hello")
    sampling = turns(shelf)[0]["sampling"]
    assert (sampling["temperature"], sampling["top_p"]) == (0.4, 0.8)


def test_why_names_each_content_tokens_features_and_pushes(furniture):
    runtime = wake(furniture=furniture, max_tokens=4)
    runtime.mode = "dream"
    runtime.say("Hi")
    tokens = runtime.prism.why(top=2)
    assert [token.text for token in tokens[:2]] == ["H", "i"]
    assert all(len(token.features) <= 2 for token in tokens)
    assert all(token.pushes[0].label == "x" for token in tokens)
    assert runtime.prism.firing(3)[0].activation > 0


def test_why_leaves_out_what_a_turn_read_again_of_the_turns_before_it(furniture):
    runtime = wake(furniture=furniture, max_tokens=4, on_switch="recompute")
    runtime.say("Hello")
    runtime.mode = "dream"
    runtime.say("Hi")
    assert len(runtime.turn_record(2)["ids"]) > len(runtime.turn_record(1)["ids"])
    tokens = runtime.prism.why()
    assert [(each.text, each.role) for each in tokens[:2]] == [("H", "user"), ("i", "user")]
    assert len([each for each in tokens if each.role == "assistant"]) == 3
    assert all(each.pushes for each in tokens)
    assert all(
        each.position > len(runtime.turn_record(1)["ids"]) for each in runtime.prism.firing(3)
    )


@pytest.mark.parametrize("crops", [True, False])
@pytest.mark.parametrize("on_switch", ["keep", "recompute"])
def test_why_of_a_turn_that_thought_gives_the_answers_own_tokens(
    furniture, monkeypatch, crops, on_switch
):
    loaded = tiny.loaded(window=4096)
    runtime = wake(furniture=furniture, loaded=loaded, max_tokens=4, on_switch=on_switch)
    if not crops:
        monkeypatch.setattr(type(loaded.trunk.cache()), "crop", no_crop)
    runtime.say("Hello")
    runtime.mode = "dream"
    list(runtime.think("Hi"))
    record = runtime.turn_record(2)
    tokens = runtime.prism.why()
    decode = runtime.tokenizer.decode
    # The last token of the reply was never read.
    replied = [decode([each]) for each in record["reply_ids"][:-1]]
    assert [each.text for each in tokens if each.role == "assistant"] == replied
    asked = "".join(each.text for each in tokens if each.role == "user")
    assert asked.endswith("Now give the final answer, in short.")
    assert asked in decode(record["ids"])
    assert all(each.pushes and each.share > 0 for each in tokens)
    computed = len(record["ids"]) + len(replied)
    assert all(0 <= each.position < computed for each in runtime.prism.firing(3))


def test_a_thinking_turn_that_was_stopped_in_a_stage_has_no_token_of_its_own(furniture):
    runtime = wake(furniture=furniture, loaded=tiny.loaded(window=4096), max_tokens=4)
    for event in runtime.think("Hi"):
        if isinstance(event, Thinking):
            runtime.stop()
    assert runtime.turn_record(1)["finish"] == "stopped"
    assert runtime.prism.why() == runtime.prism.firing() == []


def no_crop(cache, length):
    raise ModelError("This cache gives nothing back.")


def test_a_turn_that_is_not_there_cannot_be_asked_why(furniture):
    runtime = wake(furniture=furniture)
    with pytest.raises(SteeringError, match="no turn"):
        runtime.prism.why()
    runtime.say("Hello")
    with pytest.raises(SteeringError, match="There is no turn 7"):
        runtime.prism.pushes(7)


def test_switched_off_the_organ_takes_no_part(furniture):
    runtime = wake(furniture=furniture)
    runtime.mode = "dream"
    runtime.switch("prism", False)
    assert torch.equal(runtime.logits("Hello"), wake().logits("Hello"))
