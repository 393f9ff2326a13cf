"""A chat with a scripted runtime in a process of its own, for the tests that need a terminal."""

import sys
import time
from pathlib import Path

from anima.home import Home
from anima.terminal.chat import Chat
from anima.terminal.screen import Screen
from anima.terminal.signals import Signals
from anima.terminal.waking import Waking
from tests.terminal.scripted import ScriptedRuntime

WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


def main(home: str, words: int = 2, pause: float = 0.0) -> int:
    """Talk; every reply has so many words, each after a pause of some seconds."""
    reply = " ".join((WORDS.split() * words)[:words])
    runtime = ScriptedRuntime(replies=[reply] * 20, before_token=lambda n: time.sleep(pause))
    folder = Path(home)
    with Signals() as signals:
        return Chat(
            Waking(lambda say: runtime),  # type: ignore[arg-type]
            Screen(sys.stdout, sys.stderr),
            signals,
            home=Home(root=folder, cache=folder, config=folder / "config.toml"),
            persona="default",
            greeting="A talker.",
        ).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:3]), *map(float, sys.argv[3:4])))
