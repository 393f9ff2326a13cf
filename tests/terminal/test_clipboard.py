import sys
from pathlib import Path

import pytest

from anima.terminal import clipboard

if sys.platform == "win32":
    pytest.skip("the scripts here are for sh", allow_module_level=True)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, with a wl-copy that fails and an xsel that works."""
    for name, body in (("wl-copy", "exit 1"), ("xsel", f"/bin/cat > {tmp_path}/copied")):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_first_program_that_takes_it_has_it(programs: Path) -> None:
    assert clipboard.by_program("a text é", {"WAYLAND_DISPLAY": "0", "DISPLAY": ":0"}) == "xsel"
    assert (programs / "copied").read_text(encoding="utf-8") == "a text é"


def test_without_a_screen_no_program_is_asked(programs: Path) -> None:
    assert clipboard.by_program("a text", {}) is None
    assert not (programs / "copied").exists()


def test_the_terminal_takes_a_text_up_to_a_length() -> None:
    assert clipboard.for_terminal("hi") == "\x1b]52;c;aGk=\x07"
    assert clipboard.for_terminal("x" * 56_000) is not None
    assert clipboard.for_terminal("x" * 57_000) is None
