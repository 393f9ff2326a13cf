"""Bring a persona's folder back to its last good commit; knows nothing of what follows."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from anima.errors import CorruptStateError, StateError, StorageError
from anima.home import append_durably, storage, write_atomically
from anima.persona import files, head, session, states
from anima.persona.head import HEAD, PREVIOUS, Head

_SPARE = 64


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a persona stands: its head, that head's bytes, and what there is to say about it."""

    head: Head
    content: bytes
    notices: tuple[str, ...] = ()


def recover(folder: Path, now: Callable[[], str], *, alone: bool) -> Standing:
    """The last good commit, with everything beyond it moved into `recovered/`.

    A new folder gets generation 0. `alone` is false for a copy of what another process may be
    writing: a save in progress is then nothing to speak of. Raises CorruptStateError where no
    generation is good, NewerVersionError, StorageError; before the first two nothing is changed.
    """
    if _is_new(folder):
        first = Head(generation=0, clock=now())
        content = head.encode(first)
        write_atomically(folder / HEAD, content)
        return Standing(head=first, content=content)
    standing, fault = _choose(folder)
    notices = [] if fault is None else [_fall_back(folder, standing, fault)]
    found = standing.head
    if found.session is not None:
        beyond = roll_back(folder, found.session, found.offset)
        notices += beyond if alone or fault is not None else []
        if _session_is_gone(folder, found):
            notices.append(f"The last session, {found.session}, was removed: it cannot go on.")
    _sweep(folder)
    return replace(standing, notices=tuple(notices))


def look(folder: Path) -> str | None:
    """What is wrong with the newest generation, None where nothing is; changes and locks nothing.

    Where it is not None, opening falls back to the generation before. Raises as `recover` does.
    """
    return None if _is_new(folder) else _choose(folder)[1]


def roll_back(folder: Path, name: str, offset: int) -> list[str]:
    """Move what a session's file holds beyond `offset` bytes into `recovered/`, and say so."""
    path = session.path_of(folder, name)
    size = files.size(path)
    if size is None or (size <= offset and offset):
        return []
    beyond = files.read(path)[offset:]
    kept = files.set_aside(folder, path.name, beyond) if beyond else None
    if offset:
        append_durably(path, b"", offset=offset)
    else:
        with storage(path):
            path.unlink()
    if kept is None:
        return []
    whole, torn = beyond.count(b"\n"), not beyond.endswith(b"\n")
    what = [f"{whole} record{'s' * (whole != 1)} that no commit holds"] * bool(whole)
    what += ["a torn last line"] * torn
    return [f"Session {name} was cut off: {' and '.join(what)} moved to {kept}."]


def prune(folder: Path, keep: Iterable[str] = ()) -> None:
    """Remove, once there are many, state files that nothing names any more.

    Named are those of both generations, of any `snapshot` in a session's records, and of `keep`.
    Where anything cannot be read that might name one, nothing is removed.
    """
    with contextlib.suppress(StateError, StorageError, OSError):
        present = [path for path in (folder / states.STATES).iterdir() if _is_state(path)]
        if len(present) <= _SPARE:
            return
        used = _in_use(folder, keep)
        for path in present:
            if path.name not in used:
                path.unlink()


def _is_new(folder: Path) -> bool:
    """Whether nothing was ever committed here: a creation that was cut off is made again."""
    with storage(folder):
        heads = any((folder / name).exists() for name in (HEAD, PREVIOUS))
        return not heads and not any(_content(folder))


def _content(folder: Path) -> Iterator[Path]:
    for name in (states.STATES, session.SESSIONS):
        if (folder / name).is_dir():
            yield from (folder / name).iterdir()


def _choose(folder: Path) -> tuple[Standing, str | None]:
    """The newest good generation, and what is wrong with the one after it."""
    faults = []
    for name in (HEAD, PREVIOUS):
        path = folder / name
        try:
            content = files.read(path)
            found = head.parse(content, path)
            _check(folder, found)
        except CorruptStateError as error:
            faults.append(str(error))
            continue
        return Standing(head=found, content=content), next(iter(faults), None)
    raise CorruptStateError(
        f"Persona {folder.name!r} cannot be opened. {faults[0]} The generation before it is no help: "
        f"{faults[1]} Nothing was changed. Put the file back from a copy, or move {folder} away to "
        "begin anew."
    )


def _fall_back(folder: Path, standing: Standing, fault: str) -> str:
    """Make the generation before a damaged one the truth again, and say so."""
    damaged = files.read_if_there(folder / HEAD)
    kept = "" if damaged is None else f" What was damaged is in {folder / files.RECOVERED}."
    if damaged is not None:
        files.set_aside(folder, HEAD, damaged)
    write_atomically(folder / HEAD, standing.content)
    found = standing.head
    return f"{fault} The last good state is in force: generation {found.generation} of {found.clock}.{kept}"


def _check(folder: Path, found: Head) -> None:
    """Raise CorruptStateError unless every file that the head names is there and whole."""
    for name in found.states.values():
        states.verify(folder, name, found.hashes)
    if found.session is None or not found.offset or _session_is_gone(folder, found):
        return
    path = session.path_of(folder, found.session)
    session.check_readable(path)
    if not _ends_a_record(path, found.offset):
        raise CorruptStateError(
            f"{path} was cut or changed: no record ends at byte {found.offset}, as it should. (Once "
            "it is moved away, the persona opens without that conversation.)"
        )


def _session_is_gone(folder: Path, found: Head) -> bool:
    """Whether someone removed the file of the session: a person may, and the states stay whole."""
    assert found.session is not None
    return bool(found.offset) and files.size(session.path_of(folder, found.session)) is None


def _ends_a_record(path: Path, offset: int) -> bool:
    with storage(path), path.open("rb") as file:
        file.seek(offset - 1)
        return file.read(1) == b"\n"


def _sweep(folder: Path) -> None:
    """Remove the temporary files of writes that were cut off."""
    for place in (folder, folder / states.STATES):
        for path in place.glob(".*.tmp"):
            with storage(path):
                path.unlink()


def _in_use(folder: Path, keep: Iterable[str]) -> set[str]:
    used: set[str] = set()
    for name in (HEAD, PREVIOUS):
        content = files.read_if_there(folder / name)
        if content is not None:
            found = head.parse(content, folder / name)
            used |= {*found.states.values(), *found.hashes}
    names = set(keep)
    for path in (folder / session.SESSIONS).glob("*.jsonl"):
        named = session.named_states(path)
        if named is None:
            raise CorruptStateError(f"{path} may name states, but cannot be read.")
        names |= named
    for name in names - used:
        if (folder / states.STATES / name).exists():
            used |= states.parts(folder, name)
    return used


def _is_state(path: Path) -> bool:
    return states.organ_of(path.name) is not None
