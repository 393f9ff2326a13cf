import getpass
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from anima.home import Home
from anima.memory import crypto
from anima.runtime.remembering import KEY_FILE, PASSPHRASE
from anima.terminal.shell.memory_door import NEW_PASSPHRASE

from .conftest import Anima

pytest.importorskip("cryptography")

SAID = "Ada lives in Rome with two cats."
LOCKED = (
    "anima: The memory is encrypted, and it could not be unlocked with what was given. Give its "
    "passphrase (typed at a terminal, or ANIMA_MEMORY_PASSPHRASE) or its key file (--key-file of "
    "anima memory, or ANIMA_MEMORY_KEY_FILE).\n"
)
Typed = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def one_line(anima: Anima, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line in a memory, and keys that cost nothing to make."""
    monkeypatch.setattr(crypto, "_COST", 2)
    assert anima("memory", "put", SAID)[0] == 0


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Lets a person type these unseen; what they were asked comes back."""

    def answer(*words: str) -> list[str]:
        asked: list[str] = []
        left = list(words)

        def ask(question: str) -> str:
            asked.append(question)
            return left.pop(0)

        monkeypatch.setattr(getpass, "getpass", ask)
        return asked

    return answer


def in_clear(home: Home) -> bool:
    return any(
        SAID.encode() in path.read_bytes() for path in home.root.rglob("*") if path.is_file()
    )


def test_a_passphrase_from_a_variable_encrypts_and_opens(
    anima: Anima, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = anima("memory", "export", "-")[1]
    assert in_clear(home)
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    code, out, err = anima("memory", "encrypt")
    assert (code, out) == (0, "")
    assert "correct horse" not in err
    told = " ".join(err.split())
    assert "NOT encrypted: conversations (none yet), kept in clear in" in told
    assert "anima sessions rm ID removes one for good" in told
    assert not in_clear(home)
    assert anima("memory", "export", "-") == (0, before, "")
    assert anima("memory", "encrypt")[0] == 2  # it is already

    monkeypatch.setenv(NEW_PASSPHRASE, "another")
    assert anima("memory", "rekey", "--kdf", "argon2id")[0] == 0
    assert anima("memory", "list") == (1, "", LOCKED)
    monkeypatch.setenv(PASSPHRASE, "another")
    assert anima("memory", "export", "-")[1] == before
    assert anima("memory", "decrypt")[:2] == (0, "")
    monkeypatch.delenv(PASSPHRASE)
    assert anima("memory", "export", "-") == (0, before, "")


def test_whatever_is_wrong_the_answer_is_the_same(
    anima: Anima, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    anima("memory", "encrypt")
    crypto.write_key_file(tmp_path / "other.key")
    answers = {anima("memory", "put", "x", "--key-file", str(tmp_path / "other.key"))}
    for wrong in ("correct hors", "x" * 9999, ""):
        monkeypatch.setenv(PASSPHRASE, wrong)
        answers |= {
            anima("memory", *command) for command in (("list",), ("put", "x"), ("decrypt",))
        }
    assert answers == {(1, "", LOCKED)}
    code, out, err = anima("memory", "verify")  # the chain needs no secret
    assert (code, "1 locked: only their anchors were checked" in out, err) == (0, True, "")
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    assert anima("memory", "list")[0] == 0


def test_a_key_file_is_made_and_taken(
    anima: Anima, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = str(tmp_path / "one.key"), str(tmp_path / "two.key")
    assert anima("memory", "encrypt", "--new-key-file", first)[0] == 0
    assert stat.S_IMODE(Path(first).stat().st_mode) == 0o600
    assert anima("memory", "list") == (1, "", LOCKED)
    assert SAID in anima("memory", "list", "--key-file", first)[1]
    code, _, err = anima("memory", "rekey", "--key-file", first, "--new-key-file", first)
    assert (code, "is there already" in err) == (2, True)
    assert anima("memory", "rekey", "--key-file", first, "--new-key-file", second)[0] == 0
    assert anima("memory", "list", "--key-file", first) == (1, "", LOCKED)
    monkeypatch.setenv(KEY_FILE, second)
    assert SAID in anima("memory", "list")[1]
    assert anima("memory", "rekey", "--to-key-file", first)[0] == 0
    assert anima("memory", "list") == (1, "", LOCKED)


def test_a_person_is_asked_twice_for_a_new_passphrase_and_once_for_the_old_one(
    anima: Anima, typed: Typed
) -> None:
    asked = typed("one", "two")
    code, _, err = anima("memory", "encrypt", answer="")
    assert (code, asked) == (2, ["New passphrase: ", "The same again: "])
    assert "The two passphrases differ, so nothing was changed" in err
    typed("one", "one")
    assert anima("memory", "encrypt", answer="")[0] == 0
    asked = typed("one")
    assert SAID in anima("memory", "list", answer="")[1]
    assert asked == ["Passphrase of the memory: "]
    for wrong in ("two", ""):
        typed(wrong)
        assert anima("memory", "list", answer="") == (1, "", LOCKED)


def test_nobody_is_asked_where_nobody_sits(anima: Anima) -> None:
    code, _, err = anima("memory", "encrypt")
    assert code == 2
    assert f"There is nobody to ask for a passphrase: give a key file, or set {PASSPHRASE}" in err


def test_two_keys_at_once_are_refused(anima: Anima, tmp_path: Path) -> None:
    old = tmp_path / "old.key"
    crypto.write_key_file(old)
    code, _, err = anima(
        "memory", "encrypt", "--key-file", str(old), "--new-key-file", str(tmp_path / "new.key")
    )
    assert (code, "give one of them" in err) == (2, True)
    assert not (tmp_path / "new.key").exists()


def test_the_variables_of_secrets_are_no_settings(
    anima: Anima, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (PASSPHRASE, NEW_PASSPHRASE):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv(KEY_FILE, "/no/where")
    code, out, err = anima("config", "show")
    assert code == 0
    assert "hunter2" not in out + err
    code, _, err = anima("memory", "list")
    assert (code, "/no/where" in err) == (1, True)
