"""Whatever instant a chat is killed at, every acknowledged turn is in its memory, and once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import tiny

import anima
from anima.home import find_home
from anima.memory.line import LINE, MERGE
from anima.persona.session import read_session, sessions
from tests.runtime.talking import text_of

PROGRAM = Path(__file__).parent / "talking.py"
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="chats are forked")


class Server:
    """The process that forks the chats."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def killed_after(self, number: int, turns: int, delay: float) -> list[int]:
        """The turns that a chat from `number` on had acknowledged when it was killed.

        It is killed some seconds after so many of them.
        """
        assert self.process.stdin is not None
        print(number, file=self.process.stdin, flush=True)
        talker, acknowledged = 0, []
        while not talker or len(acknowledged) < turns:
            word, *more = self._words()
            if word == "talker":
                talker = int(more[0])
            else:
                acknowledged.append(int(word))
        time.sleep(delay)
        os.kill(talker, signal.SIGKILL)
        while (words := self._words()) != ["gone"]:
            acknowledged.append(int(words[0]))
        return acknowledged

    def _words(self) -> list[str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the server of chats has ended"
        return line.split()


def said_in(home: Path) -> list[str]:
    """What was said in all turns that stand, in order."""
    place = find_home(home, os.environ)
    return [
        record["text"]
        for session in reversed(sessions(place, "ada"))
        for record in read_session(place, "ada", session.id)
        if record["record"] == "turn"
    ]


def check_runs(folder: Path, runs: int) -> int:
    """Kill that many chats of one persona; returns how many turns they had acknowledged."""
    model = str(tiny.save(folder / "model", tiny.llama(window=4096)))
    home = folder / "home"
    chance = random.Random(20261122)
    expected: list[str] = []
    total = 0
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), model, str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        server = Server(process)
        for run in range(runs):
            number = len(expected) + 1
            acknowledged = server.killed_after(
                number, chance.randrange(4), chance.expovariate(1 / 0.05)
            )
            total += len(acknowledged)
            said = said_in(home)
            known = [text_of(each) for each in acknowledged]
            # One turn more may be there: committed, and killed before it could say so.
            assert said[: len(expected)] == expected, run
            assert said[len(expected) : len(expected) + len(known)] == known, run
            assert len(said) - len(expected) - len(known) <= 1, run
            expected = said
            check_memory(model, home, expected)
        process.stdin.close()
    return total


def check_memory(model: str, home: Path, expected: list[str]) -> None:
    """Every turn of the sessions left its mark in the memory exactly once, and no other did."""
    with anima.open("ada", model, home, device="cpu", engine="reference", encoder="none") as mind:
        memory = mind.memory
        assert memory.verify().whole
        records = [memory.line(seq) for seq in range(1, memory.count + 1)]
    marks = Counter(
        str(line.text) for line in records if line.role == "user" and line.kind in (LINE, MERGE)
    )
    turns = Counter(expected)
    assert marks == turns


def test_four_chats_killed_at_any_instant_lose_no_acknowledged_turn(tmp_path: Path) -> None:
    assert check_runs(tmp_path, 4) > 0


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_50_chats_killed_at_any_instant_lose_no_acknowledged_turn(tmp_path: Path) -> None:
    turns = check_runs(tmp_path, 50)
    print(f"50 chats killed, {turns} turns acknowledged")
    assert turns > 50
