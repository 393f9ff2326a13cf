"""The seal file of a memory, and the check of one that may not open; knows nothing of what is said."""

from pathlib import Path

from anima.errors import UsageError
from anima.home import storage
from anima.memory.book import Book, Verdict
from anima.memory.chain import Seal
from anima.memory.crypto import Secret

SEAL = "seal.json"


def check(path: Path, secret: Secret | None = None, expect: Seal | None = None) -> Verdict:
    """Verify a memory that may be too damaged to open; without its secret the chain alone."""
    if not path.exists():
        raise UsageError(f"There is no memory at {path}.")
    with Book.opened(path, secret, sealed=True) as book:
        return book.verify(read_seal(path) if expect is None else expect)


def seal_path(place: Path) -> Path:
    """Where the seal of a ledger is by default."""
    return place.with_name(SEAL)


def read_seal(place: Path) -> Seal | None:
    """The last seal of a ledger, None where it was never sealed; raises CorruptStateError."""
    path = seal_path(place)
    with storage(path):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
    return Seal.decode(content)
