"""The small protocol of every ledger, and how one is found and held; knows nothing of what lines say.

A ledger keeps rows and a few words about itself, and changes them by one atomic, durable `write`.
That there is nothing else to it is what lets one crash suite speak for all of them.
"""

import contextlib
import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from anima.errors import BusyError, CorruptStateError, UsageError
from anima.home import make_folder, storage, sync_folder

PAGE = 512
"""Rows that are read at once while going through a ledger."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a line's canonical header, its digest and anchor, and its content as it is kept.

    `content` is the envelope that `crypto` makes, None where it was erased.
    """

    seq: int
    header: bytes
    digest: bytes
    anchor: bytes
    content: bytes | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one `write` makes true, in this order, whole or not at all.

    `keep` cuts away every row beyond it; `entries` are appended; `contents` replace those of rows
    that are there, None for erased; `meta` sets words, None removes one.
    """

    keep: int | None = None
    entries: Iterable[Entry] = ()
    contents: Iterable[tuple[int, bytes | None]] = ()
    meta: Mapping[str, str | None] = field(default_factory=dict)


class Ledger(Protocol):
    """Where lines are kept.

    Every method raises StorageError where the disk refuses and CorruptStateError where the files
    are not what they should be; after either the ledger is as before the call, and usable.
    """

    place: Path

    def meta(self) -> Mapping[str, str]:
        """The ledger's words about itself; empty for one that was never written to."""
        ...

    def entry(self, seq: int) -> Entry | None:
        """One row, None where there is none."""
        ...

    def entries(self, first: int = 1) -> Iterator[Entry]:
        """The rows from `first` on, in their order; stays valid while rows are appended."""
        ...

    def write(self, change: Change) -> None:
        """Make a change true, durably: when this returns, a loss of power does not undo it."""
        ...

    def scrub(self) -> None:
        """Leave nothing in the files of contents that were replaced or cut away."""
        ...

    def close(self) -> None:
        """Let go of the files. Closing twice does nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of ledger: the ending of its file, the module that knows it, its package."""

    suffix: str
    module: str
    name: str
    package: str | None = None


KINDS: Mapping[str, Kind] = {
    "sqlite": Kind(suffix=".sqlite", module="sqlite_ledger", name="SqliteLedger"),
    "json": Kind(suffix=".json", module="json_ledger", name="JsonLedger"),
    "lmdb": Kind(suffix=".lmdb", module="lmdb_ledger", name="LmdbLedger", package="lmdb"),
    "duckdb": Kind(suffix=".duckdb", module="duckdb_ledger", name="DuckdbLedger", package="duckdb"),
}


def kind_of(path: Path) -> str:
    """The kind that a file's ending names; raises UsageError for another ending."""
    for name, kind in KINDS.items():
        if path.suffix == kind.suffix:
            return name
    endings = ", ".join(kind.suffix for kind in KINDS.values())
    raise UsageError(f"{path} does not say what kind of ledger it is: let it end in {endings}.")


@contextlib.contextmanager
def opened(path: Path, first: Callable[[], Change]) -> Iterator[Ledger]:
    """The ledger at `path`, held by this process alone until the end.

    Where there is none it is made, with `first` in it, under another name and then renamed: a cut
    leaves none or a whole one, however many writes its engine needs to begin. Raises UsageError for an unknown ending or a package that is not installed, BusyError where
    another process or another `opened` holds it, StorageError, and CorruptStateError.
    """
    kind = KINDS[kind_of(path)]
    make = _maker(kind)
    make_folder(path.parent)
    with hold(path):
        if not path.exists():
            _make(make, path, first())
        ledger = make(path)
        try:
            yield ledger
        finally:
            ledger.close()


def _make(make: Callable[[Path], Ledger], path: Path, change: Change) -> None:
    # The ending stays: an engine may go by it.
    unfinished = path.with_name(f".new-{path.name}")
    remove(unfinished)
    try:
        ledger = make(unfinished)
        try:
            ledger.write(change)
        finally:
            ledger.close()
        with storage(path):
            sync_file(unfinished)
            unfinished.replace(path)
            sync_folder(path.parent)
    except BaseException:
        remove(unfinished)
        raise


def remove(path: Path) -> None:
    """Remove a ledger's file, and what its engine leaves beside it; raises StorageError."""
    for ending in ("", "-wal", "-journal", ".wal"):
        each = path.with_name(path.name + ending)
        with storage(each):
            each.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make a whole file durable that an engine wrote."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a ledger's lock, which the system releases however the process ends."""
    from filelock import FileLock, Timeout

    lock_path = path.with_name(f".{path.name}.lock")
    lock = FileLock(lock_path, timeout=0, mode=0o600, thread_local=False)
    with storage(lock_path):
        try:
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"The memory {path} is in use by another process. Close it there, or read a copy."
            ) from error
    try:
        yield
    finally:
        lock.release()


REMEDY: Final = (
    "anima memory repair keeps what is whole of it; or put a copy of the file in its place."
)


def corrupt(place: Path, reason: object) -> CorruptStateError:
    """The error for a file that is not what it should be."""
    return CorruptStateError(f"{place} is damaged ({reason}). {REMEDY}")


def checked_entry(place: Path, row: Iterable[object]) -> Entry:
    """A row whose every field has its type; raises CorruptStateError for another.

    A damaged file can hold anything anywhere, so nothing of a row is believed.
    """
    fields = list(row)
    if len(fields) != 5:
        raise corrupt(place, f"a row of {len(fields)} fields")
    seq, header, digest, anchor, content = fields
    if type(seq) is not int or seq < 1:
        raise corrupt(place, f"a row numbered {seq!r}")
    if not (isinstance(header, bytes) and isinstance(digest, bytes) and isinstance(anchor, bytes)):
        raise corrupt(place, f"row {seq} has lost its header, its digest or its anchor")
    if content is not None and not isinstance(content, bytes):
        raise corrupt(place, f"row {seq} has a content of another type")
    return Entry(seq, header, digest, anchor, content)


def _maker(kind: Kind) -> Callable[[Path], Ledger]:
    try:
        module = importlib.import_module(f"anima.memory.ledgers.{kind.module}")
    except ModuleNotFoundError as error:
        if kind.package is None or error.name != kind.package:
            raise
        raise UsageError(
            f"A {kind.suffix} ledger needs the package {kind.package!r}, which is not installed: "
            "pip install 'anima-runtime[memory]', or take a .sqlite ledger."
        ) from error
    make: Callable[[Path], Ledger] = getattr(module, kind.name)
    return make
