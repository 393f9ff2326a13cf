"""A damaged ledger gives its lines as they were or a named error: never silence, never a crash."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "damaging.py"
ROOT = Path(__file__).parents[2]

# Bytes between two tries. Opening a DuckDB file takes a tenth of a second, and it has 1.3 million.
SMOKE = {"sqlite": 199, "json": 29, "lmdb": 499, "duckdb": 99_991}
FULL = {"sqlite": 1, "json": 1, "lmdb": 1, "duckdb": 4_001}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="every opening is forked")


def swept(folder: Path, kind: str, damage: str, step: int) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), kind, damage, str(step)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = json.loads(done.stdout)
    assert set(counts) <= {"same", "named"}, (counts, done.stderr)
    return counts


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_byte_is_harmless_or_named(shelf: Path, kind: str, damage: str) -> None:
    assert swept(shelf, kind, damage, SMOKE[kind])["named"] > 0


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_each_damaged_byte_is_harmless_or_named(shelf: Path, kind: str, damage: str) -> None:
    assert swept(shelf, kind, damage, FULL[kind])["named"] > 0
