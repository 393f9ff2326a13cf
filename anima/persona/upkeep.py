"""What a person does to a persona from outside a chat: make one, see what it is, remove a session."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from anima.errors import StateError
from anima.home import Home, storage, sync_folder
from anima.persona import files, head, inspection, moving, names, profile, states
from anima.persona import session as session_files
from anima.persona.profile import PersonaFile
from anima.persona.store import Persona


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A persona in figures. What cannot be read is None or 0, and `faults` says why.

    `organs` are the bytes of each organ's state, `dreams` the files about its sleep, `bytes` all
    that its folders hold; `last` is when it last committed anything.
    """

    name: str
    folder: Path
    file: PersonaFile | None
    generation: int | None
    last: datetime | None
    sessions: int
    turns: int
    organs: Mapping[str, int]
    dreams: int
    bytes: int
    faults: tuple[str, ...]


def overview(home: Home, name: str) -> Overview:
    """What there is to know of a persona without opening it; needs no lock.

    Raises UsageError for an unknown one, StorageError.
    """
    folder = moving.existing(home, name)
    found = session_files.sessions(home, name)
    current = _head(folder)
    with storage(folder):
        dreams = _files(home.dreams / name)
        held = sum(path.stat().st_size for path in (*_files(folder), *dreams))
    return Overview(
        name=name,
        folder=folder,
        file=_file(folder),
        generation=None if current is None else current.generation,
        last=None if current is None else _moment(current.clock),
        sessions=len(found),
        turns=sum(each.turns for each in found),
        organs={} if current is None else _sizes(folder, current),
        dreams=len(dreams),
        bytes=held,
        faults=tuple(str(fault.error) for fault in inspection.inspect(folder)),
    )


def new_persona(home: Home, name: str, *, clock: Callable[[], datetime]) -> Path:
    """Make a persona that has lived nothing yet; returns its folder.

    Raises UsageError for a name that cannot be or is taken, StateError, StorageError.
    """
    home.persona(name)
    with moving.moving(home):
        moving.require_unused(home, name)
        with Persona.open(home, name, clock=clock) as persona:
            return persona.folder


def remove_session(
    home: Home, persona: str, session: str, *, clock: Callable[[], datetime]
) -> None:
    """Delete a session, by its whole id, and its name: there is no way back.

    What the persona learned in it stays. Raises BusyError while another process has the persona
    open, StateError for an unknown session, StorageError.
    """
    with moving.alone(home, persona) as folder:
        path = session_files.path_of(folder, session_files.find(folder, session))
        _let_go(folder, session, clock)
        with storage(path):
            path.unlink()
            sync_folder(path.parent)
    with contextlib.suppress(StateError):  # a damaged file of names holds nothing back
        names.name_session(home, persona, session, None)


def _let_go(folder: Path, session: str, clock: Callable[[], datetime]) -> None:
    """Commit that no session goes on, where this is the one that would."""
    current = _head(folder)
    if current is None or current.session != session:
        return
    following = replace(
        current,
        generation=current.generation + 1,
        clock=clock().astimezone(UTC).isoformat(),
        session=None,
        offset=0,
    )
    head.advance(folder, following, kept=files.read(folder / head.HEAD))


def _head(folder: Path) -> head.Head | None:
    """The newest generation, None where it cannot be read: opening will then look further."""
    path = folder / head.HEAD
    try:
        return head.parse(files.read(path), path)
    except StateError:
        return None


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _file(folder: Path) -> PersonaFile | None:
    try:
        return profile.load(folder)
    except StateError:
        return None


def _sizes(folder: Path, current: head.Head) -> Mapping[str, int]:
    sizes = dict.fromkeys(current.states, 0)
    for name in current.hashes:
        organ = states.organ_of(name)
        if organ in sizes:
            sizes[organ] += files.size(folder / states.STATES / name) or 0
    return sizes


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
