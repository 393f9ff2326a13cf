"""A small model as a GGUF file, as a pinned wheel, and a pip that sees nothing but that wheel."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny

from anima.home import Home, find_home
from anima.trunk.catalog import Entry, Wheel
from anima.trunk.interface import Trunk
from tests.trunk import small_model


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A folder of wheels, the one in it, and how the catalog knows it."""

    folder: Path
    file: Path
    gguf: bytes
    wheel: Wheel

    @property
    def entry(self) -> Entry:
        return small_model.entry_for(self.wheel)


@pytest.fixture(scope="session")
def gguf_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_model.write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf").read_bytes()


@pytest.fixture
def gguf_file(tmp_path: Path, gguf_bytes: bytes) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_bytes)
    return path


@pytest.fixture
def shelf(tmp_path: Path, gguf_bytes: bytes) -> Shelf:
    folder = tmp_path / "shelf"
    file = small_model.pack_wheel(folder, {small_model.MEMBER: gguf_bytes})
    return Shelf(
        folder=folder, file=file, gguf=gguf_bytes, wheel=small_model.pinned(file, gguf_bytes)
    )


@pytest.fixture
def pip_sees_only_the_shelf(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip, with no configuration and no index but the folder of the small wheel."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf.folder))


@pytest.fixture
def home(isolated: None) -> Home:
    return find_home(None, os.environ)


class Said(list[str]):
    """What was said, line by line; calling it says one more."""

    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture(params=tiny.EXECUTIONS)
def make(request: pytest.FixtureRequest) -> Callable[..., Trunk]:
    """Makes the tiny model of a seed; every test that takes it runs on each execution."""
    made: Callable[..., Trunk] = tiny.EXECUTIONS[request.param]
    return made
