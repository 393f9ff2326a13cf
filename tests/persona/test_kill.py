"""Whatever is cut off when, a persona opens at a whole commit, with all that was acknowledged."""

import itertools
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anima.errors import StorageError
from anima.home import Home
from anima.persona import Persona, read_session, sessions
from anima.persona import session as session_files

from .conftest import Ticking, home_at
from .disk import Cut, Disk, Fault
from .samples import flip, observe, settings, turn, weights

pytestmark = pytest.mark.usefixtures("quick")

Action = Callable[[Home, Ticking], object]


def lived(home: Home, clock: Ticking) -> None:
    """Two sessions of two turns; the second is the last."""
    with Persona.open(home, "ada", clock=clock) as persona:
        for _ in range(2):
            persona.begin_session({})
            persona.commit(states={"sampling": settings(0.2)}, records=[turn(1)])
            persona.commit(states={"reservoir": weights(0.1)}, records=[turn(2)])


def half_saved(home: Home, clock: Ticking) -> None:
    """As `lived`, with a whole record and half a one that no commit holds."""
    lived(home, clock)
    path = sorted((home.persona("ada") / "sessions").iterdir())[-1]
    with path.open("ab") as file:
        file.write(session_files.line(turn(3)) + b'{"record":"turn","te')


def damaged(home: Home, clock: Ticking) -> None:
    """As `lived`, with a HEAD.json that cannot be read."""
    lived(home, clock)
    flip(home.persona("ada") / "HEAD.json")


def nothing(home: Home, clock: Ticking) -> None:
    """No persona yet."""


def go_on(home: Home, clock: Ticking) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        save(persona, 3)


def begin(home: Home, clock: Ticking) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.begin_session({"model": "smollm2"})
        save(persona, 1)


def go_back(home: Home, clock: Ticking) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        first = sorted((persona.folder / "sessions").iterdir())[0]
        persona.resume_session(first.stem)
        save(persona, 3)


def save(persona: Persona, number: int) -> None:
    states = {"sampling": settings(0.7), "reservoir": weights(0.9)}
    persona.commit(states=states, records=[turn(number, "Grüße"), {"record": "note"}])


CASES: list[tuple[Action, Action]] = [
    (nothing, begin),
    (lived, begin),
    (lived, go_back),
    (half_saved, go_on),
    (damaged, go_on),
]
NAMES = [f"{before.__name__}-{action.__name__}" for before, action in CASES]


def seen(home: Home, clock: Ticking) -> dict[str, Any]:
    with Persona.open(home, "ada", clock=clock) as persona:
        return observe(home, persona)


def seen_and_used(home: Home, clock: Ticking) -> dict[str, Any]:
    """What is there after a cut, which goes on being there when the persona lives on."""
    with Persona.open(home, "ada", clock=clock) as persona:
        held = observe(home, persona)
        session = persona.begin_session({})
        persona.commit(states={}, records=[turn(1, "After")])
        found = observe(home, persona)
    assert found["sessions"].pop(session)[1:] == [turn(1, "After")]
    assert found == held
    return held


class Case:
    """One action on one state of a home, to be done again and again on copies of it."""

    def __init__(self, folder: Path, before: Action, action: Action) -> None:
        self.folder, self.action = folder, action
        self.count = itertools.count()
        self.base = folder / "base"
        self.base.mkdir()
        before(home_at(self.base), self.clock())
        self.home = home_at(self.base)
        opened = self.copy()
        self.before = seen(opened, self.clock())
        done = self.copy()
        action(done, self.clock(minutes=5))
        self.after = seen(done, self.clock())

    def clock(self, minutes: int = 0) -> Ticking:
        return Ticking(datetime(2026, 11, 22, 1, 53 + minutes, tzinfo=UTC))

    def copy(self) -> Home:
        folder = self.folder / str(next(self.count))
        shutil.copytree(self.base, folder)
        return home_at(folder)

    def effects(self) -> list[str]:
        disk, _, _ = self.run(None, "cut")
        return disk.effects

    def run(self, at: int | None, fault: Fault) -> tuple[Disk, Home, bool]:
        """Do the action with a fault at one effect; whether it came to its end."""
        home = self.copy()
        disk = Disk(folder=home.root.parent, at=at, fault=fault)
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            try:
                self.action(home, self.clock(minutes=5))
            except (Cut, StorageError):
                return disk, home, False
        return disk, home, True


@pytest.mark.parametrize("lost", [False, True], ids=["process", "power"])
@pytest.mark.parametrize(("before", "action"), CASES, ids=NAMES)
def test_a_cut_before_any_effect_leaves_the_old_or_the_new(
    memory: Path, before: Action, action: Action, lost: bool
) -> None:
    case = Case(memory, before, action)
    effects = case.effects()

    for at in range(len(effects)):
        disk, home, done = case.run(at, "cut")
        assert not done
        if lost:
            disk.lose_power()
        assert seen_and_used(home, case.clock()) in (case.before, case.after), effects[at]


@pytest.mark.parametrize(("before", "action"), CASES, ids=NAMES)
def test_a_write_torn_in_the_middle_leaves_the_old(
    memory: Path, before: Action, action: Action
) -> None:
    case = Case(memory, before, action)
    writes = [at for at, effect in enumerate(case.effects()) if effect.startswith("write ")]

    assert len(writes) >= 6
    for at in writes:
        _, home, done = case.run(at, "torn")
        assert not done
        assert seen_and_used(home, case.clock()) == case.before


@pytest.mark.parametrize(("before", "action"), CASES, ids=NAMES)
def test_what_was_acknowledged_survives_a_loss_of_power(
    memory: Path, before: Action, action: Action
) -> None:
    case = Case(memory, before, action)

    disk, home, done = case.run(None, "cut")
    disk.lose_power()

    assert done
    assert seen(home, case.clock()) == case.after


def test_every_write_of_a_commit_is_among_the_cuts(memory: Path) -> None:
    effects = Case(memory, lived, begin).effects()
    renames = [effect for effect in effects if effect.startswith("rename")]

    assert [name.split("-")[0] for name in renames] == [
        "rename to sampling",
        "rename to reservoir",
        "rename to reservoir",
        "rename to HEAD.previous.json",
        "rename to HEAD.json",
        "rename to HEAD.previous.json",
        "rename to HEAD.json",
    ]
    assert effects[-1] == "sync ada"
    assert sum(effect.endswith(".jsonl") for effect in effects) == 3


@pytest.mark.parametrize("action", [begin, go_back])
def test_a_full_disk_at_any_effect_leaves_the_old_and_the_persona_usable(
    memory: Path, action: Action
) -> None:
    case = Case(memory, lived, action)
    effects = case.effects()
    first = next(number for number, effect in enumerate(effects) if effect.startswith("make"))

    for at in range(first, len(effects)):
        home = case.copy()
        disk = Disk(folder=home.root, at=at, fault="full")
        with pytest.MonkeyPatch.context() as patch:
            refusals = refuse_then_free(disk, patch)
            disk.install(patch)
            action(home, case.clock(minutes=5))
        ((message, stood),) = refusals
        assert "disk is full" in message
        # Only the last sync comes after the rename that is the commit.
        assert stood == case.before or at == len(effects) - 1, effects[at]
        assert seen(home, case.clock()) == case.after, effects[at]


def refuse_then_free(disk: Disk, patch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Make every refused commit again on a freed disk; returns the refusals and what then stood."""
    refusals: list[tuple[str, Any]] = []
    commit = Persona.commit

    def made_again(self: Persona, **given: Any) -> int:
        try:
            return commit(self, **given)
        except StorageError as error:
            home = Home(root=self.folder.parents[2], cache=Path(), config=Path())
            refusals.append((str(error), observe(home, self)))
            disk.free()
            return commit(self, **given)

    patch.setattr(Persona, "commit", made_again)
    return refusals


def test_a_session_whose_first_save_was_refused_leaves_no_half_a_file(memory: Path) -> None:
    case = Case(memory, lived, begin)
    (at,) = [at for at, effect in enumerate(case.effects()) if re.match(r"write .*jsonl", effect)]
    disk = Disk(folder=case.home.root, at=at, fault="full")

    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        with Persona.open(case.home, "ada", clock=case.clock(minutes=5)) as persona:
            refused = persona.begin_session({"model": "smollm2"})
            with pytest.raises(StorageError, match="disk is full"):
                save(persona, 1)
            disk.free()
            persona.begin_session({})
            save(persona, 1)
            assert any(refused in notice for notice in persona.notices)

    assert refused not in [session.id for session in sessions(case.home, "ada")]
    assert all(session.damaged is None for session in sessions(case.home, "ada"))


def test_an_append_torn_at_any_byte_is_cut_away_and_kept_aside(memory: Path) -> None:
    case = Case(memory, lived, go_on)
    _, done, _ = case.run(None, "cut")
    session = sorted((done.persona("ada") / "sessions").iterdir())[-1].name
    whole = (done.persona("ada") / "sessions" / session).read_bytes()
    offset = (case.home.persona("ada") / "sessions" / session).stat().st_size

    home = case.copy()
    folder = home.persona("ada")

    for length in range(offset + 1, len(whole) + 1):
        (folder / "sessions" / session).write_bytes(whole[:length])
        with Persona.open(home, "ada", clock=case.clock()) as persona:
            assert observe(home, persona) == case.before
            (notice,) = persona.notices
        assert ("torn last line" in notice) == (whole[length - 1] != ord("\n"))
        kept = Path(notice.rpartition(" moved to ")[2].removesuffix("."))
        assert kept.read_bytes() == whole[offset:length]
        assert kept.is_relative_to(folder / "recovered")


COMMITTER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from anima.home import Home
from anima.organ import OrganState
from anima.persona import Persona

home = Home(root=Path(sys.argv[1]), cache=Path(), config=Path())
number = int(sys.argv[2])
with Persona.open(home, "ada", clock=lambda: datetime.now(UTC)) as persona:
    if persona.session is None or number % 3 == 0:
        persona.begin_session({})
    while True:
        number += 1
        state = OrganState(schema=1, values={"number": number})
        generation = persona.commit(
            states={"reservoir": state},
            records=[{"record": "turn", "turn": number, "text": "Grüße " * 40}],
        )
        print(generation, number, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(home: Home, clock: Ticking) -> None:
    chance = random.Random(20261122)
    acknowledged = 0

    for _ in range(15):
        with subprocess.Popen(
            [sys.executable, "-c", COMMITTER, str(home.root), str(acknowledged)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 8)):
                process.stdout.readline()
            time.sleep(chance.random() * 0.01)
            process.send_signal(signal.SIGKILL)
            printed = process.stdout.read().split("\n")
        acknowledged = check_all_there(home, clock, printed)

    assert acknowledged > 15


def check_all_there(home: Home, clock: Ticking, printed: list[str]) -> int:
    """Every number up to the last acknowledged is there once, and the state goes with the last."""
    with Persona.open(home, "ada", clock=clock) as persona:
        numbers = [
            record["turn"]
            for path in sorted((persona.folder / "sessions").iterdir())
            for record in read_session(home, "ada", path.stem)
            if record["record"] == "turn"
        ]
        assert numbers == list(range(1, len(numbers) + 1))
        for line in printed[:-1]:
            generation, number = map(int, line.split())
            assert generation <= persona.generation
            assert number <= len(numbers)
        state = persona.states()["reservoir"]
        assert state.values == {"number": len(numbers)}
    return len(numbers)
