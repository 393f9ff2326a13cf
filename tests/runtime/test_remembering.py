import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anima.config import Settings
from anima.errors import (
    BusyError,
    CorruptStateError,
    DownloadError,
    Interrupted,
    MemoryLocked,
)
from anima.home import Home
from anima.memory import Memory, Secret, crypto
from anima.memory.organ import NAME as ORGAN
from anima.memory.organ import state_of
from anima.organ import OrganState
from anima.persona import Persona
from anima.runtime import rehousing, remembering
from anima.runtime.remembering import (
    ledger_of,
    open_memory,
    reading,
    secret_of,
    settle,
    writing,
)

SETTINGS = Settings(encoder=remembering.NO_ENCODER)


def clock() -> datetime:
    return datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(root=tmp_path / "home", cache=tmp_path / "cache", config=tmp_path / "none")


@pytest.fixture
def folder(home: Home) -> Path:
    """The folder of the default persona, in whose memory are two lines."""
    with writing(home, SETTINGS, clock=clock) as door:
        door.memory.put(None, "one")
        door.memory.put(None, "two")
    return home.persona("default")


def texts(memory: Memory) -> list[str]:
    return [line.text for line in memory.peek(100)][::-1]


class Fixed:
    """An encoder that knows one direction, and how often it was asked."""

    width = 2

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0

    def encode(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        self.asked += len(texts)
        return np.tile(np.array([[0.6, 0.8]], np.float32), (len(texts), 1))


Openings = list[tuple[str, Fixed]]


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> Openings:
    """Every encoder that was opened, by name, instead of a real one."""
    made: Openings = []

    def opened(name: str, home: Home, **_: object) -> Fixed:
        made.append((name, Fixed(name)))
        return made[-1][1]

    monkeypatch.setattr("anima.encoding.open_encoder", opened)
    return made


def test_a_new_memory_is_of_the_kind_that_is_set_and_an_old_one_stays_what_it_is(
    home: Home, tmp_path: Path
) -> None:
    as_json = replace(SETTINGS, ledger="json")
    for settings in (as_json, SETTINGS):
        with open_memory(tmp_path, settings, home, clock=clock) as memory:
            assert memory.place.name == "memory.json"


def test_a_memory_whose_ledger_is_gone_is_not_begun_anew(home: Home, folder: Path) -> None:
    (folder / "memory.sqlite").unlink()
    for settings in (SETTINGS, replace(SETTINGS, ledger="json")):
        with pytest.raises(CorruptStateError, match=r"memory\.sqlite is gone"):
            open_memory(folder, settings, home, clock=clock)
    with (
        pytest.raises(CorruptStateError, match="is gone"),
        reading(home, SETTINGS, clock=clock),
    ):
        pass


def test_an_encoder_is_opened_once_and_only_when_a_text_needs_it(
    home: Home, tmp_path: Path, openings: Openings
) -> None:
    settings = replace(SETTINGS, encoder="first")
    with open_memory(tmp_path, settings, home, clock=clock) as memory:
        assert (texts(memory), memory.verify().whole, openings) == ([], True, [])
        memory.put(None, "one")
        memory.put(None, "two")
        assert memory.ask("two").hits
        assert [(name, made.asked) for name, made in openings] == [("first", 3)]


def test_the_encoder_that_a_memory_began_with_is_its_encoder_for_ever(
    home: Home, tmp_path: Path, openings: Openings
) -> None:
    for encoder in ("first", "second"):
        settings = replace(SETTINGS, encoder=encoder)
        with open_memory(tmp_path, settings, home, clock=clock) as memory:
            memory.put(None, f"with {encoder}")
    assert [name for name, _ in openings] == ["first", "first"]
    with open_memory(tmp_path, SETTINGS, home, clock=clock) as memory:  # set to none: words alone
        memory.put(None, "with none")
        assert memory.line(3).key is None
        assert memory.encoder_name == "first"
    assert len(openings) == 2


def refusing(error: Exception) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise error

    return refuse


def test_where_no_encoder_can_be_had_lines_are_found_by_their_words_and_that_is_said_once(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anima.encoding.open_encoder", refusing(DownloadError("No network.")))
    said: list[str] = []
    settings = replace(SETTINGS, encoder="first")
    with open_memory(tmp_path, settings, home, clock=clock, say=said.append) as memory:
        memory.put(None, "the fox is red")
        memory.put(None, "the kitchen is blue")
        assert memory.query("fox")[0].line.seq == 1
        assert memory.encoder_name is None
    assert said == ["The memory goes by words alone: No network."]
    monkeypatch.setattr("anima.encoding.open_encoder", refusing(Interrupted("Stopped.")))
    with (
        open_memory(tmp_path, settings, home, clock=clock) as memory,
        pytest.raises(Interrupted),
    ):
        memory.put(None, "x")


def test_what_was_written_counts_once_the_head_says_so(home: Home) -> None:
    with writing(home, SETTINGS, clock=clock) as door:
        door.memory.put(None, "one")
        door.commit()
        door.memory.put(None, "two")
    with Persona.open(home, "default", clock=clock) as persona:
        state = persona.states()[ORGAN]
        assert persona.generation == 2
    with reading(home, SETTINGS, clock=clock) as memory:
        assert state == state_of(memory)
        assert texts(memory) == ["one", "two"]
    with writing(home, SETTINGS, clock=clock) as door:
        door.memory.seal()
    with Persona.open(home, "default", clock=clock) as persona:
        assert persona.generation == 2  # nothing new to say


def test_what_no_commit_holds_is_cut_away_kept_aside_and_said(home: Home, folder: Path) -> None:
    def cut_off() -> None:
        with writing(home, SETTINGS, clock=clock) as door:
            door.memory.put(None, "three")
            door.commit()
            door.memory.put(None, "never acknowledged")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cut_off()
    said: list[str] = []
    with reading(home, SETTINGS, clock=clock, say=said.append) as memory:
        assert texts(memory) == ["one", "two", "three"]
    (kept,) = (folder / "recovered").iterdir()
    assert said == [
        f"The memory had 1 records that no commit holds: cut away. They are kept in {kept}."
    ]
    assert json.loads(kept.read_bytes())["text"] == "never acknowledged"
    with writing(home, SETTINGS, clock=clock, say=said.append):
        assert len(said) == 1


def test_nothing_of_an_encrypted_memory_is_kept_aside_in_clear(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.setattr(crypto, "_COST", 2)
    secret = Secret(passphrase="x")
    with writing(home, SETTINGS, clock=clock) as door:
        door.memory.encrypt(secret)
    with open_memory(folder, SETTINGS, home, clock=clock, secret=secret) as memory:
        memory.put(None, "never acknowledged")
    said: list[str] = []
    with writing(home, SETTINGS, clock=clock, secret=secret, say=said.append) as door:
        assert texts(door.memory) == ["one", "two"]
    assert said == ["The memory had 1 records that no commit holds: cut away."]
    assert not (folder / "recovered").exists()
    with pytest.raises(MemoryLocked), reading(home, SETTINGS, clock=clock):
        pass


def test_a_ledger_that_was_put_back_or_exchanged_is_said_and_used(
    home: Home, folder: Path, tmp_path: Path
) -> None:
    with open_memory(folder, SETTINGS, home, clock=clock) as memory:
        longer = OrganState(schema=1, values={"count": 3, "head": "0" * 64})
        other = OrganState(schema=1, values={"count": 2, "head": "0" * 64})
        (shorter,) = settle(memory, tmp_path, longer)
        (exchanged,) = settle(memory, tmp_path, other)
        assert settle(memory, tmp_path, state_of(memory)) == ()
        assert memory.count == 2
    assert "holds 2 records, and the last commit had 3" in shorter
    assert "the ledger was exchanged" in exchanged


def test_a_persona_in_use_is_read_from_a_copy_and_not_written_to(home: Home, folder: Path) -> None:
    with writing(home, SETTINGS, clock=clock) as door:
        door.memory.put(None, "three")
        door.commit()
        door.memory.put(None, "not committed yet")
        said: list[str] = []
        with reading(home, SETTINGS, clock=clock, say=said.append) as memory:
            assert texts(memory) == ["one", "two", "three"]
            assert folder not in memory.place.parents
        assert said == []
        with (
            pytest.raises(BusyError, match=r"Close it there, or choose another"),
            writing(home, SETTINGS, clock=clock),
        ):
            pass
        assert texts(door.memory)[-1] == "not committed yet"


def test_a_persona_without_a_memory_is_read_as_an_empty_one_and_stays_without(home: Home) -> None:
    with reading(home, SETTINGS, clock=clock) as memory:
        assert texts(memory) == []
        memory.put(None, "gone with it")
    assert not home.persona("default").exists()


def test_a_secret_comes_from_a_key_file_or_a_variable(tmp_path: Path) -> None:
    path = tmp_path / "one.key"
    made = crypto.write_key_file(path)
    assert secret_of({}) is None
    assert secret_of({remembering.PASSPHRASE: ""}) is None
    assert secret_of({remembering.PASSPHRASE: "x"}) == Secret(passphrase="x")
    both = {remembering.PASSPHRASE: "x", remembering.KEY_FILE: str(path)}
    assert secret_of(both) == made
    assert secret_of({remembering.PASSPHRASE: "x"}, path) == made


def cut_off(after: int, work: Callable[[], object]) -> bool:
    """Do some work in a process that ends before one rename or removal more; whether it did end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = [after]

    def counted(move: Callable[..., Any]) -> Callable[..., Any]:
        def moving(*given: Any, **options: Any) -> Any:
            if not left[0]:
                os._exit(9)
            left[0] -= 1
            return move(*given, **options)

        return moving

    try:
        for name in ("replace", "unlink"):
            setattr(Path, name, counted(getattr(Path, name)))
        work()
    finally:
        os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_conversion_that_is_cut_off_anywhere_loses_nothing(home: Home, folder: Path) -> None:
    """Whichever rename or removal is the last one, the same lines are there afterwards."""
    for cut in range(100):
        kind = "sqlite" if ledger_of(folder).suffix == ".json" else "json"
        convert = partial(rehousing.convert_memory, home, SETTINGS, kind, clock=clock)
        if not cut_off(cut, convert):
            break
        said: list[str] = []
        with reading(home, SETTINGS, clock=clock, say=said.append) as memory:
            assert texts(memory) == ["one", "two"]
        assert said == []
        assert not [path for path in folder.glob(".*memory.*") if path.suffix != ".lock"]
    assert cut > 8
    assert ledger_of(folder).suffix == f".{kind}"


def test_a_conversion_that_does_not_come_out_the_same_changes_nothing(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shorter(source: Path, target: Path) -> int:
        with Memory.open(target, clock=clock) as memory:
            memory.put(None, "one")
        return 1

    monkeypatch.setattr(rehousing, "convert", shorter)
    with pytest.raises(CorruptStateError, match="so nothing was changed"):
        rehousing.convert_memory(home, SETTINGS, "json", clock=clock)
    assert ledger_of(folder).name == "memory.sqlite"
    assert not list(folder.glob(".converted*"))
    with reading(home, SETTINGS, clock=clock) as memory:
        assert texts(memory) == ["one", "two"]
