import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from anima.errors import BusyError
from anima.home import Home
from anima.persona import Persona
from anima.persona import session as session_files

from .conftest import Ticking
from .samples import observe, plain, settings, turn, weights


def test_another_process_or_object_finds_it_busy(home: Home, clock: Ticking, ada: Persona) -> None:
    with Persona.open(home, "ada", clock=clock):
        with pytest.raises(
            BusyError, match=rf"'ada' is in use by process {os.getpid()}.*--ephemeral"
        ):
            Persona.open(home, "ada", clock=clock)
        script = (
            "from pathlib import Path; from datetime import datetime\n"
            "from anima.home import Home; from anima.persona import Persona\n"
            f"home = Home(root=Path({str(home.root)!r}), cache=Path(), config=Path())\n"
            "Persona.open(home, 'ada', clock=datetime.now)\n"
        )
        refused = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert f"BusyError: Persona 'ada' is in use by process {os.getpid()}" in refused.stderr
    Persona.open(home, "ada", clock=clock).close()


def test_a_lock_without_a_process_id_is_busy_all_the_same(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock):
        (ada.folder / "lock.pid").unlink()
        with pytest.raises(BusyError, match="in use by another process"):
            Persona.open(home, "ada", clock=clock)


def test_an_ephemeral_persona_changes_nothing_and_is_gone_afterwards(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as held:
        before = observe(home, held)
        with Persona.open(home, "ada", clock=clock, ephemeral=True) as copy:
            assert copy.name == "ada"
            assert plain(copy.states()["reservoir"]) == plain(weights(0.1))
            copy.resume_session(str(ada.session))
            copy.commit(states={"reservoir": weights(5)}, records=[turn(3)])
            folder = copy.folder
            assert not folder.is_relative_to(home.root)
        assert observe(home, held) == before
        assert not folder.exists()
        assert not folder.parent.exists()


def test_an_ephemeral_persona_can_be_new(home: Home, clock: Ticking) -> None:
    with Persona.open(home, "ada", clock=clock, ephemeral=True) as persona:
        persona.begin_session({})
        persona.commit(states={"sampling": settings(0.2)}, records=[turn(1)])
        assert persona.resume_session(str(persona.session))[1] == turn(1)

    assert not home.root.exists()


def test_a_copy_during_which_something_was_saved_is_made_again(
    home: Home, clock: Ticking, ada: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    copytree = shutil.copytree
    folders: list[Path] = []

    def interrupted(source: Any, *rest: Any, **named: Any) -> Any:
        made = copytree(source, *rest, **named)
        folders.append(Path(source))
        if len(folders) == 1:
            held.commit(states={"sampling": settings(0.9)}, records=[turn(3)])
        return made

    with Persona.open(home, "ada", clock=clock) as held:
        monkeypatch.setattr(shutil, "copytree", interrupted)
        with Persona.open(home, "ada", clock=clock, ephemeral=True) as copy:
            assert plain(copy.states()["sampling"]) == plain(settings(0.9))
            assert copy.resume_session(str(ada.session))[-1] == turn(3)
    assert folders.count(ada.folder) == 2


def test_a_persona_opened_in_one_thread_is_let_go_in_another(home: Home, clock: Ticking) -> None:
    opened: list[Persona] = []
    worker = threading.Thread(target=lambda: opened.append(Persona.open(home, "ada", clock=clock)))
    worker.start()
    worker.join()

    with pytest.raises(BusyError):
        Persona.open(home, "ada", clock=clock)
    opened[0].close()
    Persona.open(home, "ada", clock=clock).close()


def test_a_copy_during_which_a_ledger_was_written_to_is_made_again(
    home: Home, ada: Persona, clock: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = home.persona("ada") / "memory.sqlite"
    ledger.write_bytes(b"before")
    copytree = shutil.copytree
    folders: list[Path] = []

    def interrupted(source: Any, *rest: Any, **named: Any) -> Any:
        made = copytree(source, *rest, **named)
        folders.append(Path(source))
        if ada.folder not in folders[:-1] and folders[-1] == ada.folder:
            ledger.write_bytes(b"and after it")
        return made

    monkeypatch.setattr(shutil, "copytree", interrupted)
    with Persona.open(home, "ada", clock=clock, ephemeral=True) as copy:
        assert (copy.folder / "memory.sqlite").read_bytes() == b"and after it"
    assert folders.count(ada.folder) == 2


def test_an_ephemeral_copy_knows_nothing_of_a_reply_that_is_being_saved(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with session_files.path_of(ada.folder, str(ada.session)).open("ab") as file:
        file.write(session_files.line(turn(3)) + b'{"rec')

    with Persona.open(home, "ada", clock=clock, ephemeral=True) as copy:
        assert copy.notices == ()
        assert copy.resume_session(str(ada.session))[-1] == turn(2, "And now?")
