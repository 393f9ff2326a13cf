from pathlib import Path

import pytest

from anima.errors import NewerVersionError
from anima.home import Home
from anima.persona import Persona
from anima.persona.inspection import inspect

from .conftest import Ticking
from .samples import contents, flip, turn


def test_a_whole_persona_has_no_fault_even_while_it_is_in_use(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    assert inspect(ada.folder) == []
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.commit(states={}, records=[turn(3)])
        assert inspect(ada.folder) == []


def test_a_fresh_persona_has_no_fault(home: Home, clock: Ticking) -> None:
    Persona.open(home, "eve", clock=clock).close()
    assert inspect(home.persona("eve")) == []


def test_every_fault_is_found_and_nothing_is_changed(home: Home, ada: Persona) -> None:
    folder = ada.folder
    flip(folder / "HEAD.json")
    (folder / "persona.toml").write_text("schema = 9", encoding="utf-8")
    (folder / "sessions" / "names.json").write_text("[]", encoding="utf-8")
    (folder / "sessions" / "20270101-000000-0000.jsonl").write_text("{}\n", encoding="utf-8")
    before = contents(folder)
    profile, head, session, names = inspect(folder)
    assert contents(folder) == before
    assert (profile.opens, head.opens, session.opens, names.opens) == (False, True, True, True)
    assert isinstance(profile.error, NewerVersionError)
    assert "the next opening goes back to it" in str(head.error)
    assert "20270101-000000-0000.jsonl, line 1" in str(session.error)
    assert "names.json" in str(names.error)


def test_without_a_good_generation_it_does_not_open(ada: Persona) -> None:
    for name in ("HEAD.json", "HEAD.previous.json"):
        flip(ada.folder / name)
    (fault,) = inspect(ada.folder)
    assert not fault.opens
    assert "cannot be opened" in str(fault.error)


def test_a_persona_that_is_saved_meanwhile_is_looked_at_again(
    home: Home, clock: Ticking, ada: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anima.persona import recovery

    look, looks = recovery.look, []

    def interrupted(folder: Path) -> str | None:
        looks.append(folder)
        if len(looks) == 1:
            held.commit(states={}, records=[turn(3)])
            return "a save in progress"
        return look(folder)

    with Persona.open(home, "ada", clock=clock) as held:
        monkeypatch.setattr(recovery, "look", interrupted)
        assert inspect(ada.folder) == []
