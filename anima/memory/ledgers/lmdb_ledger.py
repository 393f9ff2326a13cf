"""A ledger in one LMDB file; knows nothing of what its rows say.

LMDB never overwrites a live page and keeps two meta pages, so a cut leaves the last commit. Its own
lock is off: the file is held by one process already, and one lock guards every call.
"""

import contextlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from anima.errors import StorageError
from anima.home import sync_folder
from anima.memory.ledgers import lmdb_pages
from anima.memory.ledgers.ledger import PAGE, Change, Entry, checked_entry, corrupt, sync_file
from anima.memory.line import pack, unpack

_WORD = b"m"
_ROW = b"r"
_ERASED = b"\x00"
_KEPT = b"\x01"
_ROW_PARTS = 4
_FIRST_MAP = 64 * 1024 * 1024
_MOST_MAP = 1 << 46
_REFUSED = (lmdb.DiskError, lmdb.ReadonlyError, lmdb.MemoryError, lmdb.LockError)


class LmdbLedger:
    """Words under `m…`, rows under `r…` with their number, so that they lie in their order."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._environment: Any = None
        self._open()

    def meta(self) -> Mapping[str, str]:
        with self._translated(), self._environment.begin() as transaction:
            cursor = transaction.cursor()
            found = {}
            if cursor.set_range(_WORD):
                for name, value in cursor:
                    if not name.startswith(_WORD):
                        break
                    found[name[1:].decode()] = value.decode()
            return found

    def entry(self, seq: int) -> Entry | None:
        with self._translated(), self._environment.begin() as transaction:
            packed = transaction.get(_place_of(seq))
            return None if packed is None else self._row(seq, packed)

    def entries(self, first: int = 1) -> Iterator[Entry]:
        while True:
            with self._translated(), self._environment.begin() as transaction:
                cursor = transaction.cursor()
                there = cursor.set_range(_place_of(first))
                rows = list(islice(cursor, PAGE)) if there else []
            if not rows:
                return
            for name, packed in rows:
                seq = int.from_bytes(name[1:], "big")
                if not name.startswith(_ROW) or seq < first:
                    raise corrupt(self.place, f"a row named {name!r}")
                first = seq + 1
                yield self._row(seq, packed)

    def write(self, change: Change) -> None:
        # What is generated is generated once, however often the map must grow.
        entries, contents = list(change.entries), list(change.contents)
        while True:
            try:
                with self._translated(), self._environment.begin(write=True) as transaction:
                    self._write(transaction, change, entries, contents)
                return
            except _MapFull:
                self._grow()

    def scrub(self) -> None:
        """Copy what lives into a new file: the old one's free pages still hold what was dropped."""
        copy = self.place.with_name(f".{self.place.name}.tmp")
        with self._translated():
            copy.unlink(missing_ok=True)
            self._environment.copy(str(copy), compact=True)
            sync_file(copy)
            self._environment.close()
            copy.replace(self.place)
            sync_folder(self.place.parent)
        self._open()

    def close(self) -> None:
        if self._environment is not None:
            self._environment.close()

    def _open(self) -> None:
        with self._translated():
            lmdb_pages.check(self.place)
            self._environment = lmdb.open(
                str(self.place),
                subdir=False,
                lock=False,
                map_size=max(_FIRST_MAP, 2 * _size(self.place)),
                mode=0o600,
                # Pages of what was erased are not handed out with old bytes in them.
                meminit=True,
            )

    def _grow(self) -> None:
        size = 2 * self._environment.info()["map_size"]
        if size > _MOST_MAP:
            raise StorageError(f"{self.place} has grown beyond {_MOST_MAP:,} bytes.")
        self._environment.set_mapsize(size)

    def _write(
        self,
        transaction: Any,
        change: Change,
        entries: list[Entry],
        contents: list[tuple[int, bytes | None]],
    ) -> None:
        if change.keep is not None:
            cursor = transaction.cursor()
            there = cursor.set_range(_place_of(change.keep + 1))
            while there:
                there = cursor.delete()
        for entry in entries:
            transaction.put(_place_of(entry.seq), _packed(entry), overwrite=False)
        for seq, content in contents:
            old = self._row(seq, transaction.get(_place_of(seq)))
            new = Entry(seq, old.header, old.digest, old.anchor, content)
            transaction.put(_place_of(seq), _packed(new))
        for name, value in change.meta.items():
            if value is None:
                transaction.delete(_WORD + name.encode())
            else:
                transaction.put(_WORD + name.encode(), value.encode())

    def _row(self, seq: int, packed: bytes | None) -> Entry:
        try:
            header, digest, anchor, content = unpack(packed or b"", _ROW_PARTS)
        except ValueError as error:
            raise corrupt(self.place, f"row {seq}: {error}") from error
        kept = content[1:] if content.startswith(_KEPT) else None
        return checked_entry(self.place, (seq, header, digest, anchor, kept))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except lmdb.MapFullError as error:
            raise _MapFull from error
        except _REFUSED as error:
            raise self._refused(error) from error
        except lmdb.Error as error:
            # LMDB says what the system refused in words only.
            if any(word in str(error) for word in _SYSTEM_WORDS):
                raise self._refused(error) from error
            raise corrupt(self.place, error) from error
        except OSError as error:
            raise self._refused(error) from error
        except (AttributeError, ValueError) as error:
            raise corrupt(self.place, error) from error

    def _refused(self, error: Exception) -> StorageError:
        return StorageError(
            f"{self.place} could not be used ({error}). Free some space or make it writable; what "
            "was saved before is safe."
        )


class _MapFull(Exception):
    """The map must grow before this change fits; never leaves this module."""


_SYSTEM_WORDS = (
    "No space left",
    "File too large",
    "Permission denied",
    "Read-only file system",
    "Input/output error",
    "Disk quota",
    "Cannot allocate memory",
    "Is a directory",
)


def _place_of(seq: int) -> bytes:
    return _ROW + seq.to_bytes(8, "big")


def _packed(entry: Entry) -> bytes:
    content = _ERASED if entry.content is None else _KEPT + entry.content
    return pack(entry.header, entry.digest, entry.anchor, content)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
