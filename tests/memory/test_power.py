"""Whenever the power is cut, what was acknowledged is on the disk and the chain verifies."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from anima.memory import Memory
from anima.memory.ledgers.ledger import KINDS

from .conftest import Ticking
from .power import Disk, Effect, Unsynced, trace

PROGRAM = Path(__file__).parent / "living.py"
ROOT = Path(__file__).parents[2]
SMOKE = 12
"""Instants that are tried of the several hundred that there are."""


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return (
        subprocess.run(["strace", "-qq", "true"], capture_output=True, check=False).returncode == 0
    )


pytestmark = pytest.mark.skipif(not can_trace(), reason="the files are watched with strace")


def lived(folder: Path, kind: str) -> list[Effect]:
    place = folder / "lived" / f"memory{KINDS[kind].suffix}"
    place.parent.mkdir()
    return trace(
        [sys.executable, str(PROGRAM), str(place)],
        place.parent,
        folder / "trace.log",
        {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def check_cuts(folder: Path, kind: str, cuts: int | None) -> int:
    """Cut the power at that many instants, at all where None; returns how many disks were opened."""
    effects = lived(folder, kind)
    chance = random.Random(20261122)
    instants = set(range(len(effects) + 1))
    if cuts is not None:
        instants = {*chance.sample(sorted(instants), cuts), len(effects)}
    disk, opened = Disk(), 0
    for instant in range(len(effects) + 1):
        if instant in instants:
            for unsynced in get_args(Unsynced):
                found = disk.after(unsynced, chance)
                check_disk(folder / "after", kind, found, disk.printed, f"{instant} {unsynced}")
                opened += 1
        if instant < len(effects):
            disk.do(effects[instant])
    assert disk.printed.count(b"\n") == 16
    return opened


def check_disk(folder: Path, kind: str, found: dict[str, bytes], printed: bytes, when: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in found.items():
        (folder / Path(name).name).write_bytes(content)
    with Memory.open(folder / f"memory{KINDS[kind].suffix}", clock=Ticking()) as memory:
        for acknowledged in printed.decode().splitlines():
            count, head = acknowledged.split()
            assert memory.count >= int(count), when
            assert memory.line(int(count)).anchor == head, when
        assert memory.verify().whole, when
        memory.put(None, "Life goes on")


def test_power_cut_at_some_instants_loses_nothing_acknowledged(shelf: Path, kind: str) -> None:
    assert check_cuts(shelf, kind, SMOKE) == 3 * (SMOKE + 1)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_power_cut_at_every_instant_loses_nothing_acknowledged(shelf: Path, kind: str) -> None:
    assert check_cuts(shelf, kind, None) > 300
