"""Where modes are kept: those shipped for a model, and a person's own over them.

It knows folders and mode files, and neither models nor what a mode does.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anima.errors import SteeringError
from anima.home import make_folder, storage
from anima.prism.mode import Mode, check_name, read_mode, write_mode

Origin = Literal["shipped", "own"]


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The modes of one model: `shipped` is never written to; `own` goes before it."""

    own: Path | None = None
    shipped: Path | None = None

    def names(self) -> dict[str, Origin]:
        """Every mode by name, and whose it is."""
        found: dict[str, Origin] = dict.fromkeys(_names(self.shipped), "shipped")
        found |= dict.fromkeys(_names(self.own), "own")
        return dict(sorted(found.items()))

    def load(self, name: str) -> Mode:
        """A mode by name; SteeringError names the nearest for one that is not there."""
        for folder in (self.own, self.shipped):
            if folder is not None and _path(folder, name).is_file():
                return read_mode(_path(folder, name))
        raise SteeringError(f"There is no mode {name!r}.{self._hint(name)}")

    def save(self, mode: Mode, *, replace: bool = False) -> Path:
        """Keep a mode as one's own; SteeringError where it is there and is not to be replaced."""
        folder = self._own()
        path = _path(folder, mode.name)
        if path.exists() and not replace:
            raise SteeringError(
                f"There is a mode {mode.name!r} of your own already, at {path}: choose another "
                "name, or replace it."
            )
        make_folder(folder)
        write_mode(path, mode)
        return path

    def remove(self, name: str) -> None:
        """Delete a mode of one's own; SteeringError where there is none."""
        path = _path(self._own(), name)
        if not path.is_file():
            raise SteeringError(f"There is no mode {name!r} of your own to remove.")
        with storage(path):
            path.unlink()

    def export(self, name: str, path: Path) -> None:
        """Write a mode into one file elsewhere."""
        write_mode(path, self.load(name))

    def take_in(self, path: Path, *, replace: bool = False) -> Mode:
        """Keep a mode from a file elsewhere as one's own, under the name that it says."""
        mode = read_mode(path)
        self.save(mode, replace=replace)
        return mode

    def _own(self) -> Path:
        if self.own is None:
            raise SteeringError("There is no place for modes of one's own here.")
        return self.own

    def _hint(self, name: str) -> str:
        names = [*self.names(), "off", "auto"]
        near = difflib.get_close_matches(name, names, 1)
        return f" Did you mean {near[0]}?" if near else f" There are: {', '.join(names)}."


def _names(folder: Path | None) -> Iterable[str]:
    return () if folder is None else [path.stem for path in folder.glob("*.toml")]


def _path(folder: Path, name: str) -> Path:
    # The name becomes a file's: what could leave the folder is refused here.
    return folder / f"{check_name(name)}.toml"
