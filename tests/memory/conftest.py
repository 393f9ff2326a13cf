"""A clock that ticks, a memory of every kind of ledger, and the full sizes only when asked for."""

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anima.memory import Memory
from anima.memory.ledgers.ledger import KINDS


class Ticking:
    """A clock that gains a second whenever it is read."""

    def __init__(self, start: datetime = datetime(2026, 11, 22, 1, 53, tzinfo=UTC)) -> None:
        self.now = start

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `full` unless the `-m` expression speaks of it."""
    if "full" in config.getoption("-m"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: the same calls, without a disk to wait for."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="anima-test-", dir=shared) as made:
        yield Path(made)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Every kind of ledger in turn, those aside whose package is not installed."""
    kind: str = request.param
    package = KINDS[kind].package
    if package is not None:
        pytest.importorskip(package)
    return kind


@pytest.fixture
def path(shelf: Path, kind: str) -> Path:
    return shelf / f"memory{KINDS[kind].suffix}"


Open = Callable[..., Memory]


@pytest.fixture
def memory(path: Path, clock: Ticking) -> Iterator[Memory]:
    """An empty memory of each kind."""
    with Memory.open(path, clock=clock) as opened:
        yield opened


@pytest.fixture
def plain(shelf: Path, clock: Ticking) -> Iterator[Memory]:
    """An empty memory in the default ledger, for what does not depend on the kind."""
    with Memory.open(shelf / "memory.sqlite", clock=clock) as opened:
        yield opened
