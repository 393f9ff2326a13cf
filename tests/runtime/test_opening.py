import json
import sys
from dataclasses import replace

import pytest
import tiny
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import anima
from anima.home import find_home
from anima.persona.session import read_session, sessions
from anima.runtime.replay import replay
from anima.trunk import loader

SETTINGS = {"temperature": 1.2, "max_tokens": 12, "seed": 3, "device": "cpu"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny.save(tmp_path_factory.mktemp("model")))


def opened(model, **more):
    return anima.open(model=model, **{**SETTINGS, **more})


def home():
    import os

    return find_home(None, os.environ)


def test_a_persona_is_there_again_with_its_conversation(model):
    with opened(model) as first:
        said = [first.say("Hello"), first.say("And more?")]
        session = first.session
    with opened(model, session="continue") as second:
        assert (second.session, second.turns) == (session, 2)
        texts = [event for event in second.turn("Third") if isinstance(event, anima.Recomputed)]
        assert texts[0].reason == "resumed"
    with opened(model) as third:
        assert third.session != session
        assert third.turns == 0
    records = read_session(home(), "default", session)
    assert [r["reply"] for r in records if r["record"] == "turn"][:2] == said


def test_continue_starts_a_session_where_there_is_none(model):
    with opened(model, session="continue") as runtime:
        assert runtime.turns == 0
        runtime.say("Hello")
    assert len(sessions(home(), "default")) == 1


def test_a_session_can_be_named_by_its_beginning(model):
    with opened(model) as first:
        first.say("Hello")
        name = first.session
    with opened(model) as other:
        other.say("Something else")
    with opened(model, session=name[:-1]) as again:
        assert (again.session, again.turns) == (name, 1)


def test_an_unknown_session_is_an_error_that_says_what_there_is(model):
    with opened(model) as first:
        first.say("Hello")
    with pytest.raises(anima.StateError, match="20990101"):
        opened(model, session="20990101")


def test_settings_of_a_person_stay_with_the_persona(model):
    with opened(model) as first:
        first.set("top_k", 7)
    with opened(model) as second:
        assert second.settings()["top_k"] == 7


def test_ephemeral_keeps_nothing(model):
    with opened(model, ephemeral=True) as runtime:
        runtime.say("Hello")
    assert sessions(home(), "default") == []


def test_a_replayed_session_matches_turn_for_turn_whatever_was_done_in_it(model):
    with opened(model) as runtime:
        runtime.say("Hello")
        runtime.set("temperature", 0.9)
        list(runtime.regenerate())
        runtime.set_system("Softly.")
        for number, event in enumerate(runtime.turn("A longer one, please")):
            if number == 4 and isinstance(event, anima.Token):
                runtime.stop()
        running = runtime.turn("left early")
        for _ in range(3):
            next(running)
        running.close()
        runtime.forget()
        runtime.say("after an accident")
        session = runtime.session
    with opened(model, session=session, seed=None) as runtime:
        runtime.say("Back again")
        runtime.undo()
        runtime.say("Last")
    outcomes = list(replay(home(), "default", session))
    assert [(o.turn, o.difference) for o in outcomes] == [(n, None) for n in (1, 1, 2, 3, 4, 5, 5)]


def test_forked_loaded_and_cleared_sessions_replay(model):
    with opened(model) as runtime:
        runtime.set_system("Softly.")
        runtime.say("Hello")
        first = runtime.session
        fork = runtime.fork()
        runtime.say("In the copy")
        runtime.load(first)
        runtime.say("In the original")
        cleared = runtime.clear()
        runtime.set("top_k", 9)
        runtime.say("Anew")
    for session, count in ((first, 2), (fork, 1), (cleared, 1)):
        outcomes = list(replay(home(), "default", session))
        assert [outcome.difference for outcome in outcomes] == [None] * count
    with opened(model, session=fork) as runtime:
        assert runtime.turns == 2
        assert runtime.system == "Softly."


def test_a_system_text_given_with_an_old_session_takes_effect(model):
    with opened(model) as runtime:
        runtime.say("Hello")
    with opened(model, session="continue", system="Softly.") as runtime:
        assert runtime.system == "Softly."
        runtime.say("More")
    assert all(outcome.matched for outcome in replay(home(), "default", runtime.session))


def tampered(session, change):
    """Rewrite the first turn of a session file as somebody with an editor would."""
    path = home().persona("default") / "sessions" / f"{session}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        record = json.loads(line)
        if record["record"] == "turn":
            change(record)
            lines[number] = json.dumps(record)
            break
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r.update(reply="I promise."), "reply differs"),
        (lambda r: r.update(text="Other"), "differ"),
        (lambda r: r.update(seed=99), "from its token"),
        (lambda r: r["sampling"].update(temperature=0.0), "sampling"),
        (lambda r: r.pop("fresh"), "not whole"),
        (lambda r: r.update(seed="soon"), "not whole"),
    ],
)
def test_a_tampered_record_is_reported_and_the_turns_after_it_judged_on_their_own(
    model, change, told
):
    with opened(model) as runtime:
        runtime.set("temperature", 0.9)
        for text in ("Hello", "Second", "Third"):
            runtime.say(text)
        session = runtime.session
    tampered(session, change)
    first, *others = replay(home(), "default", session)
    assert told in first.difference
    assert [each.difference for each in others] == [None, None]


def test_a_turn_is_judged_on_the_reply_before_it_as_it_is_recorded(model):
    with opened(model) as runtime:
        runtime.say("Hello")
        runtime.say("Second")
        session = runtime.session
    tampered(session, lambda r: r["reply_ids"].__setitem__(3, 77))
    first, second = replay(home(), "default", session)
    assert "from its token 4 on" in first.difference
    assert "the reply differs" in second.difference


def test_a_record_without_its_reply_ends_the_replay_where_a_turn_follows_it(model):
    with opened(model) as runtime:
        runtime.say("Hello")
        runtime.say("Second")
        session = runtime.session
    tampered(session, lambda r: r.pop("reply_ids"))
    outcomes = replay(home(), "default", session)
    assert not next(outcomes).matched
    with pytest.raises(anima.CorruptStateError, match="Turn 1 does not say"):
        next(outcomes)


def test_a_model_that_is_no_llama_chats_and_is_there_again(tmp_path):
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=32, vocab_size=259, n_positions=256, eos_token_id=2,
        bos_token_id=1,
    )  # fmt: skip
    folder = str(tiny.save(tmp_path / "gpt", GPT2LMHeadModel(config)))
    with opened(folder) as runtime:
        assert runtime.info.layers == 2
        said = runtime.say("Hello")
        assert runtime.say("More")
    outcomes = list(replay(home(), "default", runtime.session))
    assert [o.matched for o in outcomes] == [True, True]
    assert said


def test_a_session_of_another_model_is_read_anew(model, tmp_path):
    with opened(model) as runtime:
        runtime.say("Hello")
        first = runtime.session
        runtime.clear()
        runtime.say("Another")
    other = str(tiny.save(tmp_path / "other", tiny.llama(seed=9)))
    with opened(other, session="continue") as runtime:
        assert any("another model" in notice for notice in runtime.notices)
        assert runtime.turns == 1
        assert runtime.say("Again")
        told = len(runtime.notices)
        runtime.load(first)
        assert "another model" in runtime.notices[told]


def test_a_second_opening_of_one_persona_is_refused_and_ephemeral_is_the_way_out(model):
    with opened(model) as runtime:
        runtime.say("Hello")
        with pytest.raises(anima.BusyError, match="--ephemeral"):
            opened(model)
        with opened(model, ephemeral=True, session="continue") as copy:
            assert copy.turns == 1


def test_a_model_without_a_chat_template_is_refused(tmp_path):
    folder = tiny.save(tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(anima.ModelError, match="no chat template"):
        opened(str(folder))


def test_a_folder_without_weights_is_refused_by_name(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(anima.ModelError, match=r"no \*\.safetensors"):
        opened(str(tmp_path / "empty"))


def test_truncated_weights_are_a_model_error(tmp_path):
    folder = tiny.save(tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(anima.ModelError, match="could not be loaded"):
        opened(str(folder))


def test_an_unreachable_hub_names_the_model_the_cause_and_what_to_do():
    with pytest.raises(
        anima.ModelError, match=r"nobody/nothing could not be fetched.*--model PATH"
    ):
        opened("nobody/nothing")


def test_a_setting_that_does_not_exist_names_the_nearest(model):
    with pytest.raises(anima.UsageError, match="Did you mean max_tokens"):
        anima.open(model=model, max_token=3)


def test_a_device_that_is_not_there_says_which_to_choose(model):
    missing = "mps" if sys.platform != "darwin" else "cuda"
    with pytest.raises(anima.UsageError, match=f"no usable {missing}"):
        opened(model, device=missing)


@pytest.mark.parametrize("lacking", [("litany_guard",), ("repeat_guard", "litany_guard")])
def test_a_record_of_before_there_was_a_guard_is_run_again_without_one(model, monkeypatch, lacking):
    with opened(model) as runtime:
        runtime.say("Hello")
        session = runtime.session
    path = home().persona("default") / "sessions" / f"{session}.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for record in records:
        for name in lacking:
            record.get("sampling", {}).pop(name, None)
            record.get("settings", {}).pop(name, None)
    lines = [json.dumps(record, separators=(",", ":")) for record in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    load = loader.load
    guarded = dict.fromkeys(lacking, 1.0)
    monkeypatch.setattr(
        loader, "load", lambda *given, **more: replace(load(*given, **more), sampling=guarded)
    )
    assert [each.difference for each in replay(home(), "default", session)] == [None]
