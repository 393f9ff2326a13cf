"""An encrypted memory shows nothing, says nothing about a wrong secret, and keeps every anchor."""

import json
import logging
from pathlib import Path

import pytest

from anima.errors import (
    ChainBroken,
    CorruptStateError,
    MemoryLocked,
    NewerVersionError,
    UsageError,
)
from anima.memory import Memory, Secret, check, crypto, read_key_file, write_key_file
from anima.memory.ledgers.ledger import Change, Entry, opened

from .conftest import Ticking
from .samples import lived, observe

pytest.importorskip("cryptography")

COST = 2
SECRET = Secret(passphrase="correct horse")
SAID = (b"My name is Ada", b"allergic", b"Rome", b"session")


def anchors(memory: Memory) -> list[str]:
    return [line.anchor for line in memory.lines()]


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_encrypting_rekeying_and_decrypting_change_no_anchor(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with Memory.open(path, clock=clock) as memory:
        before = observe(memory)
        memory.seal()
        memory.encrypt(SECRET, cost=COST)
        assert memory.encrypted
        assert observe(memory) == before
    disk = on_disk(path.parent)
    assert not any(said in disk for said in SAID)

    with Memory.open(path, clock=clock, secret=SECRET) as memory:
        assert observe(memory) == before
        memory.encrypt(Secret(passphrase="another"), cost=COST)
        memory.put(None, "written under the other key")
    with pytest.raises(MemoryLocked):
        Memory.open(path, clock=clock, secret=SECRET)

    with Memory.open(path, clock=clock, secret=Secret(passphrase="another")) as memory:
        assert memory.verify().whole
        assert memory.verify().pinned == "matches"
        memory.decrypt()
    with Memory.open(path, clock=clock) as memory:
        assert observe(memory)[: len(before)] == before
        assert memory.line(7).text == "written under the other key"


def test_whatever_was_wrong_the_answer_is_the_same(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with Memory.open(path, clock=clock) as memory:
        memory.encrypt(SECRET, cost=COST)
    wrong = [
        None,
        Secret(passphrase="correct horsf"),
        Secret(passphrase="x" * 10_000),
        Secret(passphrase="\ud800"),
        Secret(key=bytes(32)),
    ]

    answers = set()
    for secret in wrong:
        with pytest.raises(MemoryLocked) as refused:
            Memory.open(path, clock=clock, secret=secret)
        answers.add(str(refused.value))
    assert len(answers) == 1


def test_without_its_secret_the_chain_alone_is_verified(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with Memory.open(path, clock=clock) as memory:
        memory.encrypt(SECRET, cost=COST)

    verdict = check(path)
    assert verdict.whole
    assert (verdict.locked, verdict.erased) == (5, 1)
    assert check(path, SECRET).locked == 0


def test_a_content_moved_to_another_line_does_not_open(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with Memory.open(path, clock=clock) as memory:
        memory.encrypt(SECRET, cost=COST)
    with opened(path, Change) as ledger:
        other = ledger.entry(6)
        assert other is not None
        ledger.write(Change(contents=[(3, other.content)]))

    with pytest.raises(ChainBroken, match=r"Line 3 .*encrypted content is damaged"):
        Memory.open(path, clock=clock, secret=SECRET)


def test_clear_content_in_an_encrypted_memory_is_refused(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with opened(path, Change) as ledger:
        clear = ledger.entry(3)
    assert isinstance(clear, Entry)
    with Memory.open(path, clock=clock) as memory:
        memory.encrypt(SECRET, cost=COST)
    with opened(path, Change) as ledger:
        ledger.write(Change(contents=[(3, clear.content)]))

    with pytest.raises(ChainBroken, match=r"Line 3 .*lies in clear"):
        Memory.open(path, clock=clock, secret=SECRET)


def test_a_key_file_unlocks_and_is_for_its_owner_alone(path: Path, clock: Ticking) -> None:
    key_path = path.parent / "keys" / "memory.secret"
    key_path.parent.mkdir()
    secret = write_key_file(key_path)
    assert key_path.stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="there already"):
        write_key_file(key_path)
    with Memory.open(path, clock=clock) as memory:
        memory.encrypt(secret)
        memory.put(None, "said")

    with Memory.open(path, clock=clock, secret=read_key_file(key_path)) as memory:
        assert memory.line(1).text == "said"


@pytest.mark.parametrize("content", [b"", b"anima-memory-key !!", b"my diary", bytes(64)])
def test_a_file_that_is_no_key_file_is_refused_without_its_content(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "wrong").write_bytes(content)

    with pytest.raises(UsageError, match="no key file") as refused:
        read_key_file(tmp_path / "wrong")
    assert "diary" not in str(refused.value)


def test_secrets_show_themselves_nowhere(
    path: Path, clock: Ticking, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = Secret(passphrase="hunter2hunter2")
    with Memory.open(path, clock=clock) as memory:
        memory.encrypt(secret, cost=COST)
    cipher = crypto.new_cipher(Secret(key=b"k" * 32))

    assert "hunter2" not in repr(secret) + caplog.text
    assert b"hunter2" not in on_disk(path.parent)
    assert "kkkk" not in repr(Secret(key=b"k" * 32)) + repr(cipher)


@pytest.mark.parametrize(
    "change",
    [
        {"n": 2**40}, {"n": 3}, {"n": "x"}, {"n": True}, {"r": 10**9}, {"p": 2}, {"kdf": "none"},
        {"salt": "00"}, {"schema": "1"}, {"kdf": "argon2id", "t": 1, "p": 4, "m": 2**40},
        {"kdf": "argon2id", "t": 2**40, "p": 4, "m": 2**16}, {"kdf": "argon2id", "t": 1, "p": 4, "m": 8},
        {"kdf": "argon2id"},
    ],
)  # fmt: skip
def test_a_lock_that_somebody_changed_is_damage_and_costs_nothing(
    change: dict[str, object],
) -> None:
    lock = json.loads(crypto.new_cipher(SECRET, cost=COST).lock)

    with pytest.raises(CorruptStateError, match="encryption is damaged"):
        crypto.unlock(json.dumps({**lock, **change}), SECRET)


def test_the_same_content_is_sealed_differently_every_time() -> None:
    cipher = crypto.new_cipher(SECRET, cost=COST)
    one, two = (cipher.close_in(b"s" * 16, b"content", b"anchor") for _ in range(2))

    assert one != two
    assert cipher.take_out(one, b"anchor") == cipher.take_out(two, b"anchor")
    with pytest.raises(ValueError, match="damaged"):
        cipher.take_out(one, b"another")


def test_a_key_by_argon2id_opens_and_the_lock_says_which_it_is(plain: Memory) -> None:
    plain.put(None, "said")
    plain.encrypt(SECRET, kdf="argon2id")
    cipher = crypto.new_cipher(SECRET, kdf="argon2id")
    lock = json.loads(cipher.lock)

    assert {name: lock[name] for name in ("kdf", "t", "p", "m")} == {
        "kdf": "argon2id", "t": 3, "p": 4, "m": 65536,
    }  # fmt: skip
    envelope = cipher.close_in(b"s" * 16, b"content", b"anchor")
    again = crypto.unlock(cipher.lock, SECRET)
    assert again.take_out(envelope, b"anchor") == (b"s" * 16, b"content")
    for wrong in (Secret(passphrase="another"), Secret(key=b"k" * 32)):
        with pytest.raises(MemoryLocked):
            crypto.unlock(cipher.lock, wrong)
    assert plain.verify().whole


def test_a_lock_of_before_it_had_a_schema_still_opens() -> None:
    lock = (
        '{"check": "AAECAwQFBgcICQoLSlfBk74NIkmu6V1jlo5IBjEsVhdFmAQF3EMkUQ==", "kdf": "scrypt", "n": 2, "p": 1, "r": 8, '
        '"salt": "000102030405060708090a0b0c0d0e0f"}'
    )
    assert crypto.unlock(lock, SECRET).lock == lock


def test_a_lock_of_a_newer_anima_is_not_called_damaged() -> None:
    lock = json.loads(crypto.new_cipher(SECRET, cost=COST).lock)

    with pytest.raises(NewerVersionError, match="schema 2 of its lock"):
        crypto.unlock(json.dumps({**lock, "schema": 2, "kdf": "yescrypt"}), SECRET)


def test_an_empty_passphrase_is_refused() -> None:
    for wrong in ({"passphrase": ""}, {}, {"passphrase": "x", "key": b"y"}):
        with pytest.raises(UsageError):
            Secret(**wrong)
