"""Numbered forward migrations per kind of file; knows no file and no folder."""

from collections.abc import Callable
from typing import Any

from anima.errors import CorruptStateError, NewerVersionError, StateError

Document = dict[str, Any]
Migration = Callable[[Document], Document]

MIGRATIONS: dict[str, dict[int, Migration]] = {
    "persona": {},
    "head": {},
    "state": {},
    "session": {},
    "names": {},
    "archive": {},
}
"""By kind of file, what brings a document from the version in the key to the next one.

For a session the document is one record. A step may be removed never, and added at the end only.
"""


def current(kind: str) -> int:
    """The version in which files of this kind are written; the first is 1."""
    return max(MIGRATIONS[kind], default=0) + 1


def check(kind: str, version: object, *, place: str) -> int:
    """`version` where this Anima can read it.

    Raises NewerVersionError where only a newer one can, CorruptStateError where it is no version.
    """
    if type(version) is not int or version < 1:
        raise CorruptStateError(f"{place} is damaged: {version!r} is no schema version.")
    if version > current(kind):
        raise NewerVersionError(
            f"{place} was written by a newer Anima: its {kind} schema is {version}, this Anima "
            f"reads up to {current(kind)}. Update Anima, or choose another --persona. Nothing was "
            "changed."
        )
    return version


def upgrade(kind: str, document: Document, version: object, *, place: str) -> Document:
    """The document as of the current version; the one given is left as it is.

    Raises as `check` does, and StateError where a step of the way is missing.
    """
    version = check(kind, version, place=place)
    steps = range(version, current(kind))
    for step in steps:
        if step not in MIGRATIONS[kind]:
            raise StateError(
                f"{place} has {kind} schema {version}, and no migration leads from {step} to "
                f"{step + 1}. Open it once with the Anima that could, then with this one."
            )
    upgraded = dict(document)
    for step in steps:
        upgraded = MIGRATIONS[kind][step](upgraded)
    return upgraded
