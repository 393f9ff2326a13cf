"""Session files: one record a line, the header first; knows nothing of who writes them when.

What it knows of a record is its kind, under `record`: the header is `session`, a turn `turn` with
the user's `text`, and `undo` takes a turn back. Everything else is the recorder's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from anima.errors import AnimaError, CorruptStateError, StateError, StorageError
from anima.home import Home, storage
from anima.persona import encoding, files, head, migrate

SESSIONS = "sessions"

Record = dict[str, Any]

_HEADER, _TURN, _UNDO, _SCHEMA = "session", "turn", "undo", "schema"
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class SessionSummary:
    """One line of a list of sessions.

    `started` is None where the header cannot be read, `first_text` where there is no turn; `turns`
    counts those not taken back; `damaged` says what is wrong with the file.
    """

    id: str
    started: datetime | None
    turns: int
    first_text: str | None
    damaged: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A session file as it is: the records that can be read, in the current schema.

    `schema` is the one that its last line is in, `torn` the bytes after the last line end, `error`
    the first thing that is wrong with a whole line.
    """

    records: Sequence[Record]
    schema: int
    torn: bytes
    error: StateError | None


def path_of(folder: Path, session: str) -> Path:
    """Where a persona's folder keeps a session."""
    return folder / SESSIONS / f"{session}.jsonl"


def new_id(folder: Path, now: datetime, taken: str | None) -> str:
    """A name that sorts by time (UTC, the second's fraction in hex) and that no session has yet."""
    while True:
        fraction = now.microsecond * 65536 // 1_000_000
        session = f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{fraction:04x}"
        if session != taken and files.size(path_of(folder, session)) is None:
            return session
        now += timedelta(microseconds=16)


def line(record: Mapping[str, Any]) -> bytes:
    """A record as a line of a session file; raises StateError where JSON cannot hold it."""
    try:
        return encoding.encode(dict(record)) + b"\n"
    except (TypeError, ValueError) as error:
        kind = record.get("record")
        raise StateError(f"A {kind!r} record cannot be kept as JSON: {error}.") from error


def header(
    session: str, started: str, snapshot: Mapping[str, str], given: Mapping[str, Any]
) -> Record:
    """The first record of a session: what is `given`, and what every header holds."""
    return {
        "record": _HEADER,
        "schema": migrate.current("session"),
        "id": session,
        "started": started,
        "snapshot": dict(snapshot),
    } | {key: value for key, value in given.items() if key not in _OWN_KEYS}


_OWN_KEYS = frozenset(("record", "schema", "id", "started", "snapshot"))


def schema_mark() -> Record:
    """The record after which lines are in the current schema, in a file that began in an older."""
    return {"record": _SCHEMA, "schema": migrate.current("session")}


def scan(path: Path, limit: int | None = None) -> Scan:
    """Read a session file, its first `limit` bytes where only those count.

    A damaged line does not hide the others. Raises CorruptStateError where the file is missing,
    StorageError where the disk refuses.
    """
    *lines, torn = _counted(files.read(path), limit).split(b"\n")
    records: list[Record] = []
    error: StateError | None = None
    schema = 0
    for number, content in enumerate(lines, start=1):
        try:
            record = _decode(content, path, number)
            if number == 1 or record.get("record") == _SCHEMA:
                place = _place(path, number)
                schema = migrate.check("session", record.get("schema"), place=place)
            if record.get("record") != _SCHEMA:
                records.append(_upgraded(record, schema, path, number))
        except StateError as caught:
            error = error or caught
            if schema == 0:
                break
    if not lines and error is None:
        error = CorruptStateError(f"{path} holds no whole record. Move it away.")
    return Scan(records=records, schema=schema, torn=torn, error=error)


def _counted(content: bytes, limit: int | None) -> bytes:
    """The bytes that count; all of them where the limit ends no line.

    Whole lines are committed, so such a file was changed by somebody else, and cutting it there
    would hide what was changed.
    """
    return content[:limit] if limit and content[limit - 1 : limit] == b"\n" else content


def read(path: Path, limit: int | None = None) -> list[Record]:
    """The records of a session file, its header first; a torn last line is left out.

    Raises CorruptStateError that names the first damaged line, and as `scan` does.
    """
    found = scan(path, limit)
    if found.error is not None:
        raise found.error
    return list(found.records)


def check_readable(path: Path) -> None:
    """Raise NewerVersionError where the header says that only a newer Anima can read the file."""
    with storage(path), path.open("rb") as file:
        content = file.readline()
    try:
        schema = encoding.decode(content).get("schema")
        migrate.check("session", schema, place=str(path))
    except (ValueError, CorruptStateError):
        return


def named_states(path: Path) -> set[str] | None:
    """The state files that any record of a session names under `snapshot`; None if unsure.

    Only the lines that hold the word are taken apart, so that long sessions are quickly read.
    """
    header, *others = files.read(path).split(b"\n")
    names: set[str] = set()
    try:
        place = _place(path, 1)
        migrate.check("session", encoding.decode(header).get("schema"), place=place)
        for content in [header, *(each for each in others if b'"snapshot"' in each)]:
            names |= {str(name) for name in encoding.decode(content).get("snapshot", {}).values()}
    except (AttributeError, ValueError, StateError):
        return None
    return names


def sessions(home: Home, name: str) -> list[SessionSummary]:
    """The persona's sessions, newest first, as committed; needs no lock."""
    folder = home.persona(name)
    limits = _committed(folder)
    return [
        _summary(path_of(folder, session), session, limits.get(session))
        for session in reversed(ids(folder))
        if limits.get(session) != 0
    ]


def read_session(home: Home, name: str, session: str) -> list[Record]:
    """The committed records of a session, its header first, by its id or the beginning of it.

    Needs no lock. Raises StateError that names the candidates, CorruptStateError that names the
    damaged line, NewerVersionError and StorageError.
    """
    folder = home.persona(name)
    limits = _committed(folder)
    found = find(folder, session)
    return read(path_of(folder, found), limits.get(found))


def scan_session(home: Home, name: str, session: str) -> Scan:
    """What can be read of a session, given by its whole id, as committed; needs no lock.

    Raises CorruptStateError where the file is missing, StorageError where the disk refuses.
    """
    folder = home.persona(name)
    return scan(path_of(folder, session), _committed(folder).get(session))


def latest(folder: Path) -> str | None:
    """The session that was last written to, as far as that can be told; None where there is none."""
    there = ids(folder)
    written = [session for session in _committed(folder) if session in there]
    return next(iter(written or reversed(there)), None)


def find(folder: Path, session: str) -> str:
    """The one session whose id is or begins with `session`; StateError names the candidates."""
    there = ids(folder)
    if session in there:
        return session
    matches = [each for each in there if session and each.startswith(session)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise StateError(
            f"{session!r} begins several sessions: {_listed(matches)}. Give more of it."
        )
    if there:
        raise StateError(
            f"There is no session {session!r} of {folder.name}; there is {_listed(there)}."
        )
    raise StateError(f"There is no session {session!r}: {folder.name} has none yet.")


def ids(folder: Path) -> list[str]:
    """The ids of all session files of a persona's folder, the oldest first; raises StorageError."""
    with storage(folder / SESSIONS):
        try:
            return sorted(path.stem for path in (folder / SESSIONS).iterdir() if _is_session(path))
        except FileNotFoundError:
            return []


def _is_session(path: Path) -> bool:
    return path.suffix == ".jsonl" and not path.name.startswith(".")


def _listed(found: Sequence[str]) -> str:
    newest = ", ".join(found[: -_SHOWN - 1 : -1])
    return newest if len(found) <= _SHOWN else f"{newest} and {len(found) - _SHOWN} older"


def _committed(folder: Path) -> dict[str, int]:
    """How many bytes of the session in HEAD count: another process may be adding to it."""
    path = folder / head.HEAD
    try:
        found = head.parse(files.read(path), path)
    except (StateError, StorageError):
        return {}
    return {} if found.session is None else {found.session: found.offset}


def _summary(path: Path, session: str, limit: int | None) -> SessionSummary:
    try:
        found = scan(path, limit)
    except AnimaError as error:
        return SessionSummary(
            id=session, started=None, turns=0, first_text=None, damaged=str(error)
        )
    kinds = [record.get("record") for record in found.records]
    texts = (record.get("text") for record in found.records if record.get("record") == _TURN)
    damaged = str(found.error) if found.error else None
    if damaged is None and found.torn:
        damaged = f"{path}: its last line is torn and left out."
    return SessionSummary(
        id=session,
        started=_started(found.records),
        turns=max(0, kinds.count(_TURN) - kinds.count(_UNDO)),
        first_text=next((text for text in texts if isinstance(text, str)), None),
        damaged=damaged,
    )


def _started(records: Sequence[Record]) -> datetime | None:
    try:
        return datetime.fromisoformat(records[0]["started"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _decode(content: bytes, path: Path, number: int) -> Record:
    try:
        return encoding.decode(content)
    except ValueError as error:
        raise CorruptStateError(
            f"{_place(path, number)} is damaged: {error}. Mend the line or move the file away; the "
            "other sessions are not touched by it."
        ) from error


def _upgraded(record: Record, schema: object, path: Path, number: int) -> Record:
    upgraded = migrate.upgrade("session", record, schema, place=_place(path, number))
    if upgraded.get("record") == _HEADER:
        upgraded["schema"] = migrate.current("session")
    return upgraded


def _place(path: Path, number: int) -> str:
    return f"{path}, line {number},"
