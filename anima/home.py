"""Where Anima's files are, and the one way they are written; knows nothing of what is in them."""

import contextlib
import errno
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anima.errors import StorageError, UsageError

_PROJECT = "anima-runtime"
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")
_HOME_REMEDY = "Choose another place with --home or ANIMA_HOME, or use --ephemeral to keep nothing."


@dataclass(frozen=True, kw_only=True)
class Home:
    """The folders of one Anima: what was lived under `root`, what can be fetched again in `cache`."""

    root: Path
    cache: Path
    config: Path

    @property
    def personas(self) -> Path:
        return self.root / "checkpoints" / "personas"

    @property
    def dreams(self) -> Path:
        return self.root / "dreams"

    def modes(self, model: str) -> Path:
        """Where a person's own modes of one model are kept, whatever is in the model's name."""
        return self.root / "checkpoints" / "modes" / (_PLAIN.sub("_", model).strip("._") or "_")

    @property
    def models(self) -> Path:
        return self.cache / "models"

    def persona(self, name: str) -> Path:
        """The folder of one persona; a name that could leave `personas` raises UsageError."""
        if not name or name.startswith(".") or not all(c.isalnum() or c in "-_." for c in name):
            raise UsageError(
                f"{name!r} cannot name a persona: use letters, digits, '-', '_' and '.', "
                "and do not start with a dot."
            )
        return self.personas / name


def find_home(home: str | Path | None, environ: Mapping[str, str]) -> Home:
    """The folders in force: `home`, else ANIMA_HOME, else the checkout, else the platform's own.

    ANIMA_CACHE and ANIMA_CONFIG (a file) override the other two; the cache never lies under the
    home, so that copying a home copies no models.
    """
    import platformdirs

    chosen = (
        home or environ.get("ANIMA_HOME") or _checkout() or platformdirs.user_data_path("anima")
    )
    cache = environ.get("ANIMA_CACHE") or platformdirs.user_cache_path("anima")
    config = environ.get("ANIMA_CONFIG") or platformdirs.user_config_path("anima") / "config.toml"
    return Home(
        root=Path(chosen).expanduser().absolute(),
        cache=Path(cache).expanduser().absolute(),
        config=Path(config).expanduser().absolute(),
    )


def shipped_models() -> Path | None:
    """The folder of what came with this Anima for its models: a checkout's, or the package's own."""
    checkout = _checkout()
    places = [Path(__file__).resolve().parent / "checkpoints" / "models"]
    if checkout is not None:
        places.insert(0, checkout / "checkpoints" / "models")
    return next((place for place in places if place.is_dir()), None)


def _checkout() -> Path | None:
    """The package's parent, where that holds this project's own pyproject.toml."""
    folder = Path(__file__).resolve().parent.parent
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
    return folder if project.get("project", {}).get("name") == _PROJECT else None


def write_atomically(path: Path, content: bytes, *, remedy: str = _HOME_REMEDY) -> None:
    """Write a file so that a reader sees the old content or the new, whatever is cut off when.

    The file is for its owner alone. Raises StorageError with `remedy` where the place is not to be
    written to; the old file is then still there and no temporary one is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage(path, remedy=remedy):
        try:
            with _opened(temporary, os.O_TRUNC) as descriptor:
                _write_whole(descriptor, content)
                os.fsync(descriptor)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def append_durably(path: Path, content: bytes, *, offset: int) -> None:
    """Write `content` from byte `offset` on, where what counts ends; anything beyond is cut first.

    So an append that failed half-way can be made again and repeats nothing. The file is made at
    offset 0, for its owner alone. Raises StorageError; the bytes before `offset` are untouched.
    """
    with storage(path):
        with _opened(path) as descriptor:
            os.ftruncate(descriptor, offset)
            os.lseek(descriptor, offset, os.SEEK_SET)
            _write_whole(descriptor, content)
            os.fsync(descriptor)
        if offset == 0:
            sync_folder(path.parent)


@contextlib.contextmanager
def _opened(path: Path, flags: int = 0) -> Iterator[int]:
    """A descriptor that writes to `path`, which is made where it is not there."""
    binary = getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | binary | flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content`: one call may take only a part of it."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def make_folder(path: Path) -> None:
    """Make a folder and its parents, durably and for its owner alone; raises StorageError."""
    with storage(path):
        if path.is_dir():
            return
        if path.parent != path:
            make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable, where the system lets a folder be synced."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def storage(path: Path, *, remedy: str = _HOME_REMEDY) -> Iterator[None]:
    """Turn what the disk refuses into StorageError with the path, the cause and the remedy."""
    try:
        yield
    except OSError as error:
        raise StorageError(_refusal(path, error, remedy)) from error


def _refusal(path: Path, error: OSError, remedy: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full: {path} could not be written. Free some space; what was saved before is safe."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{path} cannot be written ({error.strerror}). {remedy}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST):
        return f"{path} cannot be used ({error.strerror}). {remedy}"
    return f"{path}: {error.strerror or error}."
