"""Changes one setting in a TOML file and leaves every other character of it; knows no layers."""

import contextlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from anima.config import read_file
from anima.errors import ConfigError
from anima.home import make_folder, storage, write_atomically

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_REMEDY = "Change its permissions, or set the value by its ANIMA_* variable or flag instead."


def put(path: Path, name: str, value: str | int | float) -> None:
    """Set a value, durably; comments and all other lines stay. The file is made where it is not.

    Raises ConfigError for a file that is no TOML, with its line, and StorageError.
    """
    document, found = _parsed(path)
    document[name] = value
    _write(path, document, {**found, name: value})


def take_out(path: Path, name: str) -> bool:
    """Remove a value, known as a setting or not; False where the file does not have it.

    Raises as `put` does.
    """
    document, found = _parsed(path)
    if name not in found:
        return False
    document.remove(name)
    _write(path, document, {key: value for key, value in found.items() if key != name})
    return True


def _parsed(path: Path) -> "tuple[TOMLDocument, dict[str, object]]":
    import tomlkit

    text, found = read_file(path)
    return tomlkit.parse(text), dict(found)


def _write(path: Path, document: "TOMLDocument", wanted: dict[str, object]) -> None:
    content = document.as_string()
    if "\r\n" in content:  # a new line ends as the others do
        content = content.replace("\r\n", "\n").replace("\n", "\r\n")
    if tomllib.loads(content) != wanted:
        raise ConfigError(
            f"{path} is written in a way that cannot be changed without touching the rest: edit it "
            "yourself."
        )
    with storage(path, remedy=_REMEDY):
        # Where it is a link, as in a folder of dotfiles, the file behind it is meant.
        real = path.resolve()
        mode = real.stat().st_mode if real.exists() else None
        make_folder(real.parent)
        write_atomically(real, content.encode(), remedy=_REMEDY)
        if mode is not None:
            with contextlib.suppress(OSError):
                real.chmod(mode & 0o777)
