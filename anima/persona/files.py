"""Reading a persona's files, and setting aside what is cut away; knows nothing of their formats."""

import hashlib
from pathlib import Path

from anima.errors import CorruptStateError
from anima.home import make_folder, storage, write_atomically

RECOVERED = "recovered"


def read(path: Path) -> bytes:
    """The content of a file that should be there.

    Raises CorruptStateError where it is missing, StorageError where the disk refuses to read it.
    """
    content = read_if_there(path)
    if content is None:
        raise CorruptStateError(f"{path} is missing.")
    return content


def read_if_there(path: Path) -> bytes | None:
    """The content of a file, None where there is none; raises StorageError."""
    with storage(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def size(path: Path) -> int | None:
    """The size of a file in bytes, None where there is none; raises StorageError."""
    with storage(path):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None


def set_aside(folder: Path, name: str, content: bytes) -> Path:
    """Keep in `recovered/` what is about to be cut away; the same content gives one file only."""
    label = Path(name)
    digest = hashlib.sha256(content).hexdigest()[:8]
    kept = folder / RECOVERED / f"{label.stem}-{digest}{label.suffix}"
    make_folder(kept.parent)
    write_atomically(kept, content)
    return kept
