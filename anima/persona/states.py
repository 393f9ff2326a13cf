"""Organ states as files named by their content; knows nothing of what an organ keeps.

A state is one JSON file and, where it has arrays, one safetensors file that the JSON names. Both
are named `<organ>-<first 16 hex digits of the SHA-256 of the file>`, so that a file never changes
once it is written, and equal states are stored once.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anima.errors import CorruptStateError, StateError
from anima.organ import OrganState
from anima.persona import encoding, files, migrate

if TYPE_CHECKING:
    import numpy

    Arrays = Mapping[str, "numpy.ndarray[Any, Any]"]

STATES = "states"

_DIGITS = 16
_WIDEST = 8  # bytes an element; a long double has no place in safetensors
_NAME = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)-[0-9a-f]{16}\.(json|safetensors)")
_ORGAN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A state as files: `name` that of its JSON, `contents` by file name, arrays first."""

    organ: str
    name: str
    contents: Mapping[str, bytes]

    def hashes(self) -> dict[str, str]:
        """The whole SHA-256 of each file, by its name."""
        return {name: _digest(content) for name, content in self.contents.items()}


def encode(organ: str, state: OrganState) -> Encoded:
    """The files that hold a state; equal states give equal files.

    Raises StateError for a state that would not come back as it is.
    """
    if not _ORGAN.fullmatch(organ):
        raise StateError(f"{organ!r} cannot name an organ's file: use letters, digits and '_'.")
    contents: dict[str, bytes] = {}
    arrays = None
    if state.arrays:
        content = _encode_arrays(organ, state.arrays)
        arrays = _name(organ, content, "safetensors")
        contents[arrays] = content
    document = {
        "schema": migrate.current("state"),
        "organ": organ,
        "organ_schema": state.schema,
        "values": dict(state.values),
        "arrays": arrays,
    }
    try:
        content = encoding.encode(document, sort=True) + b"\n"
        survives = encoding.decode(content) == document
    except (TypeError, ValueError) as error:
        raise StateError(f"The state of {organ!r} cannot be kept as JSON: {error}.") from error
    if not survives:
        raise StateError(
            f"The state of {organ!r} does not survive JSON unchanged: keep lists, not tuples, and "
            "text as keys."
        )
    name = _name(organ, content, "json")
    contents[name] = content
    return Encoded(organ=organ, name=name, contents=contents)


def load(folder: Path, name: str, hashes: Mapping[str, str]) -> OrganState:
    """The state whose JSON file has this name in the persona's `folder`, in arrays of its own.

    `hashes` may hold whole SHA-256 by file name; the prefix in the name is checked in any case.
    Raises CorruptStateError, NewerVersionError and StorageError.
    """
    document = _document(folder, name, hashes)
    return OrganState(
        schema=document["organ_schema"],
        values=document["values"],
        arrays=_load_arrays(folder, document["arrays"], hashes),
    )


def verify(folder: Path, name: str, hashes: Mapping[str, str]) -> None:
    """Check a state's files without taking them apart; raises as `load` does."""
    arrays = _document(folder, name, hashes)["arrays"]
    if arrays is not None:
        _read(folder, arrays, hashes)


def organ_of(name: str) -> str | None:
    """Whose state a file of this name holds; None where the name is no content name."""
    match = _NAME.fullmatch(name)
    return match.group(1) if match else None


def parts(folder: Path, name: str) -> set[str]:
    """The names of the files of a state, itself included; raises as `load` does."""
    arrays = _document(folder, name, {})["arrays"]
    return {name} if arrays is None else {name, arrays}


def _document(folder: Path, name: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    path = folder / STATES / name
    content = _read(folder, name, hashes)
    try:
        document = encoding.decode(content)
    except ValueError as error:
        raise CorruptStateError(f"{path} is damaged: {error}.") from error
    document = migrate.upgrade("state", document, document.get("schema"), place=str(path))
    arrays = document.get("arrays")
    sound = (
        type(document.get("organ_schema")) is int
        and isinstance(document.get("values"), dict)
        and (arrays is None or (isinstance(arrays, str) and organ_of(arrays) is not None))
    )
    if not sound:
        raise CorruptStateError(f"{path} is damaged: it is no organ's state.")
    return document


def _read(folder: Path, name: str, hashes: Mapping[str, str]) -> bytes:
    """A state file's content, checked against its name and, where it is known, its whole hash."""
    path = folder / STATES / name
    if organ_of(name) is None:
        raise CorruptStateError(f"{name!r} does not name an organ's state in {path.parent}.")
    content = files.read(path)
    digest = _digest(content)
    if digest[:_DIGITS] != path.stem[-_DIGITS:] or hashes.get(name, digest) != digest:
        raise CorruptStateError(f"{path} is damaged: its content is not what its name says.")
    return content


def _encode_arrays(organ: str, arrays: "Arrays") -> bytes:
    import numpy
    from safetensors.numpy import save

    for key, array in arrays.items():
        plain = isinstance(array, numpy.ndarray) and array.dtype.kind in "biuf"
        if not plain or array.dtype.itemsize > _WIDEST:
            kind = getattr(array, "dtype", type(array).__name__)
            raise StateError(f"The array {key!r} of {organ!r} cannot be kept: it is {kind}.")
    # A view with strides would be stored in the order of its memory, not of its indices.
    content: bytes = save({key: numpy.asarray(array, order="C") for key, array in arrays.items()})
    return content


def _load_arrays(folder: Path, name: str | None, hashes: Mapping[str, str]) -> "Arrays":
    if name is None:
        return {}
    import numpy
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = _read(folder, name, hashes)
    try:
        # The views into `content` cannot be written to; an organ goes on learning in its arrays.
        return {key: numpy.array(array) for key, array in load(content).items()}
    except SafetensorError as error:
        raise CorruptStateError(f"{folder / STATES / name} is damaged: {error}.") from error


def _name(organ: str, content: bytes, suffix: str) -> str:
    return f"{organ}-{_digest(content)[:_DIGITS]}.{suffix}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
