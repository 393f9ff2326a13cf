"""A disk that is cut off before any effect, forgets what was not synced, or is full.

It stands between the package and the `os` module, so that the real code runs on real files.
"""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

Fault = Literal["cut", "torn", "full"]

_UNTOUCHED = ("lock", "lock.pid")
_GROWING = ("make", "write", "folder")


class Cut(BaseException):
    """The process ends here: nothing after it reaches the disk."""


@dataclass
class Unsynced:
    """One effect that a loss of power takes back: what must be synced to keep it, and how.

    `place` is a folder for what happened to its names, a file for what happened to its content.
    """

    place: Path
    undo: Callable[[Path], None]


@dataclass
class Disk:
    """Counts every effect on files in `folder`; at effect number `at` the fault happens.

    `cut`: the effect and all after it fail. `torn`: the same, after half of a write went through.
    `full`: the effect fails for want of space, and so does all that grows until `free` is called.
    """

    folder: Path
    at: int | None = None
    fault: Fault = "cut"
    effects: list[str] = field(default_factory=list)
    unsynced: list[Unsynced] = field(default_factory=list)
    paths: dict[int, Path] = field(default_factory=dict)
    freed: bool = False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("open", "write", "fsync", "ftruncate", "replace", "unlink", "mkdir"):
            patch.setattr(os, name, getattr(self, name)(getattr(os, name)))

    def free(self) -> None:
        self.freed = True

    def lose_power(self) -> None:
        """Take back, newest first, every effect that no sync has made durable."""
        for each in reversed(self.unsynced):
            each.undo(each.place)
        self.unsynced.clear()

    def reaches(self, effect: str, path: Path) -> bool:
        """Whether the effect happens; False is for a write of which only half goes through."""
        number = len(self.effects)
        self.effects.append(f"{effect} {path.name}")
        if self.at is None or number < self.at:
            return True
        if self.fault == "full":
            if self.freed or (number > self.at and effect not in _GROWING):
                return True
            if effect == "write" and number == self.at:
                return False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.fault == "torn" and effect == "write" and number == self.at:
            return False
        raise Cut

    def watched(self, path: Path) -> bool:
        return path.is_relative_to(self.folder) and path.name not in _UNTOUCHED

    def forget(self, place: Path, undo: Callable[[Path], None]) -> None:
        self.unsynced.append(Unsynced(place=place, undo=undo))

    def open(self, real: Callable[..., int]) -> Callable[..., int]:
        def opened(given: Any, flags: int, *rest: Any, **named: Any) -> int:
            path = Path(os.fsdecode(given))
            if not self.watched(path):
                return real(given, flags, *rest, **named)
            new = bool(flags & os.O_CREAT) and not path.exists()
            if new:
                self.reaches("make", path)
                self.forget(path.parent, lambda _: path.unlink(missing_ok=True))
            descriptor = real(given, flags, *rest, **named)
            self.paths[descriptor] = path
            return descriptor

        return opened

    def write(self, real: Callable[..., int]) -> Callable[..., int]:
        def written(descriptor: int, content: Any) -> int:
            path = self.paths.get(descriptor)
            if path is None:
                return real(descriptor, content)
            before = os.fstat(descriptor)
            whole = self.reaches("write", path)
            self.forget(path, lambda place: self.empty(place, before))
            if whole:
                return real(descriptor, content)
            real(descriptor, content[: len(content) // 2])
            if self.fault == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise Cut

        return written

    def ftruncate(self, real: Callable[..., None]) -> Callable[..., None]:
        def truncated(descriptor: int, length: int) -> None:
            path = self.paths[descriptor]
            if os.fstat(descriptor).st_size != length:
                self.reaches("truncate", path)
                before = path.read_bytes()
                self.forget(path, lambda _: self.restore(path, before))
            real(descriptor, length)

        return truncated

    def fsync(self, real: Callable[..., None]) -> Callable[..., None]:
        def synced(descriptor: int) -> None:
            # The real one would only make the tests slow: no power is lost in earnest.
            path = self.paths[descriptor]
            self.reaches("sync", path)
            self.unsynced = [each for each in self.unsynced if each.place != path]

        return synced

    def replace(self, real: Callable[..., None]) -> Callable[..., None]:
        def replaced(source: Any, target: Any) -> None:
            path = Path(target)
            self.reaches("rename to", path)
            before = path.read_bytes() if path.exists() else None
            real(source, target)
            for each in self.unsynced:
                each.place = path if each.place == Path(source) else each.place
            self.forget(path.parent, lambda _: self.restore(path, before))

        return replaced

    def unlink(self, real: Callable[..., None]) -> Callable[..., None]:
        def unlinked(given: Any, **named: Any) -> None:
            path = Path(given)
            if not self.watched(path) or not path.exists():
                return real(given, **named)
            self.reaches("remove", path)
            before = path.read_bytes()
            real(given, **named)
            return self.forget(path.parent, lambda _: self.restore(path, before))

        return unlinked

    def mkdir(self, real: Callable[..., None]) -> Callable[..., None]:
        def made(given: Any, *rest: Any, **named: Any) -> None:
            path = Path(given)
            if not path.exists():
                self.reaches("folder", path)
                self.forget(path.parent, lambda _: shutil.rmtree(path, ignore_errors=True))
            real(given, *rest, **named)

        return made

    @staticmethod
    def restore(path: Path, content: bytes | None) -> None:
        if path.parent.is_dir():
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)

    @staticmethod
    def empty(path: Path, before: os.stat_result) -> None:
        """Take a file's new content back, where the file is still the one that was written."""
        if path.exists() and path.stat().st_ino == before.st_ino:
            os.truncate(path, before.st_size)
