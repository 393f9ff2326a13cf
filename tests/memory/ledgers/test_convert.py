"""A converted ledger is the same chain; a repaired one keeps all that holds and says what it lost."""

from pathlib import Path

import pytest

from anima.errors import CorruptStateError, UsageError
from anima.memory import Memory, Secret
from anima.memory.ledgers.convert import convert, repair
from anima.memory.ledgers.ledger import KINDS, Change, Entry, opened

from ..conftest import Ticking
from ..samples import lived, observe


@pytest.mark.parametrize("target", list(KINDS))
def test_a_ledger_of_any_kind_becomes_one_of_any_other(
    path: Path, clock: Ticking, target: str
) -> None:
    package = KINDS[target].package
    if package is not None:
        pytest.importorskip(package)
    lived(path, clock)
    other = path.parent / f"other{KINDS[target].suffix}"
    with Memory.open(path, clock=clock) as memory:
        before = observe(memory)
        memory.seal()

    assert convert(path, other) == 6
    with Memory.open(other, clock=clock) as memory:
        assert observe(memory) == before
        assert memory.verify().pinned == "matches"
        memory.put(None, "life goes on")
    with Memory.open(path, clock=clock) as memory:
        assert observe(memory) == before


def test_an_encrypted_ledger_is_converted_without_its_secret(shelf: Path, clock: Ticking) -> None:
    pytest.importorskip("cryptography")
    source, target = shelf / "memory.sqlite", shelf / "memory.json"
    lived(source, clock)
    with Memory.open(source, clock=clock) as memory:
        memory.encrypt(Secret(passphrase="x"), cost=2)
    convert(source, target)

    assert b"Ada" not in target.read_bytes()
    with Memory.open(target, clock=clock, secret=Secret(passphrase="x")) as memory:
        assert memory.line(1).text == "My name is Ada"


def test_what_cannot_be_converted_is_named(shelf: Path, clock: Ticking) -> None:
    lived(shelf / "memory.sqlite", clock)

    with pytest.raises(UsageError, match="no memory at"):
        convert(shelf / "none.sqlite", shelf / "new.json")
    with pytest.raises(UsageError, match="there already"):
        convert(shelf / "memory.sqlite", shelf / "memory.sqlite")
    with pytest.raises(UsageError, match=r"end in \.sqlite"):
        convert(shelf / "memory.sqlite", shelf / "memory.txt")


def test_a_broken_chain_is_not_converted_and_leaves_no_target(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with opened(path, Change) as ledger:
        ledger.write(Change(keep=4))

    with pytest.raises(CorruptStateError, match="its end is missing"):
        convert(path, path.parent / "other.json")
    assert not (path.parent / "other.json").exists()


def test_a_repair_keeps_the_lines_before_the_break(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with Memory.open(path, clock=clock) as memory:
        before = observe(memory)
    with opened(path, Change) as ledger:
        rows = list(ledger.entries(4))
        broken = Entry(4, rows[0].header, bytes(32), rows[0].anchor, rows[0].content)
        ledger.write(Change(keep=3, entries=[broken, *rows[1:]]))
    aside = path.parent / "aside" / path.name

    repaired = repair(path, aside=aside, clock=clock)

    # The second line was erased by a record that came after the break.
    assert (repaired.kept, repaired.lost) == (3, (2,))
    assert "Line 4 " in repaired.reason
    assert aside.exists()
    with Memory.open(path, clock=clock) as memory:
        assert observe(memory)[:3] == before[:3]
        assert [line.kind for line in memory.lines()] == ["line", "line", "line", "erase"]
        assert memory.verify().whole


def test_a_repair_keeps_the_lines_after_a_damaged_content(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with opened(path, Change) as ledger:
        other = ledger.entry(6)
        assert other is not None
        ledger.write(Change(contents=[(1, other.content)]))

    repaired = repair(path, aside=path.with_name("aside" + path.suffix), clock=clock)

    assert (repaired.kept, repaired.lost, repaired.reason) == (6, (1,), "")
    with Memory.open(path, clock=clock) as memory:
        assert [line.text for line in memory.peek(9)] == ["Tomorrow I fly to Rome"]
        assert memory.line(7).context == {"reason": "damaged"}
        assert memory.verify().erased == 2


def test_a_whole_memory_is_not_repaired(path: Path, clock: Ticking) -> None:
    lived(path, clock)

    with pytest.raises(UsageError, match="not damaged"):
        repair(path, aside=path.with_name("aside" + path.suffix), clock=clock)
    with Memory.open(path, clock=clock) as memory:
        assert memory.count == 6
