"""A short life of a memory, run as a program with the ledger's path and traced from outside.

It prints, after every change that was acknowledged, how many lines there are and the last anchor.
"""

import sys
from pathlib import Path

from anima.memory import Memory
from tests.memory.conftest import Ticking


def live(path: Path) -> None:
    for _ in range(2):
        with Memory.open(path, clock=Ticking()) as memory:
            changes = (
                lambda m: m.put([1.0, 0.0], "My name is Ada"),
                lambda m: m.commit([m.draft(None, f"line {at} " * 40) for at in range(3)]),
                lambda m: m.erase(2),
                lambda m: m.pop(),
                lambda m: m.change_chain_key(),
                lambda m: m.seal(),
                lambda m: m.rewind(1),
                lambda m: m.put([0.0, 1.0], "Tomorrow I fly to Rome " * 300),
            )
            for change in changes:
                if memory.count < 9 or "erase" not in change.__code__.co_names:
                    change(memory)
                # One write, which is there whole or not at all.
                sys.stdout.write(f"{memory.count} {memory.head}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    live(Path(sys.argv[1]))
