"""What is wrong with a persona's files, found without opening it: nothing is changed or locked."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anima.errors import StateError
from anima.persona import files, head, names, profile, recovery
from anima.persona import session as session_files

_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong, in words that name the remedy; `opens`: the persona still opens."""

    error: StateError
    opens: bool


def inspect(folder: Path) -> list[Fault]:
    """Every fault of a persona's folder; empty where it is whole.

    A persona that another process is writing to is looked at again until it holds still. Raises
    StorageError where the disk refuses to read.
    """
    faults: list[Fault] = []
    for _ in range(_ATTEMPTS):
        before = files.read_if_there(folder / head.HEAD)
        faults = list(_faults(folder))
        if files.read_if_there(folder / head.HEAD) == before:
            break
    return faults


def _faults(folder: Path) -> Iterator[Fault]:
    try:
        profile.load(folder)
    except StateError as error:
        yield Fault(error=error, opens=False)
    try:
        fallen = recovery.look(folder)
    except StateError as error:
        yield Fault(error=error, opens=False)
    else:
        if fallen is not None:
            remedy = "The generation before it is whole: the next opening goes back to it."
            yield Fault(error=StateError(f"{fallen} {remedy}"), opens=True)
    for session in session_files.ids(folder):
        if error_of := _session_error(folder, session):
            yield Fault(error=error_of, opens=True)
    try:
        names.read(folder)
    except StateError as error:
        yield Fault(error=error, opens=True)


def _session_error(folder: Path, session: str) -> StateError | None:
    """What is wrong with a whole line of a session; a torn last one is what opening mends."""
    try:
        return session_files.scan(session_files.path_of(folder, session)).error
    except StateError as error:
        return error
