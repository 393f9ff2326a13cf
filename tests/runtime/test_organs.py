import pytest
import tiny
import torch
from runtime_rig import Shelf, only, turns, wake

from anima.context import Segment
from anima.errors import ModelError
from anima.events import Recomputed
from anima.organ import Contribution, Delta, OrganState


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
    return wake(shelf, organs=(organ,), **settings)


def test_with_all_organs_off_the_logits_are_bit_identical_to_the_bare_model():
    runtime = wake()
    runtime.switch("sampling", False)
    asked = runtime._life.context.ask([Segment(role="user", text="Hello")]).tokens().ids
    with torch.no_grad():
        bare = tiny.llama()(torch.tensor([asked]), logits_to_keep=1).logits[0, -1]
    assert torch.equal(runtime.logits("Hello"), bare)


def test_the_sampling_organ_switched_off_leaves_the_models_defaults():
    shelf = Shelf()
    runtime = wake(shelf)
    runtime.set("temperature", 1.5)
    runtime.switch("sampling", False)
    runtime.say("Hello")
    assert turns(shelf)[0]["sampling"]["temperature"] == 0.0
    assert turns(shelf)[0]["organs"] == ["prism"]


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
    assert "memory" in quoted._life.context.tokens().roles
