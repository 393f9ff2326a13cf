import stat
import sys
from pathlib import Path

import pytest

from anima.errors import UsageError
from anima.terminal import editor

if sys.platform == "win32":
    pytest.skip("the scripts here are for sh", allow_module_level=True)


def script(folder: Path, body: str) -> dict[str, str]:
    path = folder / "my editor"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o700)
    return {"EDITOR": f"'{path}' -w"}


def test_what_was_saved_comes_back_without_its_last_line_end(tmp_path: Path) -> None:
    environ = script(tmp_path, f'cp "$2" {tmp_path}/seen; printf "one\\ntwo\\n" > "$2"')
    assert editor.edited("before", environ) == "one\ntwo"
    assert (tmp_path / "seen").read_text(encoding="utf-8") == "before"


def test_only_its_owner_can_read_the_file_and_it_is_gone_afterwards(tmp_path: Path) -> None:
    environ = script(tmp_path, f'cp -p "$2" {tmp_path}/seen; echo "$2" > {tmp_path}/where')
    editor.edited("a secret", environ)
    assert stat.S_IMODE((tmp_path / "seen").stat().st_mode) == 0o600
    assert not Path((tmp_path / "where").read_text(encoding="utf-8").strip()).exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [("exit 3", "exit code 3"), ("kill -9 $$", "signal 9"), ('rm "$2"', "cannot be read")],
)
def test_an_editor_that_fails_is_named(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        editor.edited("before", script(tmp_path, body))


@pytest.mark.parametrize("value", ["/no/such/editor", "a 'half quoted"])
def test_an_editor_that_cannot_be_started_is_named_with_the_remedy(value: str) -> None:
    with pytest.raises(UsageError, match="export EDITOR=nano"):
        editor.edited("before", {"VISUAL": value})


def test_visual_comes_before_editor_and_both_before_a_guess() -> None:
    assert editor.command({"VISUAL": "code -w", "EDITOR": "vi"}) == ["code", "-w"]
    assert editor.command({"VISUAL": " ", "EDITOR": "vi"}) == ["vi"]


def test_no_editor_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="neither VISUAL nor EDITOR is set"):
        editor.command({})
