"""Where a persona as a whole comes into being, moves and goes: its folder and its dreams; knows no file in them.

A persona is put together in hidden folders and comes into being by a rename, the last of which is
that of its own folder: whatever is cut off when, no half persona bears a name.
"""

import contextlib
import difflib
import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from anima.errors import CorruptStateError, NewerVersionError, StateError, UsageError
from anima.home import Home, make_folder, storage, sync_folder
from anima.persona import lock, profile
from anima.persona.store import personas

_BUSY_REMEDY = "Close it there, then try again."
_LOCK = ".moving.lock"
_PATIENCE = 30.0  # seconds; copying a large persona takes some


def existing(home: Home, name: str) -> Path:
    """The folder of a persona that is there; UsageError names the nearest where it is not."""
    folder = home.persona(name)
    known = personas(home)
    if name in known:
        return folder
    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"There is no persona {name!r}.{hint} anima persona list shows all there are.")


def require_unused(home: Home, name: str) -> None:
    """Raise UsageError where a persona has this name, StateError where dreams of one are left."""
    if name in personas(home):
        raise UsageError(f"There is a persona {name!r} already: choose another name.")
    for place in (home.persona(name), home.dreams / name):
        with storage(place):
            if place.is_symlink() or (place.exists() and any(place.iterdir())):
                raise StateError(
                    f"{place} is there and belongs to no persona: move it away, or choose another "
                    "name than that."
                )


@contextlib.contextmanager
def alone(home: Home, name: str) -> Iterator[Path]:
    """The folder of a persona that nobody uses meanwhile.

    Raises UsageError for an unknown one, BusyError for one in use, StorageError.
    """
    folder = existing(home, name)
    with contextlib.ExitStack() as held:
        held.enter_context(lock.hold(folder, name, remedy=_BUSY_REMEDY))
        if os.name == "nt":
            held.close()  # Windows moves no folder in which a file is open
        yield folder


@contextlib.contextmanager
def moving(home: Home) -> Iterator[None]:
    """One process at a time makes, moves and removes whole personas; leftovers are swept first."""
    from filelock import FileLock, Timeout

    make_folder(home.personas)
    guard = FileLock(home.personas / _LOCK, timeout=_PATIENCE, mode=0o600)
    with storage(home.personas):
        try:
            guard.acquire()
        except Timeout as error:
            raise StateError(
                f"Another process is moving personas in {home.personas}. Try again later."
            ) from error
    try:
        for place in (home.personas, home.dreams):
            for leftover in place.glob(".*.tmp"):
                shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        guard.release()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Hidden folders in which a persona called `name` is put together; `dreams` may stay absent."""

    home: Home
    name: str
    folder: Path
    dreams: Path

    def settle(self) -> None:
        """Make it a persona, durably; raises StateError, UsageError where the name is taken."""
        require_unused(self.home, self.name)
        rename_in_profile(self.folder, self.name)
        with storage(self.folder):
            _sync(self.folder)
            if self.dreams.is_dir():
                _sync(self.dreams)
                _move(self.dreams, self.home.dreams / self.name)
        with storage(self.folder):
            _move(self.folder, self.home.persona(self.name))


@contextlib.contextmanager
def staged(home: Home, name: str) -> Iterator[Stage]:
    """A stage for a persona of this name; what is not settled is gone afterwards."""
    target = home.persona(name)
    label = f".{name}.{os.getpid()}.tmp"
    stage = Stage(home=home, name=name, folder=target.with_name(label), dreams=home.dreams / label)
    make_folder(stage.folder)
    try:
        yield stage
    finally:
        for place in (stage.folder, stage.dreams):
            shutil.rmtree(place, ignore_errors=True)


def rename_persona(home: Home, old: str, new: str) -> None:
    """Give a persona another name, its dreams too.

    Raises UsageError for names that cannot be, BusyError while it is in use, StorageError.
    """
    with moving(home):
        _rename(home, old, new)


def copy_persona(home: Home, source: str, target: str) -> None:
    """Make a persona of its own out of another one, as that is now, dreams and sessions included.

    Raises UsageError for names that cannot be, BusyError while the source is in use, StorageError.
    """
    with moving(home), alone(home, source) as folder:
        require_unused(home, target)
        left_out = shutil.ignore_patterns(*lock.OF_A_PROCESS)
        with staged(home, target) as stage:
            with storage(stage.folder):
                shutil.copytree(folder, stage.folder, ignore=left_out, dirs_exist_ok=True)
                if (home.dreams / source).is_dir():
                    shutil.copytree(home.dreams / source, stage.dreams)
            stage.settle()


def remove_persona(home: Home, name: str) -> None:
    """Delete a persona, its sessions and its dreams: there is no way back.

    Raises UsageError for an unknown one, BusyError while it is in use, StorageError.
    """
    with moving(home):
        _remove(home, name)


@contextlib.contextmanager
def replaced(home: Home, name: str) -> Iterator[None]:
    """While `moving`: put a persona aside, and delete it once what takes its place is there.

    Cut off in between, it is a persona called `<name>.replaced`: nothing is lost. Raises BusyError
    while it is in use.
    """
    aside = next(
        label
        for label in (f"{name}.replaced{number or ''}" for number in itertools.count())
        if label not in personas(home)
    )
    _rename(home, name, aside)
    try:
        yield
    except BaseException:
        _rename(home, aside, name)
        raise
    _remove(home, aside)


def _rename(home: Home, old: str, new: str) -> None:
    with alone(home, old) as folder:
        _require_no_link(folder)
        require_unused(home, new)
        dreams, target = home.dreams / old, home.persona(new)
        moved = dreams.is_dir()
        with storage(target):
            if moved:
                _move(dreams, home.dreams / new)
            try:
                _move(folder, target)
            except OSError:
                if moved:
                    _move(home.dreams / new, dreams)
                raise
            (target / lock.HOLDER).unlink(missing_ok=True)
        rename_in_profile(target, new)


def _remove(home: Home, name: str) -> None:
    with alone(home, name) as folder:
        _require_no_link(folder)
        label = f".{name}.{os.getpid()}.tmp"
        for place in (folder, home.dreams / name):
            doomed = place.with_name(label)
            with storage(place):
                if place.is_symlink():
                    place.unlink()
                elif place.is_dir():
                    _move(place, doomed)
                    shutil.rmtree(doomed)


def rename_in_profile(folder: Path, name: str) -> None:
    """Let `persona.toml` say the name; one that cannot be read stays, and opening names it."""
    with contextlib.suppress(CorruptStateError, NewerVersionError):
        file = profile.load(folder)
        if file is not None and file.name != name:
            profile.save(folder, replace(file, name=name))


def _require_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise StateError(
            f"{folder} is a link: move or remove the folder that it leads to yourself, and the link."
        )


def _move(source: Path, target: Path) -> None:
    """Rename a folder, durably; an empty folder in its place gives way."""
    if target.is_dir():
        target.rmdir()
    source.rename(target)
    sync_folder(target.parent)


def _sync(folder: Path) -> None:
    """Make all that a folder holds durable."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("r+b") as file:  # some systems sync only what may be written
                os.fsync(file.fileno())
    sync_folder(folder)
