import os
from pathlib import Path

import pytest

from anima.errors import BusyError, StateError, StorageError, UsageError
from anima.home import Home
from anima.persona import Persona, personas
from anima.persona.moving import copy_persona, moving, remove_persona, rename_persona

from .conftest import Ticking
from .samples import contents, observe


@pytest.fixture
def dreams(home: Home, ada: Persona) -> Path:
    """What ada dreamed."""
    place = home.dreams / "ada" / "self_model"
    place.mkdir(parents=True)
    (place / "0001.md").write_text("I am.", encoding="utf-8")
    return home.dreams / "ada"


def lived(home: Home, name: str, clock: Ticking) -> object:
    with Persona.open(home, name, clock=clock) as persona:
        assert persona.notices == ()
        return observe(home, persona)


def test_a_renamed_persona_is_the_same_with_its_dreams(
    home: Home, clock: Ticking, ada: Persona, dreams: Path
) -> None:
    before = lived(home, "ada", clock)
    rename_persona(home, "ada", "eve")
    assert personas(home) == ["eve"]
    assert lived(home, "eve", clock) == before
    assert (home.dreams / "eve" / "self_model" / "0001.md").read_text(encoding="utf-8") == "I am."
    assert not dreams.exists()
    with Persona.open(home, "eve", clock=clock) as persona:
        assert (persona.file.name, persona.file.created) == ("eve", ada.file.created)


def test_a_copy_lives_its_own_life(home: Home, clock: Ticking, ada: Persona, dreams: Path) -> None:
    before = contents(ada.folder)
    copy_persona(home, "ada", "eve")
    assert personas(home) == ["ada", "eve"]
    assert lived(home, "eve", clock) == lived(home, "ada", clock)
    assert contents(home.dreams / "eve") == contents(dreams)
    with Persona.open(home, "eve", clock=clock) as persona:
        persona.commit(states={}, records=[])
    assert contents(ada.folder) == before


def test_a_removed_persona_is_gone_with_its_dreams_and_no_other(
    home: Home, clock: Ticking, ada: Persona, dreams: Path
) -> None:
    Persona.open(home, "eve", clock=clock).close()
    remove_persona(home, "ada")
    assert personas(home) == ["eve"]
    assert [path.name for path in home.personas.iterdir() if path.is_dir()] == ["eve"]
    assert list(home.dreams.iterdir()) == []


def test_a_persona_in_use_is_left_alone(home: Home, clock: Ticking, ada: Persona) -> None:
    with Persona.open(home, "ada", clock=clock):
        for attempt in (
            lambda: rename_persona(home, "ada", "eve"),
            lambda: copy_persona(home, "ada", "eve"),
            lambda: remove_persona(home, "ada"),
        ):
            with pytest.raises(BusyError, match=rf"process {os.getpid()}\. Close it there, then"):
                attempt()
    assert personas(home) == ["ada"]


def test_a_name_that_is_taken_or_cannot_be_changes_nothing(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    Persona.open(home, "eve", clock=clock).close()
    for change in (rename_persona, copy_persona):
        with pytest.raises(UsageError, match="There is a persona 'eve' already"):
            change(home, "ada", "eve")
        with pytest.raises(UsageError, match="cannot name a persona"):
            change(home, "ada", "../eve")
        with pytest.raises(UsageError, match=r"no persona 'adda'\. Did you mean ada\?"):
            change(home, "adda", "new")
    with pytest.raises(UsageError, match="no persona 'adda'"):
        remove_persona(home, "adda")
    assert personas(home) == ["ada", "eve"]


def test_dreams_that_belong_to_nobody_are_not_adopted(
    home: Home, ada: Persona, dreams: Path
) -> None:
    (home.dreams / "eve").mkdir()
    rename_persona(home, "ada", "eve")
    rename_persona(home, "eve", "ada")
    (home.dreams / "eve").mkdir()
    (home.dreams / "eve" / "0001.json").touch()
    for change in (rename_persona, copy_persona):
        with pytest.raises(StateError, match="belongs to no persona"):
            change(home, "ada", "eve")
    assert personas(home) == ["ada"]


def test_a_rename_that_the_disk_refuses_is_taken_back(
    home: Home, ada: Persona, dreams: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self == ada.folder:
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError):
        rename_persona(home, "ada", "eve")
    assert personas(home) == ["ada"]
    assert (dreams / "self_model" / "0001.md").is_file()


def test_a_copy_that_the_disk_refuses_leaves_nothing(
    home: Home, ada: Persona, dreams: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(StorageError, match="disk is full"):
        copy_persona(home, "ada", "eve")
    assert [path.name for path in home.personas.iterdir() if path.is_dir()] == ["ada"]


def test_what_a_killed_process_left_is_swept_by_the_next(home: Home, ada: Persona) -> None:
    left = home.personas / ".eve.123.tmp"
    left.mkdir()
    (left / "persona.toml").touch()
    with moving(home):
        assert not left.exists()
    assert personas(home) == ["ada"]


def test_a_link_to_a_persona_is_not_moved(home: Home, ada: Persona, tmp_path: Path) -> None:
    ada.folder.rename(tmp_path / "elsewhere")
    ada.folder.symlink_to(tmp_path / "elsewhere")
    for attempt in (
        lambda: rename_persona(home, "ada", "eve"),
        lambda: remove_persona(home, "ada"),
    ):
        with pytest.raises(StateError, match="is a link"):
            attempt()
    assert (tmp_path / "elsewhere" / "HEAD.json").is_file()


def test_a_damaged_persona_can_be_renamed_and_removed(home: Home, ada: Persona) -> None:
    for name in ("HEAD.json", "HEAD.previous.json", "persona.toml"):
        (ada.folder / name).write_text("damaged", encoding="utf-8")
    rename_persona(home, "ada", "eve")
    assert (home.persona("eve") / "persona.toml").read_text(encoding="utf-8") == "damaged"
    remove_persona(home, "eve")
    assert personas(home) == []
