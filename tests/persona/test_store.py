import errno
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anima.errors import (
    CorruptStateError,
    NewerVersionError,
    StateError,
    StorageError,
    UsageError,
)
from anima.home import Home
from anima.persona import Persona, migrate, personas, read_session, sessions
from anima.persona import session as session_files

from .conftest import Ticking
from .samples import contents, observe, plain, settings, turn, weights


def test_a_persona_is_made_on_first_use(home: Home, clock: Ticking) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        assert (persona.name, persona.folder) == ("ada", home.persona("ada"))
        assert (persona.generation, persona.session, persona.notices) == (0, None, ())
        assert (persona.states(), persona.snapshot()) == ({}, {})
        assert persona.file.created == datetime(2026, 11, 22, 1, 53, 2, tzinfo=UTC)
    assert personas(home) == ["ada"]


def test_what_was_committed_is_there_when_it_is_opened_again(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        found = persona.states()
        assert plain(found["sampling"]) == plain(settings(0.2))
        assert plain(found["reservoir"]) == plain(weights(0.1))
        assert persona.generation == ada.generation
        assert persona.session == ada.session
        assert persona.notices == ()
        (summary,) = sessions(home, "ada")
        assert (summary.id, summary.turns, summary.first_text) == (ada.session, 2, "Good morning")


def test_a_session_begins_with_its_header_and_the_snapshot_before_it(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        before = persona.snapshot()
        session = persona.begin_session({"model": "smollm2", "threads": 2})
        persona.commit(states={"sampling": settings(0.9)}, records=[turn(1)])
        header, first = read_session(home, "ada", session)

        assert first == turn(1)
        assert session.startswith(f"{datetime.fromisoformat(header['started']):%Y%m%d-%H%M%S}-")
        assert header == {
            "record": "session",
            "schema": 1,
            "id": session,
            "started": header["started"],
            "snapshot": before,
            "model": "smollm2",
            "threads": 2,
        }
        old = persona.load_snapshot(header["snapshot"])
        assert plain(old["sampling"]) == plain(settings(0.2))
        assert plain(persona.states()["sampling"]) == plain(settings(0.9))


def test_a_session_without_a_record_leaves_no_file_and_no_trace(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        unused = persona.begin_session({})
        persona.commit(states={"sampling": settings(0.5)}, records=[])
        assert persona.session == unused
    with Persona.open(home, "ada", clock=clock) as persona:
        assert persona.session == ada.session
        assert [each.id for each in sessions(home, "ada")] == [ada.session]
        assert plain(persona.states()["sampling"]) == plain(settings(0.5))


def test_a_session_goes_on_where_it_ended(home: Home, clock: Ticking, ada: Persona) -> None:
    assert ada.session is not None
    with Persona.open(home, "ada", clock=clock) as persona:
        other = persona.begin_session({})
        persona.commit(states={}, records=[turn(1, "Elsewhere")])
        records = persona.resume_session(ada.session[:-2])
        assert [record.get("text") for record in records] == [None, "Good morning", "And now?"]
        persona.commit(states={}, records=[turn(3, "Once more")])
        assert persona.session == ada.session
    with Persona.open(home, "ada", clock=clock) as persona:
        assert persona.session == ada.session
        texts = [record.get("text") for record in read_session(home, "ada", ada.session)]
        assert texts == [None, "Good morning", "And now?", "Once more"]
        assert [record.get("text") for record in read_session(home, "ada", other)][1:] == [
            "Elsewhere"
        ]


def test_the_last_session_goes_on_without_being_named(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.commit(states={}, records=[turn(3)])

    assert ada.session is not None
    assert [r["record"] for r in read_session(home, "ada", ada.session)] == ["session"] + 3 * [
        "turn"
    ]


def test_an_organ_that_is_not_named_keeps_its_state(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.commit(states={"sampling": settings(0.7)}, records=[])
        assert plain(persona.states()["reservoir"]) == plain(weights(0.1))


def test_an_unchanged_state_is_not_written_again(home: Home, clock: Ticking, ada: Persona) -> None:
    files = {path: path.stat().st_ino for path in (ada.folder / "states").iterdir()}

    with Persona.open(home, "ada", clock=clock) as persona:
        persona.commit(states={"reservoir": weights(0.1)}, records=[turn(3)])
        persona.commit(states={"sampling": settings(0.2)}, records=[turn(4)])

    assert {path: path.stat().st_ino for path in (ada.folder / "states").iterdir()} == files


def test_a_damaged_file_of_the_same_name_is_written_anew(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        for temperature in (0.5, 0.6, 0.7):
            persona.commit(states={"sampling": settings(temperature)}, records=[])
        old = next(
            path
            for path in (ada.folder / "states").glob("sampling-*")
            if b":0.5" in path.read_bytes()
        )
        old.write_bytes(b"{}")
        persona.commit(states={"sampling": settings(0.5)}, records=[])
        assert plain(persona.states()["sampling"]) == plain(settings(0.5))


def test_generations_count_up_by_commit(home: Home, clock: Ticking) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.begin_session({})
        first = persona.commit(states={}, records=[turn(1)])
        assert persona.commit(states={}, records=[turn(2)]) == first + 1 == persona.generation


def test_records_without_a_session_are_refused(home: Home, clock: Ticking) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        with pytest.raises(StateError, match="begin one, or resume one"):
            persona.commit(states={"sampling": settings(0.2)}, records=[turn(1)])
        assert persona.states() == {}


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_what_cannot_be_kept_changes_nothing(
    home: Home, clock: Ticking, ada: Persona, value: object
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        before = observe(home, persona)
        with pytest.raises(StateError, match="cannot be kept as JSON"):
            persona.commit(states={"sampling": settings(1)}, records=[turn(3), {"value": value}])
        with pytest.raises(StateError, match="cannot be kept as JSON"):
            persona.begin_session({"value": value})
        assert observe(home, persona) == before
        assert persona.session == ada.session


def test_the_model_is_noted(home: Home, clock: Ticking) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.remember_model("smollm2", "b179c952")
    with Persona.open(home, "ada", clock=clock) as persona:
        assert (persona.file.model, persona.file.fingerprint) == ("smollm2", "b179c952")


def test_a_closed_persona_does_nothing_more(home: Home, clock: Ticking, ada: Persona) -> None:
    ada.close()

    with pytest.raises(StateError, match="'ada' is closed"):
        ada.commit(states={}, records=[])
    with pytest.raises(StateError, match="'ada' is closed"):
        ada.begin_session({})
    with pytest.raises(StateError, match="'ada' is closed"):
        ada.remember_model("other", "")


def test_everything_is_for_its_owner_alone(home: Home, clock: Ticking, ada: Persona) -> None:
    with Persona.open(home, "ada", clock=clock):
        for path in (ada.folder, *ada.folder.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_name_that_leads_elsewhere_is_refused(home: Home, clock: Ticking) -> None:
    with pytest.raises(UsageError, match="cannot name a persona"):
        Persona.open(home, "../ada", clock=clock)


def test_only_personas_are_listed(home: Home, clock: Ticking, ada: Persona) -> None:
    Persona.open(home, "bob", clock=clock).close()
    (home.personas / "notes").mkdir()
    (home.personas / "readme.txt").touch()

    assert personas(home) == ["ada", "bob"]
    assert personas(Home(root=home.root / "none", cache=home.cache, config=home.config)) == []


def test_a_session_removed_while_in_use_is_named(home: Home, clock: Ticking, ada: Persona) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        session_files.path_of(ada.folder, str(ada.session)).unlink()
        with pytest.raises(CorruptStateError, match="removed while it was in use"):
            persona.commit(states={}, records=[turn(3)])
        persona.begin_session({})
        persona.commit(states={}, records=[turn(1)])


def test_a_damaged_session_cannot_go_on_but_another_can(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    path = session_files.path_of(ada.folder, str(ada.session))
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], b"x" * len(lines[1]), *lines[2:]]))

    with Persona.open(home, "ada", clock=clock) as persona:
        with pytest.raises(CorruptStateError, match="line 2, is damaged"):
            persona.resume_session(str(ada.session))
        persona.begin_session({})
        persona.commit(states={}, records=[turn(1)])


def test_a_torn_line_of_an_older_session_is_moved_away_when_it_goes_on(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    path = session_files.path_of(ada.folder, str(ada.session))
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.begin_session({})
        persona.commit(states={}, records=[turn(1)])
        with path.open("ab") as file:
            file.write(b'{"record":"turn","te')
        persona.resume_session(str(ada.session))
        persona.commit(states={}, records=[turn(3, "Whole")])

        assert read_session(home, "ada", str(ada.session))[-1] == turn(3, "Whole")
        assert len(persona.notices) == 1
        assert "a torn last line moved to" in persona.notices[0]


def test_a_session_of_an_older_schema_goes_on_in_the_newer(
    home: Home, clock: Ticking, ada: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {1: lambda record: {**record, "brought": "up"}}
    monkeypatch.setitem(migrate.MIGRATIONS, "session", steps)

    with Persona.open(home, "ada", clock=clock) as persona:
        persona.commit(states={}, records=[turn(3)])
        persona.commit(states={}, records=[turn(4)])
        records = persona.resume_session(str(ada.session))

    assert [record.get("brought") for record in records] == ["up", "up", "up", None, None]


@pytest.mark.usefixtures("quick")
def test_state_files_that_nothing_names_are_removed_and_all_others_stay(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.begin_session({})
        persona.commit(states={"reservoir": weights(0.2)}, records=[turn(1)])
        snapshot = read_session(home, "ada", str(persona.session))[0]["snapshot"]
        for step in range(90):
            persona.commit(states={"reservoir": weights(float(step))}, records=[])
    with Persona.open(home, "ada", clock=clock) as persona:
        assert len(list((ada.folder / "states").iterdir())) < 90
        assert plain(persona.load_snapshot(snapshot)["reservoir"]) == plain(weights(0.1))
        assert plain(persona.states()["reservoir"]) == plain(weights(89.0))


@pytest.mark.usefixtures("quick")
def test_states_named_in_any_record_stay_even_before_it_is_saved(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        for step in range(30):
            persona.commit(states={"reservoir": weights(float(step))}, records=[])
        persona.resume_session(str(ada.session))
        snapshot = persona.snapshot()
        for step in range(100, 140):
            persona.commit(states={"reservoir": weights(float(step))}, records=[])
        persona.commit(states={}, records=[{"record": "open", "snapshot": snapshot}, turn(3)])
    with Persona.open(home, "ada", clock=clock) as persona:
        for step in range(200, 240):
            persona.commit(states={"reservoir": weights(float(step))}, records=[])
        found = persona.load_snapshot(snapshot)
        assert plain(found["reservoir"]) == plain(weights(29.0))
        assert len(list((ada.folder / "states").iterdir())) < 200


@pytest.mark.usefixtures("quick")
def test_no_state_file_is_removed_while_a_header_cannot_be_read(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    (ada.folder / "sessions" / "20200101-000000-0000.jsonl").write_bytes(b"{\n")

    with Persona.open(home, "ada", clock=clock) as persona:
        for step in range(70):
            persona.commit(states={"sampling": settings(float(step))}, records=[])

    assert len(list((ada.folder / "states").iterdir())) == 73


def test_a_home_that_cannot_be_written_to_is_named_with_what_to_do(
    tmp_path: Path, clock: Ticking
) -> None:
    root = tmp_path / "sealed"
    root.mkdir(mode=0o500)
    if os.geteuid() == 0:
        root = Path("/sys")  # where even the superuser may make nothing
    if not root.exists():
        pytest.skip("no folder here refuses the superuser")
    home = Home(root=root / "home", cache=tmp_path, config=tmp_path)

    with pytest.raises(StorageError, match=r"cannot be written .*--home"):
        Persona.open(home, "ada", clock=clock)
    with Persona.open(home, "ada", clock=clock, ephemeral=True) as persona:
        persona.commit(states={"sampling": settings(0.2)}, records=[])


def test_a_newer_persona_is_left_as_it_is(home: Home, clock: Ticking, ada: Persona) -> None:
    path = ada.folder / "persona.toml"
    path.write_bytes(path.read_bytes().replace(b"schema = 1", b"schema = 2"))
    before = contents(ada.folder)

    with pytest.raises(NewerVersionError, match=r"persona\.toml"):
        Persona.open(home, "ada", clock=clock)
    assert contents(ada.folder) == before


@pytest.mark.parametrize("kind", ["head", "state", "session"])
def test_a_newer_file_is_refused_before_anything_is_changed(
    home: Home, clock: Ticking, ada: Persona, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(migrate.MIGRATIONS, kind, {1: dict})
        with Persona.open(home, "ada", clock=clock) as persona:
            persona.begin_session({})
            persona.commit(states={"sampling": settings(0.3)}, records=[turn(1)])
            newer = session_files.path_of(persona.folder, str(persona.session))
    with newer.open("ab") as file:
        file.write(b'{"torn')
    before = contents(ada.folder)

    with pytest.raises(NewerVersionError, match=f"{kind} schema is 2"):
        Persona.open(home, "ada", clock=clock)
    assert contents(ada.folder) == before


def test_opening_needs_neither_torch_nor_numpy(home: Home) -> None:
    script = (
        "import sys; import anima.persona\n"
        "heavy = {'torch', 'numpy', 'safetensors', 'transformers', 'filelock', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert found.stdout == "[]\n"


def test_a_full_disk_is_named(home: Home, clock: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Persona.open(home, "ada", clock=clock) as persona:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(StorageError, match=r"disk is full: .* Free some space"):
                persona.commit(states={"sampling": settings(0.2)}, records=[])
        assert persona.states() == {}
