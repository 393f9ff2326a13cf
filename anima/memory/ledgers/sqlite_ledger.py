"""The default ledger: one SQLite file; knows nothing of what its rows say.

WAL with synchronous=FULL makes every commit durable. One connection that locks the file for itself
needs no shared memory, and cannot meet the checkpoint race of two connections in SQLite < 3.51.3.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from anima.errors import AnimaError, BusyError, StorageError
from anima.memory.ledgers.ledger import PAGE, Change, Entry, checked_entry, corrupt

_FRESH_PAGES: Final = 1
"""Pages of a file in which no table was made yet."""

_MAGIC = b"SQLite format 3\x00"
_HEADER = 100
_MOST_FILLED = 2**40  # bytes; a header that asks for more is damaged itself

_PRAGMAS = (
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # What is erased is overwritten, not only unlinked.
    "PRAGMA secure_delete = ON",
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)

_TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, header BLOB NOT NULL, digest BLOB NOT NULL, "
    "anchor BLOB NOT NULL, content BLOB)",
)

_REFUSED = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
}
_DAMAGED_READS = {sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
_HELD = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def fill_up(path: Path) -> None:
    """Make a file that was cut off as long as its header says, so that what is left can be read.

    Source: the SQLite file format, sections 1.3.2 and 1.3.8.
    """
    with path.open("r+b") as file:
        header = file.read(_HEADER)
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            return
        size, pages = int.from_bytes(header[16:18]), int.from_bytes(header[28:32])
        whole = (65536 if size == 1 else size) * pages
        if file.seek(0, os.SEEK_END) < whole <= _MOST_FILLED:
            file.truncate(whole)


class SqliteLedger:
    """A ledger in one file, beside which SQLite keeps a `-wal` while it is open."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._closed = False
        with self._translated():
            place.touch(mode=0o600)
            self._connection = sqlite3.connect(
                place, isolation_level=None, check_same_thread=False, timeout=0
            )
        # Bytes, since a damaged text that is no UTF-8 must be a named error too.
        self._connection.text_factory = bytes
        try:
            with self._translated():
                for pragma in _PRAGMAS:
                    self._connection.execute(pragma).fetchall()
                self._make_tables()
        except BaseException:
            self.close()
            raise

    def meta(self) -> Mapping[str, str]:
        with self._translated():
            rows = self._connection.execute("SELECT name, value FROM meta").fetchall()
            return {name.decode(): value.decode() for name, value in rows}

    def entry(self, seq: int) -> Entry | None:
        with self._translated():
            row = self._connection.execute(
                "SELECT seq, header, digest, anchor, content FROM entries WHERE seq = ?", (seq,)
            ).fetchone()
        return None if row is None else checked_entry(self.place, row)

    def entries(self, first: int = 1) -> Iterator[Entry]:
        while True:
            with self._translated():
                rows = self._page(first)
            if not rows:
                return
            for row in rows:
                entry = checked_entry(self.place, row)
                if entry.seq < first:
                    raise corrupt(self.place, f"row {entry.seq} comes after row {first - 1}")
                first = entry.seq + 1
                yield entry

    def _page(self, first: int) -> list[tuple[Any, ...]]:
        """The rows from a number on, as many as can be read; raises where the first cannot."""
        rows: list[tuple[Any, ...]] = []
        try:
            for row in self._connection.execute(
                "SELECT seq, header, digest, anchor, content FROM entries "
                "WHERE seq >= ? ORDER BY seq LIMIT ?",
                (first, PAGE),
            ):
                rows.append(row)
        except sqlite3.DatabaseError:
            if not rows:
                raise
        return rows

    def write(self, change: Change) -> None:
        with self._translated(), self._transaction() as connection:
            if change.keep is not None:
                connection.execute("DELETE FROM entries WHERE seq > ?", (change.keep,))
            connection.executemany(
                "INSERT INTO entries (seq, header, digest, anchor, content) VALUES (?, ?, ?, ?, ?)",
                ((e.seq, e.header, e.digest, e.anchor, e.content) for e in change.entries),
            )
            connection.executemany(
                "UPDATE entries SET content = ? WHERE seq = ?",
                ((content, seq) for seq, content in change.contents),
            )
            for name, value in change.meta.items():
                if value is None:
                    connection.execute("DELETE FROM meta WHERE name = ?", (name,))
                else:
                    connection.execute("REPLACE INTO meta VALUES (?, ?)", (name, value))

    def scrub(self) -> None:
        with self._translated():
            # What is deleted is overwritten already; the write-ahead log still has the old pages.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with self._translated():
                self._connection.close()

    def _make_tables(self) -> None:
        rows = self._connection.execute("SELECT name FROM sqlite_master").fetchall()
        names = {row[0] for row in rows}
        if {b"meta", b"entries"} <= names:
            return
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        if names or pages > _FRESH_PAGES:
            raise corrupt(self.place, "its tables are gone")
        with self._transaction() as connection:
            for table in _TABLES:
                connection.execute(table)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk has rolled back already; the first error is the one to be told.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._named(error) from error
        except OSError as error:
            raise StorageError(f"{self.place}: {error.strerror or error}.") from error
        except (AttributeError, ValueError) as error:
            raise corrupt(self.place, error) from error

    def _named(self, error: sqlite3.Error) -> AnimaError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        primary = code & 0xFF
        if primary in _HELD:
            return BusyError(
                f"The memory {self.place} is in use by another process. Close it there."
            )
        if primary in _REFUSED and code not in _DAMAGED_READS:
            return StorageError(
                f"{self.place} could not be used ({error}). Free some space or make it writable; "
                "what was saved before is safe."
            )
        return corrupt(self.place, error)
