"""Other keys make another chain; everything else stays as it was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anima.errors import CorruptStateError, MemoryLocked
from anima.memory import Memory, Secret
from anima.memory.ledgers.ledger import KINDS, Change, opened
from anima.memory.ledgers.reencode import reencode

from ..conftest import Ticking
from ..samples import lived

SECRET = Secret(passphrase="correct horse")


def lengths(texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
    return np.array([[len(text), 1.0] for text in texts], np.float32)


def seen(memory: Memory) -> list[object]:
    """What every record says, but for its anchor and its key."""
    return [
        (line.header, line.text, line.context, line.valence, memory.in_force(line.seq))
        for line in memory.lines()
    ]


def test_every_text_gets_a_key_and_nothing_else_changes(
    path: Path, kind: str, clock: Ticking
) -> None:
    lived(path, clock)
    target = path.with_name(f"other{KINDS[kind].suffix}")
    heard: list[tuple[int, int]] = []
    count = reencode(
        path, target, encode=lengths, name="lengths", say=lambda *done: heard.append(done)
    )

    with Memory.open(path, clock=clock) as old, Memory.open(target, clock=clock) as new:
        assert seen(new) == seen(old)
        assert count == old.count == heard[-1][0] == heard[-1][1]
        assert new.encoder_name == "lengths"
        assert new.head != old.head
        assert new.verify().whole
        for line in new.lines():
            if line.kind == "line" and line.text:
                assert line.key is not None
                assert line.key.tolist() == [len(line.text), 1.0]


def test_an_encrypted_ledger_stays_encrypted_and_needs_its_secret(
    shelf: Path, clock: Ticking
) -> None:
    pytest.importorskip("cryptography")
    path, target = shelf / "memory.sqlite", shelf / "other.sqlite"
    lived(path, clock)
    with Memory.open(path, clock=clock) as memory:
        memory.encrypt(SECRET, cost=2)
        before = seen(memory)

    with pytest.raises(MemoryLocked):
        reencode(path, target, encode=lengths, name="lengths")
    assert not target.exists()
    reencode(path, target, encode=lengths, name="lengths", secret=SECRET)
    assert b"allergic" not in target.read_bytes()
    with Memory.open(target, clock=clock, secret=SECRET) as memory:
        assert seen(memory) == before


def test_a_damaged_ledger_is_not_written_anew(shelf: Path, clock: Ticking) -> None:
    path, target = shelf / "memory.sqlite", shelf / "other.sqlite"
    lived(path, clock)
    with opened(path, Change) as ledger:
        ledger.write(Change(contents=[(1, b"\x00" + bytes(16) + b"other")]))

    with pytest.raises(CorruptStateError, match="Line 1 cannot be read"):
        reencode(path, target, encode=lengths, name="lengths")
    assert not target.exists()
