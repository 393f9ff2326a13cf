"""The names that a person gave to sessions, in one file beside them; knows nothing of what was said.

`sessions/names.json` maps ids to names. It is no part of any session's record: a name can change
while another process has the session open, listing takes no lock, and a replay never sees it.
"""

import contextlib
import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anima.errors import CorruptStateError, StateError, UsageError
from anima.home import Home, storage, write_atomically
from anima.persona import encoding, files, migrate
from anima.persona import session as session_files

NAMES = "names.json"
LONGEST = 80

_LISTED = 5  # names that an error lists
_LOCK = ".names.lock"
_PATIENCE = 5.0  # seconds; whoever writes holds the lock for milliseconds
_LIKE_AN_ID = re.compile(r"\d+(-\d*(-[0-9a-f]*)?)?")
_RESERVED = "continue"


def names(home: Home, persona: str) -> dict[str, str]:
    """The names of a persona's sessions by id; needs no lock.

    A session that has a name and no turn yet is among them, though it has no file. Raises
    CorruptStateError, NewerVersionError and StorageError.
    """
    return read(home.persona(persona))


def find_session(home: Home, persona: str, word: str) -> str:
    """The id of the session with this name, this id, or the only one whose id or name begins so.

    Needs no lock. Raises StateError that names the candidates or the nearest name.
    """
    return find(home.persona(persona), word)


def name_session(home: Home, persona: str, session: str, name: str | None) -> None:
    """Give a session, by its whole id, a name, or with None take its name from it.

    The session may be open in another process, and may be without a turn. Raises UsageError for
    what cannot be a name, StateError for a name that another session has, CorruptStateError where
    the file of names is damaged, and StorageError.
    """
    folder = home.persona(persona)
    chosen = None if name is None else checked(name)
    with _writing(folder):
        known = read(folder)
        if chosen is not None:
            _give_way(folder, known, session, chosen)
            known[session] = chosen
        elif known.pop(session, None) is None:
            return
        document = {"schema": migrate.current("names"), "names": known}
        write_atomically(_path(folder), encoding.encode(document, sort=True) + b"\n")


def checked(name: str) -> str:
    """The name as it is kept: one line, composed characters; raises UsageError for what cannot be."""
    chosen = unicodedata.normalize("NFC", " ".join(name.split()))
    if not chosen or len(chosen) > LONGEST or not chosen.isprintable() or chosen.startswith("-"):
        raise UsageError(
            f"{name!r} cannot name a session: use 1 to {LONGEST} printable characters and do not "
            "begin with '-'."
        )
    if _LIKE_AN_ID.fullmatch(chosen) or _folded(chosen) == _RESERVED:
        raise UsageError(
            f"{name!r} cannot name a session, because it already means something in its place: add a word."
        )
    return chosen


def read(folder: Path) -> dict[str, str]:
    """The names of the sessions in a persona's folder; raises as `names` does."""
    path = _path(folder)
    content = files.read_if_there(path)
    if content is None:
        return {}
    try:
        document = encoding.decode(content)
    except ValueError as error:
        raise CorruptStateError(_damaged(path, str(error))) from error
    document = migrate.upgrade("names", document, document.get("schema"), place=str(path))
    return _parsed(document, path)


def find(folder: Path, word: str) -> str:
    """As `find_session`, in a persona's folder."""
    damage: StateError | None = None
    known: Mapping[str, str] = {}
    try:
        known = read(folder)
    except StateError as error:  # an id needs no names
        damage = error
    there = session_files.ids(folder)
    for session, name in known.items():
        if _folded(name) == _folded(word) and session in there:
            return session
    try:
        return session_files.find(folder, word)
    except StateError as error:
        if damage is not None:
            raise damage from error
        named = {each: known[each] for each in there if each in known}
        if begun := _begun(named, word):
            return begun
        raise StateError(f"{error}{_hint(named, word)}") from error


def _begun(named: Mapping[str, str], word: str) -> str | None:
    """The only session whose name begins with a word; None where several do, or none."""
    found = [session for session, name in named.items() if _folded(name).startswith(_folded(word))]
    return found[0] if len(found) == 1 and word.strip() else None


def _hint(named: Mapping[str, str], word: str) -> str:
    """The name that was probably meant, else the newest names there are."""
    newest = [named[session] for session in sorted(named, reverse=True)]
    if near := difflib.get_close_matches(word, newest, 1):
        return f" Did you mean the one named {near[0]!r}?"
    return f" Names: {', '.join(map(repr, newest[:_LISTED]))}." if newest else ""


def _give_way(folder: Path, known: dict[str, str], session: str, chosen: str) -> None:
    """Free a name of a session that never came to be; raises StateError where another one has it."""
    for other, name in list(known.items()):
        if other == session or _folded(name) != _folded(chosen):
            continue
        if files.size(session_files.path_of(folder, other)) is not None:
            raise StateError(
                f"{chosen!r} is the name of session {other} already. Choose another name, or give "
                f"that one another first: anima sessions rename {other} NAME"
            )
        del known[other]


def _parsed(document: Mapping[str, Any], path: Path) -> dict[str, str]:
    found = document.get("names")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise CorruptStateError(_damaged(path, "it holds no names"))
    return dict(found)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Keep two processes from writing at once, as each would lose what the other wrote."""
    from filelock import FileLock, Timeout

    place = folder / session_files.SESSIONS
    if not place.is_dir():
        raise StateError(f"There is no persona {folder.name!r} whose sessions could have names.")
    lock = FileLock(place / _LOCK, timeout=_PATIENCE, mode=0o600)
    with storage(place):
        try:
            lock.acquire()
        except Timeout as error:
            raise StateError(
                f"{_path(folder)} is being written all the time. Try again."
            ) from error
    try:
        yield
    finally:
        lock.release()


def _path(folder: Path) -> Path:
    return folder / session_files.SESSIONS / NAMES


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()


def _damaged(path: Path, cause: str) -> str:
    return (
        f"{path} is damaged: {cause}. Mend it, or delete it: the sessions then have no names, and "
        "nothing else is lost."
    )
