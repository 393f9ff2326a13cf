from pathlib import Path

import pytest

from anima.errors import CorruptStateError, NewerVersionError
from anima.persona import head, migrate
from anima.persona.head import Head

NAME = "sampling-0123456789abcdef.json"
HEAD = Head(
    generation=7,
    clock="2026-11-22T01:53:00+00:00",
    states={"sampling": NAME},
    hashes={NAME: "0123456789abcdef" * 4},
    session="20261122-015300-7f3a",
    offset=412,
)


@pytest.mark.parametrize("each", [HEAD, Head(generation=0, clock="2026-11-22T01:53:00+00:00")])
def test_a_head_comes_back_as_it_was(each: Head) -> None:
    assert head.parse(head.encode(each), Path("HEAD.json")) == each


def test_any_changed_byte_is_damage() -> None:
    content = head.encode(HEAD)
    for at in range(len(content) - 1):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        with pytest.raises(CorruptStateError, match=r"HEAD\.json"):
            head.parse(changed, Path("HEAD.json"))


def test_any_shortened_file_is_damage() -> None:
    content = head.encode(HEAD)
    for length in range(len(content) - 1):
        with pytest.raises(CorruptStateError, match=r"HEAD\.json is damaged"):
            head.parse(content[:length], Path("HEAD.json"))


@pytest.mark.parametrize(
    "each",
    [
        Head(generation=1, clock="", states={"sampling": "../../etc/passwd"}),
        Head(generation=1, clock="", states={"sampling": "affect-0123456789abcdef.json"}),
        Head(generation=1, clock="", session="../../x", offset=3),
        Head(generation=1, clock="", session="20261122-015300-7f3a", offset=-1),
    ],
)
def test_what_no_commit_could_have_written_is_damage(each: Head) -> None:
    with pytest.raises(CorruptStateError, match="missing or wrong"):
        head.parse(head.encode(each), Path("HEAD.json"))


def test_a_newer_head_is_refused_and_an_older_one_brought_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = head.encode(HEAD)
    later = {1: lambda document: {**document, "generation": document["generation"] + 100}}
    with monkeypatch.context() as patch:
        patch.setitem(migrate.MIGRATIONS, "head", later)
        newer = head.encode(HEAD)
        assert head.parse(old, Path("HEAD.json")).generation == 107
        assert head.parse(newer, Path("HEAD.json")).generation == 7

    with pytest.raises(NewerVersionError, match="head schema is 2"):
        head.parse(newer, Path("HEAD.json"))


def test_advancing_keeps_the_bytes_of_the_head_before(tmp_path: Path) -> None:
    first = head.encode(HEAD)
    following = Head(generation=8, clock="2026-11-22T01:54:00+00:00")

    content = head.advance(tmp_path, following, kept=first)

    assert (tmp_path / "HEAD.previous.json").read_bytes() == first
    assert (tmp_path / "HEAD.json").read_bytes() == content
    assert head.parse(content, tmp_path / "HEAD.json") == following
