"""Cut between any two writes, a conversation and its memory stand at the same turn."""

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tiny

import anima
from anima.config import Settings
from anima.errors import StorageError
from anima.home import Home
from anima.memory import Memory
from anima.memory.ranking.hybrid import HybridRecall
from anima.persona.session import read_session, sessions
from anima.persona.store import Persona
from anima.runtime.opening import _Sessions, assemble, prefix
from anima.runtime.remembering import settle
from tests.persona.conftest import Ticking
from tests.persona.disk import Cut, Disk

SETTINGS = Settings(
    temperature=0.0, max_tokens=3, seed=5, memory="on", ledger="json", race="off", encoder="none"
)
TEXTS = ("My sister is called Clara.", "The attic is cold.")


@pytest.fixture(scope="module")
def model():
    return tiny.loaded()


class Life:
    """Does things to copies of one home, on a disk that is cut off before some effect."""

    def __init__(self, folder, model, action):
        self.folder, self.model, self.action = folder, model, action
        self.numbers = itertools.count()
        self.base = folder / "base"
        self.base.mkdir()
        with self.awake(self.home_at(self.base)) as runtime:
            runtime.say(TEXTS[0])

    def home_at(self, root):
        return Home(root=root, cache=root / "cache", config=root / "config.toml")

    def copy(self):
        root = self.folder / str(next(self.numbers))
        shutil.copytree(self.base, root)
        return self.home_at(root)

    def awake(self, home):
        """The last session, or a first one; all but the model is opened as `anima.open` does."""
        clock = Ticking(datetime(2026, 11, 22, 1, 53, tzinfo=UTC))
        kept = Persona.open(home, "ada", clock=clock)
        try:
            recall = HybridRecall()
            memory = Memory.open(kept.folder / "memory.json", clock=clock, recall=recall)
        except BaseException:
            kept.close()
            raise
        try:
            settle(memory, kept.folder, kept.states().get("memory"))
            desk = _Sessions(
                kept=kept, loaded=self.model, settings=SETTINGS, clock=clock, say=lambda text: None
            )
            there = kept.session
            started = desk.resume(there) if there else desk.begin(prefix(None), 5)
            return assemble(
                self.model, SETTINGS, started, states=kept.states(), keeper=kept, sessions=desk,
                clock=clock, memory=memory,
            )  # fmt: skip
        except BaseException:
            memory.close()
            kept.close()
            raise

    def run(self, at=None, *, lost=False):
        """Do it with a cut before one effect; the disk's effects, and the home as it then is."""
        home = self.copy()
        disk = Disk(folder=home.root, at=at)
        runtime = self.awake(home)
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            try:
                self.action(runtime)
            except (Cut, StorageError):
                pass
            finally:
                disk.at = 0  # a process that ended writes nothing more, whoever closes what
                for each in (runtime._memory.organ.memory, runtime._life.keeper):
                    try:
                        each.close()
                    except (Cut, StorageError):
                        continue
        if lost:
            disk.lose_power()
        return disk, home

    def seen(self, home):
        """The turns that stand and what the memory holds, once it was opened again."""
        with self.awake(home) as runtime:
            assert runtime.memory.verify().whole
            lines = [
                (line.role, line.text, line.context.get("turn"))
                for line in reversed(runtime.memory.peek(99))
            ]
            return [record["text"] for record in runtime._life.turns], lines


def one_more_turn(runtime):
    runtime.say(TEXTS[1])


def take_back(runtime):
    runtime.undo()


def put(runtime):
    runtime.memory.put(None, "The cat is grey.")


def erase(runtime):
    runtime.memory.erase(1)


@pytest.mark.parametrize("lost", [False, True], ids=["process", "power"])
@pytest.mark.parametrize("action", [one_more_turn, take_back, put])
def test_a_cut_before_any_effect_leaves_turn_and_memory_both_old_or_both_new(
    tmp_path, model, action, lost
):
    life = Life(tmp_path, model, action)
    before = life.seen(life.copy())
    disk, done = life.run()
    after = life.seen(done)
    assert before != after
    assert any("memory.json" in effect for effect in disk.effects)
    assert any("HEAD.json" in effect for effect in disk.effects)
    outcomes = set()
    for at in range(len(disk.effects)):
        _, home = life.run(at, lost=lost)
        found = life.seen(home)
        assert found in (before, after), disk.effects[at]
        outcomes.add(found == after)
    assert False in outcomes


def test_an_erasure_cut_anywhere_leaves_a_whole_chain(tmp_path, model):
    life = Life(tmp_path, model, erase)
    disk, _ = life.run()
    for at in range(len(disk.effects)):
        _, home = life.run(at)
        turns, lines = life.seen(home)
        assert turns == [TEXTS[0]]
        assert [role for role, _, _ in lines] in (["user", "assistant"], ["assistant"])


TALK = """
import sys, anima
number = int(sys.argv[2])
with anima.open(
    model=sys.argv[1], session="continue", max_tokens=3, temperature=0.0, device="cpu",
    race="off", encoder="none",
) as mind:
    for number in range(number, number + 99):
        mind.say(f"Fact number {number} is told.")
        print(number, flush=True)
        if number % 3 == 0:
            mind.memory.put(None, f"Put number {number}.")
            print(-number, flush=True)
"""


def test_what_was_acknowledged_is_in_turns_and_memory_after_kill_9(tmp_path):
    model = str(tiny.save(tmp_path / "model", tiny.llama(window=4096)))
    chance = random.Random(20261122)
    place, last, put_since = Path(os.environ["ANIMA_HOME"]), 0, set()
    home = Home(root=place, cache=place, config=place)
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", TALK, model, str(last + 1)], stdout=subprocess.PIPE, text=True
        ) as talk:
            printed = [talk.stdout.readline() for _ in range(chance.randrange(2, 6))]
            talk.send_signal(signal.SIGKILL)
            printed += talk.stdout.read().split("\n")[:-1]
        acknowledged = [int(line) for line in printed]
        put_since |= {-number for number in acknowledged if number < 0}
        turns = [
            record["text"]
            for session in sessions(home, "default")
            for record in read_session(home, "default", session.id)
            if record["record"] == "turn"
        ]
        with anima.open(model=model, device="cpu", encoder="none", race="off") as mind:
            said = [line.text for line in reversed(mind.memory.peek(999)) if line.role == "user"]
            assert mind.memory.verify().whole
        told = [text for text in said if text.startswith("Fact")]
        assert told == turns == [f"Fact number {n + 1} is told." for n in range(len(turns))]
        last = len(turns)
        assert max(acknowledged) <= last
        assert {f"Put number {number}." for number in put_since} <= set(said)
