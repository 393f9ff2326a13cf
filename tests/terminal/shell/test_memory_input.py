import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anima.home import Home
from anima.persona import Persona

from .conftest import NOON, Anima
from .memory_rig import folder, rows, tampered, texts

pytestmark = pytest.mark.usefixtures("at_noon")


def test_what_a_killed_process_had_printed_is_there(anima: Anima, tmp_path: Path) -> None:
    lines = [{"text": f"line {n}"} for n in range(3000)]
    command = [sys.executable, "-m", "anima", "memory", "put", "--jsonl"]
    file = rows(tmp_path / "in.jsonl", *lines)
    with subprocess.Popen([*command, file], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as put:
        assert put.stdout is not None
        printed = [put.stdout.readline()]
        put.kill()
        printed += put.stdout.readlines()
    whole = {line.decode().strip() for line in printed if line.endswith(b"\n")}
    code, out, err = anima("memory", "list", "-n", "3000", "--json")
    assert code == 0, err
    assert whole <= {line["anchor"][:16] for line in json.loads(out)}
    assert anima("memory", "verify")[0] == 0


def test_on_a_full_disk_what_was_printed_is_there_and_the_rest_is_not(
    anima: Anima, tmp_path: Path, home: Home
) -> None:
    resource = pytest.importorskip("resource")
    anima("memory", "put", "before")
    many = rows(tmp_path / "many.jsonl", *({"text": "x" * 1000} for _ in range(1000)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, hard))
    try:
        code, out, err = anima("memory", "put", "--jsonl", many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, str(folder(home)) in err) == (1, True)
    assert "lines remembered.\nanima: " in err
    assert 0 < len(out.splitlines()) < 1000
    assert len(texts(anima)) == 1 + len(out.splitlines())
    assert anima("memory", "put", "after")[0] == 0


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_memory_that_is_read_only_can_be_read(
    anima: Anima, remembered: list[str], home: Home
) -> None:
    everything = [folder(home), *folder(home).rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        assert len(texts(anima)) == 3
        assert anima("memory", "verify")[0] == 0
        code, out, err = anima("memory", "put", "x")
        assert (code, out, "cannot be written" in err) == (1, "", True)
    finally:
        for path in everything:
            path.chmod(path.stat().st_mode | 0o200)


def test_a_memory_in_use_can_be_read_and_not_written_to(
    anima: Anima, remembered: list[str], home: Home
) -> None:
    with Persona.open(home, "default", clock=lambda: NOON):
        assert len(texts(anima)) == 3
        assert anima("memory", "query", "chess")[0] == 0
        assert anima("memory", "verify")[0] == 0
        for command in (("put", "x"), ("forget", "1"), ("seal",), ("convert", "json")):
            code, out, err = anima("memory", *command)
            assert (code, out) == (1, "")
            assert f"in use by process {os.getpid()}. Close it there" in err
            if command[0] != "convert":
                assert "--ephemeral" not in err
    assert len(texts(anima)) == 3


LONG = 17_000_000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"text": "a", "key": [1, NaN]}', "line 1: The key holds nan at position 1"),
        (b'{"text": "a"}\n{"text": "  "}', "line 2: There is nothing to remember"),
        (b'{"text": "' + b"x" * LONG + b'"}', "line 1: A text of 17,000,000 bytes is too long"),
        (b'{"text": "a"}\n{"text": "\xff"}', "line 2 is not UTF-8"),
        (b'{"text": "a"}\nhello', "line 2 is not JSON"),
        (b'{"txt": "a"}', "line 1 has an unknown field 'txt'"),
        (b'{"text": "a", "timestamp": "soon"}', "line 1: timestamp is 'soon', which is no time"),
        (b'{"text": "a", "context": []}', "context is [], which is no object in braces"),
        (b'{"text": "a", "role": "\\ud800"}', "The role is not valid Unicode"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_of_its_file_is_remembered(
    anima: Anima, remembered: list[str], tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(content)
    code, out, err = anima("memory", "put", "--jsonl", str(file))
    assert (code, out) == (2, "")
    assert f"anima: {file}, line" in err
    assert says in err
    assert len(texts(anima)) == 3


def test_a_file_without_a_line_is_said_to_hold_none(anima: Anima, tmp_path: Path) -> None:
    assert anima("memory", "put", "--jsonl", rows(tmp_path / "none")) == (
        0, "", "0 lines remembered.\n"
    )  # fmt: skip


def test_a_text_of_ten_megabytes_is_remembered(anima: Anima, tmp_path: Path) -> None:
    code, _, err = anima(
        "memory", "put", "--jsonl", rows(tmp_path / "in.jsonl", {"text": "long " * 2_000_000})
    )
    assert (code, err) == (0, "1 line remembered.\n")
    assert max(map(len, anima("memory", "list")[1].splitlines())) <= 80


def test_a_vector_of_another_width_is_refused(anima: Anima, tmp_path: Path) -> None:
    anima("memory", "put", "--jsonl", rows(tmp_path / "a.jsonl", {"text": "a", "key": [1, 2, 3]}))
    code, out, err = anima(
        "memory", "put", "--jsonl", rows(tmp_path / "b.jsonl", {"text": "b", "key": [1, 2]})
    )
    assert (code, out) == (2, "")
    assert "has 2 numbers" in err
    assert texts(anima) == ["a"]


def test_a_line_that_claims_an_anchor_is_refused_and_one_that_has_it_is_not_written_again(
    anima: Anima, remembered: list[str], tmp_path: Path
) -> None:
    anchor = json.loads(anima("memory", "show", "3", "--json")[1])["anchor"]
    claim = rows(tmp_path / "a.jsonl", {"text": "never said", "anchor": anchor})
    code, out, err = anima("memory", "put", "--jsonl", claim)
    assert (code, out, f"claims the anchor {remembered[2]}" in err) == (2, "", True)
    same = rows(tmp_path / "b.jsonl", {"text": "Bob plays chess on Tuesdays.", "anchor": anchor})
    assert anima("memory", "put", "--jsonl", same)[1] == f"{remembered[2]}\n"
    assert len(texts(anima)) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("put",), 2, "Give either a text, or --jsonl"),
        (("put", " "), 2, "the text is empty"),
        (("put", "a", "--jsonl", "{file}"), 2, "Give either"),
        (("put", "--jsonl", "{file}", "--role", "x"), 2, "go with one text"),
        (("put", "a", "--context", "{{"), 2, "--context is not JSON"),
        (("put", "a", "--time", "noon"), 2, "--time is 'noon', which is no time"),
        (("put", "--jsonl", "nowhere"), 2, "does not exist"),
        (("put", "--jsonl", "."), 2, "is a directory"),
        (("query",), 2, "Give either a question"),
        (("query", "a", "-k", "0"), 2, "0 is too small: it goes from 1 up"),
        (("query", "a", "--at", "yesterday"), 2, "--at is 'yesterday', which is no time"),
        (("query", "a", "--at", "0001-01-01"), 2, "--at is '0001-01-01', which is no time"),
        (("query", "--batch", "{file}"), 2, "has no id"),
        (("query", "--batch", "{file}", "--at", "2026-01-01"), 2, "in a batch each has its own"),
        (("show", "99"), 2, "There is no line 99"),
        (("show", "fox"), 2, "no line with the anchor 'fox'"),
        (("forget", "99"), 2, "There is no line 99"),
        (("list", "--persona", "nobody"), 2, "There is no persona 'nobody'"),
        (("convert",), 2, "Give either a KIND"),
        (("convert", "sqlite"), 2, "kept in sqlite already"),
        (("seal", "--to", "/no/where/seal"), 2, "There is no folder /no/where"),
        (("verify", "--expect", "{file}"), 1, "This is no whole seal"),
        (("export", "/no/where/x"), 2, "There is no folder /no/where"),
        (("decrypt",), 2, "is not encrypted"),
        (("rekey",), 2, "is not encrypted"),
        (("list", "--key-file", "{file}"), 2, "is no key file"),
        (("quer", "x"), 2, "Did you mean 'query'?"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(
    anima: Anima,
    remembered: list[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    file = rows(tmp_path / "f.jsonl", {"text": "a"})
    got, out, err = anima("memory", *(each.format(file=file) for each in arguments))
    assert says in err
    assert (got, out) == (code, "")
    assert "Traceback" not in err
    assert len(texts(anima)) == 3


def test_a_ledger_of_a_newer_anima_is_left_alone(
    anima: Anima, remembered: list[str], home: Home
) -> None:
    tampered(home, "UPDATE meta SET value = '9' WHERE name = 'schema'")
    for command in (("list",), ("put", "x"), ("verify",), ("convert", "json"), ("repair",)):
        code, out, err = anima("memory", *command)
        assert (code, out, "was written by a newer Anima" in err) == (1, "", True)
    assert not (folder(home) / "memory.json").exists()
