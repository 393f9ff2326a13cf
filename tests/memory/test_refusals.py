"""A disk that refuses, and a second process, are named, and what was saved before stays."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from anima.errors import BusyError, StorageError, UsageError
from anima.memory import Memory
from anima.memory.ledgers.ledger import KINDS

from .conftest import Ticking
from .samples import lived

PROGRAM = Path(__file__).parent / "refusing.py"
ROOT = Path(__file__).parents[2]

unix = pytest.mark.skipif(not hasattr(os, "setuid"), reason="limits and users of POSIX")


def run(action: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), action, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that another user can look into, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="anima-test-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@unix
def test_a_disk_that_is_full_refuses_by_name_and_the_memory_goes_on(path: Path) -> None:
    assert run("full", path) == "refused and went on\n"


@unix
def test_a_folder_that_may_not_be_written_to_is_named(open_to_all: Path, kind: str) -> None:
    path = open_to_all / f"memory{KINDS[kind].suffix}"
    lived(path, Ticking())
    for file in open_to_all.iterdir():
        file.chmod(0o444)
    open_to_all.chmod(0o555)
    try:
        assert run("readonly", path).startswith(f"refused: {open_to_all}")
    finally:
        open_to_all.chmod(0o755)


def test_a_second_process_is_told_that_the_memory_is_in_use(memory: Memory, path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from anima.memory import Memory\n"
        "from anima.errors import BusyError\n"
        "try: Memory.open(Path(sys.argv[1]), clock=None)\n"
        "except BusyError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )

    assert "is in use by another process" in done.stdout
    memory.put(None, "still here")


def test_a_second_opening_in_the_same_process_is_refused_too(memory: Memory, path: Path) -> None:
    with pytest.raises(BusyError, match="in use"):
        Memory.open(path, clock=Ticking())


def test_an_unknown_ending_is_named(shelf: Path) -> None:
    with pytest.raises(UsageError, match=r"end in \.sqlite"):
        Memory.open(shelf / "memory.db", clock=Ticking())


def test_a_folder_in_place_of_the_ledger_is_named(path: Path) -> None:
    path.mkdir()

    with pytest.raises(StorageError):
        Memory.open(path, clock=Ticking())
