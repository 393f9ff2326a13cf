"""A sweep over a damaged ledger, each opening in a process of its own, so that none can end it all.

Run as a program with a folder, a kind of ledger, "cut" or "flip", and how many bytes lie between two
tries: prints how many openings came out as `same`, `named`, or as what must not be.
"""

import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

from anima.errors import StateError
from anima.memory import Memory
from anima.memory.ledgers.ledger import KINDS
from tests.memory.conftest import Ticking
from tests.memory.samples import lived, observe

OUTCOMES = ("same", "named", "prefix", "different", "not ours")


def seen(path: Path) -> list[object]:
    with Memory.open(path, clock=Ticking()) as memory:
        return observe(memory)


def outcome(path: Path, lines: list[object]) -> str:
    try:
        found = seen(path)
    except StateError:
        return "named"
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        return "not ours"
    if found == lines:
        return "same"
    return "prefix" if found == lines[: len(found)] else "different"


def forked(path: Path, lines: list[object]) -> str:
    """The outcome in a child, or the signal that ended it."""
    child = os.fork()
    if child == 0:
        os._exit(OUTCOMES.index(outcome(path, lines)))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return OUTCOMES[code] if code >= 0 else f"signal {-code}"


def damaged(path: Path, content: bytes) -> Path:
    """A copy of the ledger beside its key file, with this content."""
    folder = path.parent / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(path.with_name(path.name + ".key"), folder)
    (folder / path.name).write_bytes(content)
    return folder / path.name


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :]


def sweep(path: Path, damage: str, step: int) -> Counter[str]:
    lived(path, Ticking())
    content, lines = path.read_bytes(), seen(path)
    counts: Counter[str] = Counter()
    places = range(0, len(content), step)
    if damage == "flip":
        # Where the file says something, a flip has something to hit.
        places = [at for at in range(len(content)) if content[at]][:: max(1, step // 8)]
    for at in places:
        torn = content[:at] if damage == "cut" else flipped(content, at)
        found = forked(damaged(path, torn), lines)
        if found not in ("same", "named"):
            print(damage, at, found, file=sys.stderr)
        counts[found] += 1
    return counts


if __name__ == "__main__":
    folder, kind, damage, step = sys.argv[1:]
    place = Path(folder) / f"memory{KINDS[kind].suffix}"
    print(json.dumps(sweep(place, damage, int(step))))
