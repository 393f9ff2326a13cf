"""Whatever instant a writer is killed at, every acknowledged line is there and the chain verifies."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anima.errors import MemoryLocked
from anima.memory import Memory, Secret
from anima.memory.ledgers.ledger import KINDS

PROGRAM = Path(__file__).parent / "killing.py"
SHARED = 10
"""Runs that go on with one ledger before a new one is begun."""


class Server:
    """The process that forks the writers."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def killed_after(self, path: Path, seed: int, changes: int, delay: float) -> dict[int, str]:
        """What a writer had acknowledged when it was killed: the head at each number of lines.

        It is killed some seconds after so many changes, or after it began where that is 0.
        """
        assert self.process.stdin is not None
        print(path, seed, file=self.process.stdin, flush=True)
        acknowledged: dict[int, str] = {}
        number = 0
        # The writer may print before the server says its number.
        while not number or changes > 0:
            words = self._words()
            if words[0] == "writer":
                number = int(words[1])
            else:
                acknowledged[int(words[0])] = words[1]
                changes -= 1
        time.sleep(delay)
        os.kill(number, signal.SIGKILL)
        while (words := self._words()) != ["gone"]:
            if len(words) == 2 and len(words[1]) == 64:
                acknowledged[int(words[0])] = words[1]
        return acknowledged

    def _words(self) -> list[str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the server of writers has ended"
        return line.removesuffix("gone\n").split() or ["gone"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Server(process)
        process.terminate()


def check_runs(server: Server, kind: str, folder: Path, runs: int) -> int:
    """Kill that many writers; returns how many heads they had acknowledged."""
    chance = random.Random(20261122)
    total = 0
    known: dict[int, str] = {}
    path = folder
    for run in range(runs):
        if run % SHARED == 0:
            path, known = folder / str(run) / f"memory{KINDS[kind].suffix}", {}
        changes = chance.randrange(12)
        found = server.killed_after(path, run, changes, chance.expovariate(1 / 0.015))
        known |= found
        total += len(found)
        with reopened(path) as memory:
            verdict = memory.verify()
            assert verdict.whole, (run, verdict)
            for count, head in known.items():
                assert memory.line(count).anchor == head, (run, count)
            # What the writer did beyond its last word is true as well, from now on.
            if memory.count:
                known[memory.count] = memory.head
    return total


@contextlib.contextmanager
def reopened(path: Path) -> Iterator[Memory]:
    """The memory in clear, whatever it was in the middle of when its writer was killed."""
    clock = lambda: datetime.now(UTC)  # noqa: E731
    try:
        memory = Memory.open(path, clock=clock)
    except MemoryLocked:
        memory = Memory.open(path, clock=clock, secret=Secret(passphrase="open"))
        memory.decrypt()
    with memory:
        yield memory


@pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")
def test_ten_writers_killed_at_any_instant_lose_nothing_acknowledged(
    server: Server, kind: str, tmp_path: Path
) -> None:
    assert check_runs(server, kind, tmp_path, 10) > 10


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")
def test_200_writers_killed_at_any_instant_lose_nothing_acknowledged(
    server: Server, kind: str, tmp_path: Path
) -> None:
    acknowledged = check_runs(server, kind, tmp_path, 200)
    print(f"{kind}: 200 writers killed, {acknowledged} heads acknowledged")
    assert acknowledged > 200
