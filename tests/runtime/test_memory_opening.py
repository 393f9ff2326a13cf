"""A persona's memory over its lives: kept, replayed, rolled back, copied, encrypted."""

import json
import os

import pytest
import tiny

import anima
from anima.cli import main
from anima.config import Settings
from anima.home import find_home
from anima.memory import Memory, Secret
from anima.persona.archive import pack, unpack
from anima.persona.moving import copy_persona, remove_persona, rename_persona
from anima.runtime.remembering import reading
from anima.runtime.replay import replay

SETTINGS = {"temperature": 0.7, "max_tokens": 6, "seed": 3, "device": "cpu", "engine": "reference"}
TOLD = "My sister is called Clara."
ASKED = "What is my sister called?"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny.save(tmp_path_factory.mktemp("model"), tiny.llama(window=4096)))


def opened(model, **more):
    return anima.open(model=model, **{**SETTINGS, **more})


def home():
    return find_home(None, os.environ)


def folder(persona="default"):
    return home().persona(persona)


def recalled(runtime):
    return [line["text"] for line in runtime.last["deltas"]["memory"]["recalled"]]


def outcomes(session):
    return [(each.turn, each.difference) for each in replay(home(), "default", session)]


def test_what_was_told_in_one_session_is_recalled_in_another(model):
    with opened(model) as first:
        first.say(TOLD)
    with opened(model) as second:
        second.say(ASKED)
        assert TOLD in recalled(second)
    with opened(model, memory="off") as third:
        third.say(ASKED)
        assert "memory" not in third.last["deltas"]
        assert [each["role"] for each in third.last["segments"]] == ["user"]


def test_a_memory_that_was_off_for_a_while_is_there_again(model):
    with opened(model) as first:
        first.say(TOLD)
    with opened(model, memory="off") as second:
        second.say("Hello there, old friend")
    with opened(model) as third:
        assert [line.text for line in third.memory.peek(9)][-1] == TOLD
        assert third.notices == ()


def test_a_turn_undone_while_the_memory_was_off_is_forgotten_when_it_is_on_again(model):
    with opened(model) as first:
        first.say(TOLD)
        first.say("The cat is grey.")
        first.say("I fly to Rome.")
        session = first.session
    for texts in (["I fly to Rome."], ["The cat is grey."]):
        with opened(model, session=session, memory="off") as off:
            assert [off.undo()] == texts
            assert "memory" not in off.status()["organs"]
    with opened(model) as again:
        assert {line.context["turn"] for line in again.memory.peek(9)} == {1}
        assert again.notices == ()
        assert again.memory.verify().whole
        before = again.memory.count
    with opened(model, session=session) as once_more:
        assert (once_more.memory.count, once_more.notices) == (before, ())


def test_a_line_of_a_turn_undone_with_the_memory_off_is_not_read_from_the_shell_either(model):
    with opened(model) as first:
        first.say(TOLD)
        session = first.session
    with opened(model, session=session, memory="off") as off:
        off.undo()
    settings = Settings(encoder="none")
    for _ in range(2):
        with reading(home(), settings, clock=lambda: tiny.NOON) as memory:
            assert memory.peek(9) == []


def test_undoing_a_copied_turn_with_the_memory_off_leaves_the_original_session_its_lines(model):
    with opened(model) as first:
        first.say(TOLD)
        fork = first.fork()
        first.say("In the copy")
        first.undo()
    with opened(model, session=fork, memory="off") as off:
        off.undo()
    with opened(model) as again:
        assert TOLD in [line.text for line in again.memory.peek(9)]


def test_turns_with_recalled_lines_replay_without_todays_memory(model):
    with opened(model) as first:
        first.say(TOLD)
    with opened(model) as second:
        second.say(ASKED)
        assert recalled(second)
        second.say("And my brother?")
        list(second.regenerate())
        second.undo()
        second.say("Thanks, that was all")
        session = second.session
    before = outcomes(session)
    assert [difference for _, difference in before] == [None] * 4
    for path in folder().glob("memory.*"):
        path.unlink()
    assert outcomes(session) == before


def test_sessions_that_were_forked_loaded_and_cleared_replay_with_their_recalled_lines(model):
    with opened(model) as runtime:
        runtime.say(TOLD)
        first = runtime.session
        cleared = runtime.clear()
        runtime.say(ASKED)
        assert TOLD in recalled(runtime)
        fork = runtime.fork()
        runtime.say("Is she older than me, Clara?")
        runtime.load(first)
        runtime.say("Where does my sister live?")
    with opened(model, session=fork) as runtime:
        runtime.say("Who is Clara then?")
    for session, count in ((first, 2), (cleared, 1), (fork, 2)):
        assert [difference for _, difference in outcomes(session)] == [None] * count


@pytest.mark.parametrize("where", ["segment", "delta"])
def test_a_tampered_quote_does_not_match(model, where):
    with opened(model) as first:
        first.say(TOLD)
    with opened(model) as second:
        second.say(ASKED)
        session = second.session
    path = folder() / "sessions" / f"{session}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        record = json.loads(line)
        if record["record"] != "turn":
            continue
        if where == "segment":
            part = record["segments"][0]
            part["text"] = part["text"].replace("Clara", "Emily")
        else:
            for each in record["deltas"]["memory"]["recalled"]:
                each["text"] = each["text"].replace("Clara", "Emily")
        lines[number] = json.dumps(record)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert outcomes(session)[0][1] is not None


def test_lines_that_no_commit_holds_are_cut_kept_aside_and_said(model):
    with opened(model) as first:
        first.say(TOLD)
        count = first.memory.count
    with Memory.open(folder() / "memory.sqlite", clock=lambda: tiny.NOON) as ledger:
        ledger.put(None, "Never acknowledged.")
    with opened(model) as second:
        assert second.memory.count == count
        (notice,) = [each for each in second.notices if "no commit holds" in each]
    (kept,) = (folder() / "recovered").glob("memory*.jsonl")
    assert str(kept) in notice
    assert "Never acknowledged." in kept.read_text(encoding="utf-8")


def test_a_memory_that_is_shorter_than_its_commit_is_said(model, tmp_path):
    with opened(model) as first:
        first.say(TOLD)
    older = {path.name: path.read_bytes() for path in folder().glob("memory.*")}
    with opened(model) as second:
        second.say("The cat is grey.")
    for name, content in older.items():
        (folder() / name).write_bytes(content)
    with opened(model) as third:
        assert any("replaced by an older one" in each for each in third.notices)
        third.say("On we go.")
    with opened(model) as fourth:
        assert fourth.notices == ()


def test_where_the_head_falls_back_a_generation_the_memory_follows(model):
    with opened(model) as first:
        first.say(TOLD)
        first.say("The cat is grey.")
    (folder() / "HEAD.json").write_bytes(b"{")
    with opened(model, session="continue") as second:
        assert second.turns == 1
        said = [line.text for line in second.memory.peek(9) if line.role == "user"]
        assert said == [TOLD]
        assert second.memory.verify().whole


def test_what_is_put_outside_a_turn_is_there_after_a_process_that_just_ends(model):
    runtime = opened(model)
    anchor = runtime.memory.put(None, TOLD)
    runtime._life.keeper.close()
    runtime.memory.close()
    with opened(model) as again:
        assert again.notices == ()
        assert again.memory.peek()[0].anchor == anchor


def test_an_erasure_that_no_commit_holds_stands_all_the_same(model):
    with opened(model) as first:
        first.say(TOLD)
        count = first.memory.count
    with Memory.open(folder() / "memory.sqlite", clock=lambda: tiny.NOON) as ledger:
        ledger.put(None, "Never acknowledged.")
        ledger.erase(1)
    with opened(model) as second:
        assert second.memory.verify().whole
        assert second.memory.line(1).content is None
        assert second.memory.count > count
        assert "Never acknowledged." not in [line.text for line in second.memory.peek(9)]


def test_ephemeral_remembers_for_itself_and_keeps_nothing(model):
    with opened(model) as first:
        first.say(TOLD)
        count = first.memory.count
        with opened(model, ephemeral=True) as beside:
            beside.say(ASKED)
            assert TOLD in recalled(beside)
            assert beside.memory.count > count
        assert first.memory.count == count
    with opened(model) as again:
        assert again.memory.count == count


def test_a_copied_exported_and_renamed_persona_has_its_memory_with_its_key(model, tmp_path):
    with opened(model) as first:
        first.say(TOLD)
        head = first.memory.head
    copy_persona(home(), "default", "twin")
    pack(home(), "twin", tmp_path / "twin.anima.zip", now=tiny.NOON)
    unpack(home(), tmp_path / "twin.anima.zip", "third")
    rename_persona(home(), "third", "fourth")
    for persona in ("twin", "fourth"):
        with opened(model, persona=persona) as again:
            assert (again.memory.head, again.notices) == (head, ())
            assert again.memory.verify().whole
            again.memory.put(None, "A line of its own.")
    remove_persona(home(), "twin")
    assert not folder("twin").exists()


def test_an_encrypted_memory_opens_with_its_secret_alone(model):
    with opened(model) as first:
        first.say(TOLD)
        first.memory.encrypt(Secret(passphrase="open sesame"), cost=2**4)
    messages = set()
    for secret in (None, Secret(passphrase="wrong")):
        with pytest.raises(anima.MemoryLocked) as refused:
            opened(model, secret=secret)
        messages.add(str(refused.value))
    assert len(messages) == 1
    with opened(model, secret=Secret(passphrase="open sesame")) as again:
        again.say(ASKED)
        assert TOLD in recalled(again)
    assert b"Clara" not in (folder() / "memory.sqlite").read_bytes()


@pytest.mark.parametrize("ledger", ["json", "sqlite"])
def test_the_ledger_that_is_set_is_made_and_kept_whatever_is_set_later(model, ledger):
    with opened(model, ledger=ledger) as first:
        first.say(TOLD)
    with opened(model, ledger="sqlite") as second:
        assert second.memory.place.suffix == f".{ledger}"
        assert second.memory.count


def test_a_wrong_passphrase_is_refused_before_a_model_is_loaded(model, monkeypatch, capsys):
    with opened(model) as first:
        first.say(TOLD)
        first.memory.encrypt(Secret(passphrase="open sesame"), cost=2**4)
    monkeypatch.setattr("anima.trunk.loader.load", lambda *_, **__: pytest.fail("it was loaded"))
    monkeypatch.setattr("sys.stdin", open(os.devnull, encoding="utf-8"))  # noqa: SIM115
    shown = set()
    for passphrase in ("wrong", "also wrong", None):
        if passphrase is None:
            monkeypatch.delenv("ANIMA_MEMORY_PASSPHRASE")
        else:
            monkeypatch.setenv("ANIMA_MEMORY_PASSPHRASE", passphrase)
        assert main(["--model", model, "-p", "Hello"]) == 1
        shown.add(capsys.readouterr().err)
    assert len(shown) == 1
    assert "could not be unlocked" in shown.pop()


def test_the_right_passphrase_answers_and_its_json_says_what_was_recalled(
    model, monkeypatch, capsys
):
    with opened(model) as first:
        first.say(TOLD)
        first.memory.encrypt(Secret(passphrase="open sesame"), cost=2**4)
    monkeypatch.setattr("sys.stdin", open(os.devnull, encoding="utf-8"))  # noqa: SIM115
    monkeypatch.setenv("ANIMA_MEMORY_PASSPHRASE", "open sesame")
    asked = ["--model", model, "-p", ASKED, "--output", "json", "--max-tokens", "4"]
    assert main(asked) == 0
    (line,) = json.loads(capsys.readouterr().out)["recalled"]
    assert {"seq", "anchor", "text", "role", "timestamp", "score", "terms"} <= set(line)
    assert line["text"] == TOLD
    monkeypatch.setenv("ANIMA_MEMORY", "off")
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["recalled"] is None
