import json
from pathlib import Path
from typing import Any

import pytest

from anima.errors import CorruptModelError
from anima.trunk.manifest import (
    FileRecord,
    Manifest,
    check_files,
    is_outdated,
    read_manifest,
    sha256_of,
)


def _folder(tmp_path: Path, **changes: Any) -> Path:
    folder = tmp_path / "smollm2"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"abc")
    manifest = Manifest(
        schema=1,
        model="smollm2",
        source={"package": "p"},
        fingerprint="f" * 64,
        files={"a.bin": FileRecord(size=3, sha256=sha256_of(folder / "a.bin"))},
    )
    content = {**json.loads(manifest.as_json()), **changes}
    (folder / "anima.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    manifest = read_manifest(folder)
    assert json.loads(manifest.as_json()) == json.loads((folder / "anima.json").read_text("utf-8"))
    check_files(folder, manifest, hashes=True)


def test_another_schema_is_outdated_and_the_same_is_not(tmp_path: Path) -> None:
    folder = _folder(tmp_path, schema=0)
    assert is_outdated(folder)
    (folder / "anima.json").write_text('{"schema": 1}', encoding="utf-8")
    assert not is_outdated(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": 1}', b'{"files": {"a": 3}}'],
)
def test_a_damaged_manifest_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    folder = _folder(tmp_path)
    (folder / "anima.json").write_bytes(content)
    with pytest.raises(CorruptModelError, match=r"anima\.json .*anima models pull smollm2 --force"):
        read_manifest(folder)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "anima.json").unlink()
    with pytest.raises(CorruptModelError, match=r"anima\.json is missing"):
        read_manifest(folder)


def test_another_size_is_seen_without_hashing_and_changed_bytes_only_with_it(
    tmp_path: Path,
) -> None:
    folder = _folder(tmp_path)
    manifest = read_manifest(folder)
    (folder / "a.bin").write_bytes(b"abd")
    check_files(folder, manifest, hashes=False)
    with pytest.raises(CorruptModelError, match=r"a\.bin has changed"):
        check_files(folder, manifest, hashes=True)
    (folder / "a.bin").write_bytes(b"ab")
    with pytest.raises(CorruptModelError, match=r"a\.bin has 2 bytes instead of 3"):
        check_files(folder, manifest, hashes=False)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "a.bin").unlink()
    with pytest.raises(CorruptModelError, match=r"a\.bin is missing"):
        check_files(folder, read_manifest(folder), hashes=False)
