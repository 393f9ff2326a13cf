"""A ledger in one DuckDB file; knows nothing of what its rows say.

DuckDB syncs its log at every commit and keeps a checksum with every block.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import duckdb

from anima.errors import AnimaError, StorageError
from anima.home import sync_folder
from anima.memory.ledgers.ledger import PAGE, Change, Entry, checked_entry, corrupt

_SETTINGS = {
    # A file of memories can neither fetch nor read anything else.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "true",
    "threads": "1",
}

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (name VARCHAR NOT NULL, value VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS entries (seq BIGINT NOT NULL, header BLOB NOT NULL, "
    "digest BLOB NOT NULL, anchor BLOB NOT NULL, content BLOB)",
)
_ROWS_AT_ONCE = 200
_Row = TypeVar("_Row")
_ROW = "seq, header, digest, anchor, content"


class DuckdbLedger:
    """A ledger in one file, beside which DuckDB keeps a `.wal` while it is open."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._open()

    def meta(self) -> Mapping[str, str]:
        with self._translated() as connection:
            rows = connection.execute("SELECT name, value FROM meta").fetchall()
            return {str(name): str(value) for name, value in rows}

    def entry(self, seq: int) -> Entry | None:
        with self._translated() as connection:
            found = connection.execute(f"SELECT {_ROW} FROM entries WHERE seq = ?", [seq])
            row = found.fetchone()
        return None if row is None else checked_entry(self.place, row)

    def entries(self, first: int = 1) -> Iterator[Entry]:
        while True:
            with self._translated() as connection:
                rows = connection.execute(
                    f"SELECT {_ROW} FROM entries WHERE seq >= ? ORDER BY seq LIMIT {PAGE}", [first]
                ).fetchall()
            if not rows:
                return
            for row in rows:
                entry = checked_entry(self.place, row)
                if entry.seq < first:
                    raise corrupt(self.place, f"row {entry.seq} stands twice")
                first = entry.seq + 1
                yield entry

    def write(self, change: Change) -> None:
        # Read before the transaction begins: one connection answers one question at a time.
        entries, contents = list(change.entries), list(change.contents)
        with self._translated() as connection:
            connection.execute("BEGIN TRANSACTION")
            try:
                if change.keep is not None:
                    connection.execute("DELETE FROM entries WHERE seq > ?", [change.keep])
                for page in _paged(entries):
                    rows = ", ".join(["(?, ?, ?, ?, ?)"] * len(page))
                    connection.execute(
                        f"INSERT INTO entries VALUES {rows}",
                        [v for e in page for v in (e.seq, e.header, e.digest, e.anchor, e.content)],
                    )
                for few in _paged(contents):
                    rows = ", ".join(["(CAST(? AS BIGINT), CAST(? AS BLOB))"] * len(few))
                    connection.execute(
                        "UPDATE entries SET content = new.content "
                        f"FROM (VALUES {rows}) AS new(seq, content) WHERE entries.seq = new.seq",
                        [value for pair in few for value in pair],
                    )
                for name, value in change.meta.items():
                    connection.execute("DELETE FROM meta WHERE name = ?", [name])
                    if value is not None:
                        connection.execute("INSERT INTO meta VALUES (?, ?)", [name, value])
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise

    def scrub(self) -> None:
        """Copy what lives into a new file: the old one's free blocks still hold what was dropped."""
        copy = self.place.with_name(f".{self.place.name}.tmp")
        with self._translated() as connection:
            copy.unlink(missing_ok=True)
            connection.execute(f"ATTACH '{_quoted(copy)}' AS copy")
            for table in _TABLES:
                connection.execute(table.replace("EXISTS ", "EXISTS copy."))
            connection.execute("INSERT INTO copy.meta SELECT * FROM meta")
            connection.execute(f"INSERT INTO copy.entries SELECT {_ROW} FROM entries ORDER BY seq")
            connection.execute("CHECKPOINT copy")
            connection.execute("DETACH copy")
            connection.execute("CHECKPOINT")
            self.close()
            copy.chmod(0o600)
            copy.replace(self.place)
            sync_folder(self.place.parent)
        self._open()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(duckdb.Error):
                connection.close()

    def _open(self) -> None:
        try:
            self._connection = duckdb.connect(str(self.place), config=dict(_SETTINGS))
            for table in _TABLES:
                self._connection.execute(table)
            # DuckDB makes files that everybody may read.
            self.place.chmod(0o600)
        except (duckdb.Error, OSError, ValueError) as error:
            self.close()
            raise self._named(error) from error

    def _roll_back(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Undo a refused change; a connection that a fatal error has spoilt is opened again."""
        try:
            connection.execute("ROLLBACK")
        except duckdb.Error:
            self.close()
            with contextlib.suppress(AnimaError):
                self._open()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._connection is None:
            self._open()
        assert self._connection is not None
        try:
            yield self._connection
        except (duckdb.Error, OSError, ValueError) as error:
            raise self._named(error) from error

    def _named(self, error: Exception) -> AnimaError:
        words = str(error)
        if isinstance(error, OSError) or any(word in words for word in _SYSTEM_WORDS):
            return StorageError(
                f"{self.place} could not be used ({words.splitlines()[0]}). Free some space or "
                "make it writable; what was saved before is safe."
            )
        return corrupt(self.place, words.splitlines()[0] if words else type(error).__name__)


_SYSTEM_WORDS = (
    "No space left",
    "File too large",
    "Permission denied",
    "Read-only file system",
    "Input/output error",
    "Disk quota",
    "Is a directory",
)


def _paged(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    """Many rows a statement: DuckDB takes milliseconds for each statement, whatever is in it."""
    return (rows[at : at + _ROWS_AT_ONCE] for at in range(0, len(rows), _ROWS_AT_ONCE))


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
