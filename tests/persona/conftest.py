"""A home in tmp_path, a clock that ticks, and the records and states that the tests keep."""

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anima.home import Home
from anima.persona import Persona

from .samples import settings, turn, weights

Clock = Callable[[], datetime]


class Ticking:
    """A clock that gains a second whenever it is read."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Ticking:
    return Ticking(datetime(2026, 11, 22, 1, 53, tzinfo=UTC))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_at(tmp_path)


def home_at(folder: Path) -> Home:
    return Home(root=folder / "home", cache=folder / "cache", config=folder / "config.toml")


@pytest.fixture
def ada(home: Home, clock: Ticking) -> Persona:
    """A persona with one session of two turns and two organs, closed."""
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.begin_session({"model": "smollm2"})
        persona.commit(states={"sampling": settings(0.2)}, records=[turn(1, "Good morning")])
        persona.commit(states={"reservoir": weights(0.1)}, records=[turn(2, "And now?")])
    return persona


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that save hundreds of times: nothing waits for the disk."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: the same calls, without a disk to wait for."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="anima-test-", dir=shared) as made:
        yield Path(made)
