import errno
import os
import stat
from pathlib import Path

import pytest

from anima.errors import StorageError, UsageError
from anima.home import Home, append_durably, find_home, make_folder, write_atomically


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def full(*given: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_whole_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "HEAD.json"
    for content in (b"long content", b"short", b""):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "HEAD.json"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "write", full)

    with pytest.raises(StorageError, match=rf"disk is full: {path}"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_the_system_takes_in_parts_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:3]))

    write_atomically(tmp_path / "state", b"0123456789")
    append_durably(tmp_path / "log", b"0123456789", offset=0)

    assert (tmp_path / "state").read_bytes() == b"0123456789"
    assert (tmp_path / "log").read_bytes() == b"0123456789"


def test_an_append_begins_where_what_counts_ends(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    append_durably(path, b"one\n", offset=0)
    append_durably(path, b"torn", offset=4)
    append_durably(path, b"two\n", offset=4)

    assert path.read_bytes() == b"one\ntwo\n"
    assert mode(path) == 0o600


def test_an_append_that_fails_leaves_what_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "session.jsonl"
    append_durably(path, b"one\n", offset=0)
    monkeypatch.setattr(os, "write", full)

    with pytest.raises(StorageError, match="disk is full"):
        append_durably(path, b"two\n", offset=4)
    assert path.read_bytes() == b"one\n"


def test_folders_are_made_with_their_parents_for_their_owner_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "home" / "checkpoints" / "personas")
    make_folder(tmp_path / "home" / "checkpoints" / "personas")

    for path in (tmp_path / "home").rglob("*"):
        assert mode(path) == 0o700


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_bytes(b"")

    with pytest.raises(StorageError, match=f"{tmp_path / 'home'} cannot be used .*--home"):
        make_folder(tmp_path / "home" / "checkpoints")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../up", "a b", "a\0b"])
def test_a_name_that_leads_elsewhere_names_no_persona(tmp_path: Path, name: str) -> None:
    home = Home(root=tmp_path, cache=tmp_path, config=tmp_path)

    with pytest.raises(UsageError, match="cannot name a persona"):
        home.persona(name)


def test_what_is_given_goes_before_the_environment(tmp_path: Path) -> None:
    environ = {"ANIMA_HOME": str(tmp_path / "a"), "ANIMA_CACHE": str(tmp_path / "b")}

    assert find_home(None, environ).root == tmp_path / "a"
    assert find_home(tmp_path / "c", environ).root == tmp_path / "c"
    assert find_home(tmp_path / "c", environ).models == tmp_path / "b" / "models"
