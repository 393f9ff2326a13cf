"""One writer per persona, and copies for those who come second; knows nothing of what is written."""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from anima.errors import BusyError, StorageError
from anima.home import storage
from anima.persona import files, head

LOCK = "lock"
HOLDER = "lock.pid"
OF_A_PROCESS = (LOCK, HOLDER, ".*.lock", ".*.tmp")
"""What belongs to a running process and not to the persona, as patterns of names."""

_ATTEMPTS = 20


TALK_REMEDY = (
    "Close it there, use --ephemeral for a copy that is not kept, or choose another with --persona."
)


@contextlib.contextmanager
def hold(folder: Path, name: str, *, remedy: str = TALK_REMEDY) -> Iterator[None]:
    """Hold the persona's lock, which the system releases however the process ends.

    Raises BusyError where another holds it, StorageError where the disk refuses.
    """
    from filelock import FileLock, Timeout

    # Held for the process, not the thread: a worker may commit what the main thread opened.
    lock = FileLock(folder / LOCK, timeout=0, mode=0o600, thread_local=False)
    with storage(folder / LOCK):
        try:
            lock.acquire()
        except Timeout as error:
            raise BusyError(_busy(folder, name, remedy)) from error
    try:
        _leave_process_id(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def copied(source: Path, *, whole: bool = False) -> Iterator[Path]:
    """A copy of a persona's folder that is gone afterwards; takes no lock and waits for none.

    `whole` has in it what was once cut away, too. Raises StorageError where there is no room for it.
    """
    with contextlib.ExitStack() as stack:
        with storage(Path(tempfile.gettempdir())):
            made = tempfile.TemporaryDirectory(prefix="anima-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made)) / source.name
        _copy(source, folder, OF_A_PROCESS if whole else (*OF_A_PROCESS, files.RECOVERED))
        yield folder


def _copy(source: Path, folder: Path, left_out: Sequence[str]) -> None:
    """Copy what one commit made true: a copy during which HEAD.json changed is made again.

    So is one during which a memory's ledger did, which is written to before HEAD.json is.
    """
    passed_over = shutil.ignore_patterns(*left_out)
    refused: OSError | None = None
    for _ in range(_ATTEMPTS):
        before = _moment(source)
        try:
            if source.is_dir():
                shutil.copytree(source, folder, ignore=passed_over)
                _let_write(folder)
            else:
                folder.mkdir(mode=0o700)
            if _moment(source) == before:
                return
        except OSError as error:
            refused = error
        shutil.rmtree(folder, ignore_errors=True)
    cause = refused or "it changes all the time"
    raise StorageError(
        f"{source} could not be copied to {folder.parent}: {cause}. Free some space there, or set "
        "TMPDIR to a folder that has it."
    )


def _let_write(folder: Path) -> None:
    """A copy of what its owner may only read is to be written to all the same."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def _moment(source: Path) -> object:
    """What changes with every commit, and with every write to a ledger."""
    written = []
    for path in sorted(source.glob("memory.*")):
        with storage(path), contextlib.suppress(FileNotFoundError):
            found = path.stat()
            written.append((path.name, found.st_size, found.st_mtime_ns))
    return files.read_if_there(source / head.HEAD), written


def _leave_process_id(folder: Path) -> None:
    """Say who holds the lock, for the message to others; the lock does not depend on it."""
    with contextlib.suppress(OSError):
        path = folder / HOLDER
        path.touch(mode=0o600)
        path.write_text(f"{os.getpid()}\n", encoding="ascii")


def _busy(folder: Path, name: str, remedy: str) -> str:
    try:
        holder = f"process {int((folder / HOLDER).read_bytes())}"
    except (OSError, ValueError):
        holder = "another process"
    return f"Persona {name!r} is in use by {holder}. {remedy}"
