"""A whole persona in one file, and back: packs, checks and unpacks; knows no screen and asks nothing.

The file is a zip with `persona/…`, `dreams/…` and, as `anima-persona.json`, the list of them with
their sizes and SHA-256. Nothing in a file from elsewhere is believed: a name that leaves its
folder, a link, more than the list says, or more than the limits allow is refused before anything
is written under the persona's name.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

from anima.errors import CorruptStateError, NewerVersionError, StateError, StorageError, UsageError
from anima.home import Home, make_folder, storage, sync_folder
from anima.persona import encoding, inspection, lock, migrate, moving
from anima.persona.store import personas
from anima.version import __version__

MANIFEST = "anima-persona.json"
SUFFIX = ".anima.zip"

_KIND = "anima persona"
_PERSONA, _DREAMS = "persona", "dreams"
_CHUNK = 1 << 20
_MANIFEST_LIMIT = 64 << 20
_ALWAYS_PLAUSIBLE = 64 << 20
"""Bytes up to which nobody asks how well they were compressed: they harm no disk."""

_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)))
)
_UNREADABLE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError,
    NotImplementedError, RuntimeError, ValueError, LookupError, OverflowError,
)  # fmt: skip
"""What `zipfile` raises on files that were made to break it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a file from elsewhere may hold: bytes when unpacked, how often more than packed, files."""

    total: int = 4 << 30
    ratio: float = 200.0
    files: int = 100_000


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One file of a persona as its archive lists it: its size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What an archive says it holds: whose life, when it was packed by which Anima, which files."""

    persona: str
    exported: str
    anima: str
    files: Mapping[str, Listed]

    @property
    def sessions(self) -> int:
        return sum(1 for name in self.files if name.startswith(f"{_PERSONA}/sessions/")
                   and name.endswith(".jsonl"))  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes of all files when unpacked."""
        return sum(each.size for each in self.files.values())


def pack(home: Home, name: str, target: Path, *, now: datetime) -> Contents:
    """Write a persona as it was last committed, with its dreams, into one file; needs no lock.

    A file that is there is replaced, all at once. Raises UsageError for an unknown persona,
    StateError for a file in it that cannot travel, StorageError.
    """
    source = moving.existing(home, name)
    with lock.copied(source, whole=True) as folder, _written(target) as file:
        members = dict(_members(_PERSONA, folder)) | dict(_members(_DREAMS, home.dreams / name))
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            listed = {inside: _add(packed, inside, path) for inside, path in members.items()}
            stamp = now.astimezone(UTC).isoformat(timespec="seconds")
            found = Contents(persona=name, exported=stamp, anima=__version__, files=listed)
            packed.writestr(MANIFEST, encoding.encode(_document(found)))
    return found


def look(path: Path, limits: Limits | None = None) -> Contents:
    """What an archive holds, once its list and its limits are checked; unpacks nothing.

    Raises UsageError where there is no such file, StateError for one that is no archive of a
    persona or is too large, CorruptStateError for a damaged or forged one, NewerVersionError,
    StorageError.
    """
    with _opened(path) as packed:
        return _checked(path, packed, limits or Limits())


def unpack(
    home: Home, path: Path, name: str, *, limits: Limits | None = None, replace: bool = False
) -> list[str]:
    """Make a persona called `name` out of an archive, or leave nothing; returns what is to be said.

    With `replace` it takes the place of one that is there, which is then gone. Raises as `look`
    does, UsageError or StateError where the name is taken, BusyError where what is to be replaced
    is in use, CorruptStateError for what does not open as a persona.
    """
    with _opened(path) as packed, moving.moving(home):
        found = _checked(path, packed, limits or Limits())
        taken = replace and name in personas(home)
        if not taken:
            moving.require_unused(home, name)
        _check_space(home, found.size)
        with moving.staged(home, name) as stage:
            places = {_PERSONA: stage.folder, _DREAMS: stage.dreams}
            for inside, listed in found.files.items():
                _extract(path, packed, inside, listed, places)
            notices = _check_persona(path, stage.folder)
            with moving.replaced(home, name) if taken else contextlib.nullcontext():
                stage.settle()
    return notices


def _members(top: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """The files to pack, by their names inside."""
    with storage(folder):
        found = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in found:
        inside = f"{top}/{path.relative_to(folder).as_posix()}"
        if reason := _unsafe(inside):
            raise StateError(f"{path} cannot be exported: {reason}. Rename or remove it.")
        yield inside, path


def _add(packed: zipfile.ZipFile, inside: str, path: Path) -> Listed:
    digest, size = hashlib.sha256(), 0
    with storage(path), path.open("rb") as source:
        entry = zipfile.ZipInfo.from_file(path, inside, strict_timestamps=False)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (stat.S_IFREG | 0o600) << 16
        with packed.open(entry, "w", force_zip64=True) as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
    return Listed(size=size, sha256=digest.hexdigest())


@contextlib.contextmanager
def _written(target: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `target` when it is whole; for its owner alone."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with storage(target, remedy="Choose another place with -o FILE."):
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


def _document(found: Contents) -> dict[str, Any]:
    listed = {
        inside: {"size": each.size, "sha256": each.sha256} for inside, each in found.files.items()
    }
    return {
        "kind": _KIND,
        "schema": migrate.current("archive"),
        "persona": found.persona,
        "exported": found.exported,
        "anima": found.anima,
        "files": listed,
    }


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive to read from; whatever `zipfile` raises meanwhile is a StateError with its place."""
    if not path.is_file():
        raise UsageError(f"There is no file {path} to import.")
    try:
        with storage(path), path.open("rb") as file, zipfile.ZipFile(file) as packed:
            yield packed
    except _UNREADABLE as error:
        raise CorruptStateError(
            f"{path} cannot be read as an exported persona: {error or type(error).__name__}. Get "
            "the file again from where it came; nothing was imported."
        ) from error


def _checked(path: Path, packed: zipfile.ZipFile, limits: Limits) -> Contents:
    """The archive's list, once every entry is one that may be unpacked and is in it."""
    entries = packed.infolist()
    _check_limits(path, entries, limits)
    for entry in entries:
        if reason := _suspicious(entry):
            raise CorruptStateError(_refused(path, f"{entry.filename!r} {reason}"))
    found = _manifest(path, packed)
    inside = [entry.filename for entry in entries if entry.filename != MANIFEST]
    if len({name.casefold() for name in inside}) < len(inside):
        raise CorruptStateError(_refused(path, "two of its files have the same name"))
    if odd := sorted(set(inside) ^ set(found.files)):
        raise CorruptStateError(_refused(path, f"its list and its files differ: {odd[0]!r}"))
    for entry in entries:
        if entry.filename != MANIFEST and found.files[entry.filename].size != entry.file_size:
            raise CorruptStateError(_refused(path, f"{entry.filename!r} has not the size listed"))
    if f"{_PERSONA}/persona.toml" not in found.files:
        raise StateError(_refused(path, "there is no persona.toml in it"))
    return found


def _check_limits(path: Path, entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    total = sum(entry.file_size for entry in entries)
    packed = max(path.stat().st_size, 1)
    if len(entries) > limits.files:
        raise StateError(_refused(path, f"it holds {len(entries)} files, more than {limits.files}"))
    if total > limits.total:
        raise StateError(
            _refused(path, f"unpacked it takes {_mb(total)}, more than {_mb(limits.total)}")
            + " Where you trust it, --max-size MB allows more."
        )
    if total > _ALWAYS_PLAUSIBLE and total > limits.ratio * packed:
        raise StateError(
            _refused(path, f"unpacked it is {total / packed:.0f} times as large as the file")
            + f" Where you trust it, --max-ratio N allows more than {limits.ratio:g}."
        )


def _suspicious(entry: zipfile.ZipInfo) -> str | None:
    """Why an entry may not be unpacked, None where it may."""
    if reason := _unsafe(entry.filename, manifest=True):
        return f"is refused: {reason}"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "is a link or a device"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in a way that no export uses"
    return None


def _unsafe(inside: str, *, manifest: bool = False) -> str | None:
    """Why a name cannot be that of a file in an archive: it must mean the same on every system."""
    if manifest and inside == MANIFEST:
        return None
    top, *parts = inside.split("/")
    if top not in (_PERSONA, _DREAMS) or not parts:
        return f"it is not in {_PERSONA}/ or {_DREAMS}/"
    if len(inside) > 300 or not inside.isprintable():
        return "its name is too long or not printable"
    for part in parts:
        if part in ("", ".", "..") or part.endswith((".", " ")) or set(part) & set('\\:*?"<>|'):
            return f"{part!r} cannot be a file's name everywhere"
        if part.partition(".")[0].casefold() in _DEVICES:
            return f"{part!r} is a device on some systems"
    if len(parts) == 1 and parts[0].casefold() in (lock.LOCK, lock.HOLDER):
        return "a lock belongs to a process, not to a persona"
    return None


def _manifest(path: Path, packed: zipfile.ZipFile) -> Contents:
    try:
        entry = packed.getinfo(MANIFEST)
    except KeyError as error:
        raise StateError(_refused(path, f"there is no {MANIFEST} in it")) from error
    if entry.file_size > _MANIFEST_LIMIT:
        raise CorruptStateError(_refused(path, f"its {MANIFEST} is too large"))
    try:
        document = encoding.decode(packed.read(entry))
        if document.get("kind") != _KIND:
            raise StateError(_refused(path, f"its {MANIFEST} is of another kind"))
        document = migrate.upgrade(
            "archive", document, document.get("schema"), place=f"{path}: {MANIFEST}"
        )
        return _contents(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptStateError(_refused(path, f"its {MANIFEST} is damaged ({error})")) from error


def _contents(document: Mapping[str, Any]) -> Contents:
    listed = {
        str(inside): Listed(size=int(each["size"]), sha256=str(each["sha256"]))
        for inside, each in document["files"].items()
    }
    return Contents(
        persona=str(document["persona"]),
        exported=str(document["exported"]),
        anima=str(document["anima"]),
        files=listed,
    )


def _extract(
    path: Path, packed: zipfile.ZipFile, inside: str, listed: Listed, places: Mapping[str, Path]
) -> None:
    """Write one file of the archive into its place, counting what really comes out of it."""
    top, _, rest = inside.partition("/")
    target = places[top].joinpath(*rest.split("/"))
    make_folder(target.parent)
    digest, left = hashlib.sha256(), listed.size
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with packed.open(inside) as source, storage(target):
        descriptor = os.open(target, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in _chunks(source):
                left -= len(chunk)
                if left < 0:
                    break
                digest.update(chunk)
                file.write(chunk)
    if left or digest.hexdigest() != listed.sha256:
        raise CorruptStateError(_refused(path, f"{inside!r} is not what its hash says"))


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk


def _check_persona(path: Path, folder: Path) -> list[str]:
    """Raise unless the unpacked persona opens; returns what is wrong with it all the same."""
    notices = []
    for fault in inspection.inspect(folder):
        # The folder is a passing one: a person knows the archive.
        said = str(fault.error).replace(str(folder), f"{path}: {_PERSONA}")
        if isinstance(fault.error, NewerVersionError):
            raise NewerVersionError(said)
        if not fault.opens:
            raise CorruptStateError(_refused(path, f"what it holds does not open: {said}"))
        notices.append(said)
    return notices


def _check_space(home: Home, size: int) -> None:
    with storage(home.personas):
        free = shutil.disk_usage(home.personas).free
    if size > free:
        raise StorageError(
            f"The persona takes {_mb(size)} and {home.personas} has {_mb(free)} left. Free some "
            "space, or choose another place with --home."
        )


def _refused(path: Path, reason: str) -> str:
    return f"{path} was not imported: {reason}."


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
