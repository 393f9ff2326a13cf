"""A process that forks writers of a memory, to be killed at any instant.

Run as a program: each line of its input names a ledger and a seed; for each it forks a writer and
answers with the writer's number. A writer changes its memory without end and prints, after every
change that was acknowledged, how many lines there are and the last anchor.
"""

import importlib
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from anima.memory import Memory, Secret
from anima.memory.ledgers.ledger import KINDS, kind_of


def write_for_ever(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with Memory.open(path, clock=lambda: datetime.now(UTC)) as memory:
        while True:
            change(memory, chance)
            # One write, which is there whole or not at all.
            sys.stdout.write(f"{memory.count} {memory.head}\n")
            sys.stdout.flush()


def change(memory: Memory, chance: random.Random) -> None:
    """One change of a kind that is drawn by chance."""
    dice = chance.random()
    if dice < 0.6 or memory.count < 3:
        memory.put([chance.gauss(0, 1) for _ in range(8)], "Grüße " * chance.randrange(1, 60))
    elif dice < 0.75:
        memory.commit([memory.draft(None, f"line {at} of a turn") for at in range(3)])
    elif dice < 0.8:
        memory.pop(chance.randrange(1, 4))
    elif dice < 0.87:
        memory.rewind(chance.randrange(memory.count + 1))
    elif dice < 0.92:
        erase_one(memory, chance)
    elif dice < 0.95:
        memory.change_chain_key()
    elif dice < 0.97:
        memory.encrypt(Secret(passphrase="open"), cost=2)
        memory.decrypt()
    else:
        memory.seal()


def erase_one(memory: Memory, chance: random.Random) -> None:
    line = memory.line(chance.randrange(1, memory.count + 1))
    if line.kind == "line":
        memory.erase(line.seq)


def serve() -> None:
    for request in sys.stdin:
        name, seed = request.split()
        # Imported before the fork, so that what is killed is writing and not importing.
        importlib.import_module(f"anima.memory.ledgers.{KINDS[kind_of(Path(name))].module}")
        importlib.import_module("filelock")
        writer = os.fork()
        if writer == 0:
            write_for_ever(Path(name), int(seed))
        print(f"writer {writer}\n", end="", flush=True)
        os.waitpid(writer, 0)
        print("gone\n", end="", flush=True)


if __name__ == "__main__":
    serve()
