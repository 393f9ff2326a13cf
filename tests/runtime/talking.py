"""A process that forks persons who talk, to be killed at any instant.

Run as a program with a model's folder and a home: each line of its input is a number to count from;
for each it forks a chat that goes on with the last session and says one numbered line after another.
It prints the number of every turn that was acknowledged by `Persisted`.
"""

import os
import sys
from pathlib import Path

import torch

import anima
from anima.events import Persisted


def text_of(number: int) -> str:
    """What is said in a turn: some of it is known already or replaces what was said before."""
    if number % 5 == 0:
        return f"My phone number is 555-{number:04}."
    return f"The attic has {number} boxes in it."


def talk_for_ever(model: str, home: str, number: int) -> None:
    with anima.open(
        "ada", model, home, session="continue", max_tokens=3, temperature=0.0, device="cpu",
        engine="reference", encoder="none",
    ) as mind:  # fmt: skip
        while True:
            for event in mind.turn(text_of(number)):
                if isinstance(event, Persisted):
                    # One write, which is there whole or not at all.
                    os.write(1, f"{number}\n".encode())
            number += 1


def serve(model: str, home: str) -> None:
    torch.set_num_threads(1)
    for request in sys.stdin:
        talker = os.fork()
        if talker == 0:
            try:
                talk_for_ever(model, home, int(request))
            finally:
                os._exit(1)
        os.write(1, f"talker {talker}\n".encode())
        os.waitpid(talker, 0)
        os.write(1, b"gone\n")


if __name__ == "__main__":
    # Imported before the fork, so that what is killed is talking and not importing.
    import transformers  # noqa: F401

    import anima.trunk.loader  # noqa: F401
    from anima.runtime import opening, remembering  # noqa: F401

    serve(sys.argv[1], str(Path(sys.argv[2])))
