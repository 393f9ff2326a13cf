"""What a memory does on a disk that refuses, run as a program so that the limits are its own.

`full PATH`: writes under a limit of the file size until it is refused, and goes on when it is lifted.
`readonly PATH`: opens a memory that the user may not write to.
"""

import os
import resource
import signal
import sys
from pathlib import Path

from anima.errors import StorageError
from anima.memory import Memory
from anima.memory.ledgers.ledger import KINDS, kind_of
from tests.memory.conftest import Ticking

NOBODY = 65534


def full(path: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Memory.open(path, clock=Ticking()) as memory:
        memory.put(None, "first")
        largest = max(file.stat().st_size for file in path.parent.iterdir())
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 20_000, hard))
        refused = None
        for at in range(2_000):
            before = (memory.count, memory.head)
            try:
                memory.put(None, f"line {at} " + "x" * 1_000)
            except StorageError as error:
                refused = error
                break
        assert refused is not None, "nothing was refused"
        assert (memory.count, memory.head) == before
        assert "safe" in str(refused) or "memory" in str(refused), refused
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        memory.put(None, "after")
        assert memory.verify().whole
        count, head = memory.count, memory.head
    with Memory.open(path, clock=Ticking()) as memory:
        assert (memory.count, memory.head) == (count, head)
        assert memory.line(count).text == "after"
    print("refused and went on")


def readonly(path: Path) -> None:
    package = KINDS[kind_of(path)].package
    __import__(f"anima.memory.ledgers.{KINDS[kind_of(path)].module}")
    import filelock  # noqa: F401

    if package is not None:
        __import__(package)
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        Memory.open(path, clock=Ticking())
    except StorageError as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    {"full": full, "readonly": readonly}[sys.argv[1]](Path(sys.argv[2]))
