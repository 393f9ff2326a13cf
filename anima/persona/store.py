"""One persona's folder: open, commit, roll back; knows nothing of what organs and records mean.

    persona.toml            who this is, on which model        states/      content-named organ states
    HEAD.json               the last commit                    sessions/    one JSONL file a session
    HEAD.previous.json      the commit before it               recovered/   what was cut away, if ever

A commit writes new state files, appends the records to the session, and then renames HEAD.json,
each made durable before the next: that rename is the commit. Opening undoes what lies beyond it.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from anima.errors import CorruptStateError, StateError
from anima.home import Home, append_durably, make_folder, storage, write_atomically
from anima.organ import OrganState
from anima.persona import files, head, lock, migrate, names, profile, recovery
from anima.persona import session as session_files
from anima.persona import states as state_files
from anima.persona.head import Head
from anima.persona.profile import PersonaFile
from anima.persona.recovery import Standing
from anima.persona.session import Record
from anima.persona.states import Encoded

_PRUNE_AFTER = 64


class Persona:
    """An open persona, held alone until it is closed; `open` makes one.

    Every method raises StorageError where the disk refuses. The last commit then stands, and the
    persona can be used on: the same commit, made again, repeats nothing.
    """

    def __init__(
        self,
        *,
        folder: Path,
        clock: Callable[[], datetime],
        file: PersonaFile,
        standing: Standing,
        held: contextlib.ExitStack,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._file = file
        self._head = standing.head
        self._head_content = standing.content
        self._notices = list(standing.notices)
        self._held = held
        self._closed = False
        self._session = _session_to_go_on(folder, standing.head)
        self._session_schema: int | None = None
        self._opening: Mapping[str, Any] = {}
        self._started = ""
        self._written = 0
        # Records that are not saved yet may name these: none of them is pruned while this is open.
        self._begun_from = set(standing.head.states.values())

    @classmethod
    def open(
        cls,
        home: Home,
        name: str,
        *,
        clock: Callable[[], datetime],
        ephemeral: bool = False,
        busy_remedy: str = lock.TALK_REMEDY,
    ) -> "Persona":
        """Open a persona, which is made on first use; `ephemeral` opens a copy that is not kept.

        `clock` tells the time of what is written. Raises UsageError for a name that cannot be,
        BusyError with `busy_remedy` where another process holds the persona, CorruptStateError
        where no generation is whole, NewerVersionError, and StorageError.
        """
        source = home.persona(name)
        with contextlib.ExitStack() as stack:
            if ephemeral:
                folder = stack.enter_context(lock.copied(source))
            else:
                folder = source
                make_folder(folder)
                stack.enter_context(lock.hold(folder, name, remedy=busy_remedy))
            file = profile.load(folder)
            standing = recovery.recover(folder, lambda: _iso(clock()), alone=not ephemeral)
            for place in (state_files.STATES, session_files.SESSIONS):
                make_folder(folder / place)
            if file is None:
                file = _fresh_file(folder, clock())
                if standing.head.generation:
                    anew = f"{folder / profile.PROFILE} was missing and is written anew."
                    standing = replace(standing, notices=(*standing.notices, anew))
            recovery.prune(folder)
            held = stack.pop_all()
        return cls(folder=folder, clock=clock, file=file, standing=standing, held=held)

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def folder(self) -> Path:
        """Where its files are; for an ephemeral persona a temporary folder, gone with `close`."""
        return self._folder

    @property
    def file(self) -> PersonaFile:
        """What `persona.toml` says."""
        return self._file

    @property
    def generation(self) -> int:
        """The number of the last commit; 0 before the first."""
        return self._head.generation

    @property
    def notices(self) -> tuple[str, ...]:
        """What opening it, or a session of it, had to mend; empty where all was well."""
        return tuple(self._notices)

    @property
    def session(self) -> str | None:
        """The session that records go to: begun, resumed, or the last one; None where none is."""
        return self._session

    def remember_model(self, model: str, fingerprint: str) -> None:
        """Note in `persona.toml` which model it lives on."""
        self._remember(replace(self._file, model=model, fingerprint=fingerprint))

    def states(self) -> Mapping[str, OrganState]:
        """The organs' states as of the last commit, by organ; raises CorruptStateError."""
        return {
            organ: state_files.load(self._folder, name, self._head.hashes)
            for organ, name in self._head.states.items()
        }

    def snapshot(self) -> Mapping[str, str]:
        """The content names of the states as of the last commit, by organ."""
        return dict(self._head.states)

    def load_snapshot(self, names: Mapping[str, str]) -> Mapping[str, OrganState]:
        """The states that a snapshot names, such as a session's header has one under `snapshot`.

        Raises CorruptStateError where one is missing or damaged, and NewerVersionError.
        """
        return {organ: state_files.load(self._folder, name, {}) for organ, name in names.items()}

    def begin_session(self, header: Mapping[str, Any]) -> str:
        """Begin a session and return its id; its file comes with its first record.

        `header` adds to what every header holds: the session's id, its start, its schema, and the
        snapshot of the states before its first record.
        """
        self._require_open()
        now = self._clock()
        session = session_files.new_id(self._folder, now, self._head.session)
        # A value that JSON cannot hold is refused here, not when the first turn is saved.
        session_files.line(header)
        self._session, self._session_schema = session, migrate.current("session")
        self._opening, self._started = dict(header), _iso(now)
        self._begun_from.update(self._head.states.values())
        return session

    def resume_session(self, session: str) -> Sequence[Record]:
        """Go on with a session, by its name, its id or the beginning of it; returns its records.

        The header comes first. A torn last line is moved away and noted. Raises StateError for an
        unknown session, CorruptStateError that names a damaged line, and NewerVersionError.
        """
        self._require_open()
        found = names.find(self._folder, session)
        path = session_files.path_of(self._folder, found)
        limit = self._head.offset if found == self._head.session else None
        scan = session_files.scan(path, limit)
        if scan.error is not None:
            raise scan.error
        if scan.torn:
            whole = (files.size(path) or 0) - len(scan.torn)
            self._notices += recovery.roll_back(self._folder, found, whole)
        self._session, self._session_schema = found, scan.schema
        self._begun_from.update(self._head.states.values())
        return scan.records

    def commit(
        self, *, states: Mapping[str, OrganState], records: Sequence[Mapping[str, Any]]
    ) -> int:
        """Make states and records true together, or neither; returns the new generation.

        Organs that are not named keep the state they have. Raises StateError for what cannot be
        kept as it is, or for records without a session; CorruptStateError where the session's file
        was changed meanwhile; StorageError where the disk refuses.
        """
        self._require_open()
        encoded = [state_files.encode(organ, state) for organ, state in states.items()]
        lines = b"".join(session_files.line(record) for record in records)
        if lines and self._session is None:
            raise StateError("Records need a session: begin one, or resume one.")
        for each in encoded:
            self._write_state(each)
        session, offset = self._head.session, self._head.offset
        if lines and self._session is not None:
            session, offset = self._session, self._append(self._session, lines)
        self._advance(encoded, session=session, offset=offset)
        if self._written >= _PRUNE_AFTER:
            recovery.prune(self._folder, self._begun_from)
            self._written = 0
        return self._head.generation

    def close(self) -> None:
        """Let go of the persona; an ephemeral one is gone with it. Closing twice does nothing."""
        self._closed = True
        self._held.close()

    def __enter__(self) -> "Persona":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write_state(self, encoded: Encoded) -> None:
        """Write the files of a state that are not there yet, or not as they should be."""
        for name, content in encoded.contents.items():
            path = self._folder / state_files.STATES / name
            if name not in self._head.hashes and files.read_if_there(path) != content:
                write_atomically(path, content)
                self._written += 1

    def _append(self, session: str, lines: bytes) -> int:
        """Add lines to the session's file, durably; returns where it ends now."""
        path = session_files.path_of(self._folder, session)
        if session != self._head.session:
            self._announce(session, path)
        offset = self._head.offset
        if (files.size(path) or 0) < offset:
            raise CorruptStateError(
                f"{path} was cut or removed while it was in use. Begin a new session to go on."
            )
        content = self._opening_lines(session, path, offset) + lines
        append_durably(path, content, offset=offset)
        self._session_schema = migrate.current("session")
        return offset + len(content)

    def _announce(self, session: str, path: Path) -> None:
        """Commit that records go to another session from here on, before the first one does.

        So whatever its file holds beyond that point is known not to count.
        """
        if self._head.session is not None:
            self._notices += recovery.roll_back(self._folder, self._head.session, self._head.offset)
        self._advance((), session=session, offset=files.size(path) or 0)

    def _opening_lines(self, session: str, path: Path, offset: int) -> bytes:
        """What comes before the next record: the header, or the mark of a newer schema."""
        if offset == 0:
            snapshot, given = self.snapshot(), self._opening
            return session_files.line(session_files.header(session, self._started, snapshot, given))
        if self._session_schema is None:
            self._session_schema = session_files.scan(path, offset).schema
        if self._session_schema == migrate.current("session"):
            return b""
        return session_files.line(session_files.schema_mark())

    def _advance(self, encoded: Sequence[Encoded], *, session: str | None, offset: int) -> None:
        """Make a new head the truth: this is the commit."""
        fresh = {each.organ for each in encoded}
        known = self._head.hashes.items()
        hashes = {name: sha for name, sha in known if state_files.organ_of(name) not in fresh}
        for each in encoded:
            hashes |= each.hashes()
        following = Head(
            generation=self._head.generation + 1,
            clock=_iso(self._clock()),
            states={**self._head.states, **{each.organ: each.name for each in encoded}},
            hashes=hashes,
            session=session,
            offset=offset,
        )
        self._head_content = head.advance(self._folder, following, kept=self._head_content)
        self._head = following

    def _remember(self, file: PersonaFile) -> None:
        self._require_open()
        if file != self._file:
            profile.save(self._folder, file)
            self._file = file

    def _require_open(self) -> None:
        if self._closed:
            raise StateError(f"Persona {self.name!r} is closed; open it again.")


def personas(home: Home) -> list[str]:
    """The names of all personas of a home, sorted; needs no lock."""
    with storage(home.personas):
        if not home.personas.is_dir():
            return []
        folders = [path for path in home.personas.iterdir() if not path.name.startswith(".")]
        return sorted(path.name for path in folders if _is_persona(path))


def _is_persona(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (profile.PROFILE, head.HEAD, head.PREVIOUS))


def _fresh_file(folder: Path, now: datetime) -> PersonaFile:
    file = PersonaFile(name=folder.name, created=now.astimezone(UTC).replace(microsecond=0))
    profile.save(folder, file)
    return file


def _session_to_go_on(folder: Path, found: Head) -> str | None:
    """The session of the head, where it holds anything that could be continued."""
    if found.session is None or not found.offset:
        return None
    there = files.size(session_files.path_of(folder, found.session)) is not None
    return found.session if there else None


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
