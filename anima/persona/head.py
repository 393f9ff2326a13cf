"""HEAD.json, whose rename is the commit, and the generation before it; knows no session's content."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anima.errors import CorruptStateError
from anima.home import write_atomically
from anima.persona import encoding, migrate, states

HEAD = "HEAD.json"
PREVIOUS = "HEAD.previous.json"

_SESSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]*")


@dataclass(frozen=True, kw_only=True)
class Head:
    """What one commit made true.

    `states` names the JSON file of each organ, `hashes` the whole SHA-256 of each state file;
    `session` is the session last written to and `offset` the bytes of its file that count;
    `clock` is when, in ISO 8601.
    """

    generation: int
    clock: str
    states: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    session: str | None = None
    offset: int = 0


def encode(head: Head) -> bytes:
    """The head as the bytes of its file, which carry their own hash."""
    session = None if head.session is None else {"id": head.session, "offset": head.offset}
    document = {
        "schema": migrate.current("head"),
        "generation": head.generation,
        "clock": head.clock,
        "states": dict(head.states),
        "hashes": dict(head.hashes),
        "session": session,
    }
    return encoding.encode({**document, "sha256": _digest(document)}) + b"\n"


def parse(content: bytes, path: Path) -> Head:
    """The head that these bytes of `path` are; raises CorruptStateError and NewerVersionError."""
    try:
        document = encoding.decode(content)
    except ValueError as error:
        raise CorruptStateError(f"{path} is damaged: {error}.") from error
    version = migrate.check("head", document.get("schema"), place=str(path))
    digest = document.pop("sha256", None)
    if digest != _digest(document):
        raise CorruptStateError(f"{path} is damaged: its content is not what its hash says.")
    document = migrate.upgrade("head", document, version, place=str(path))
    try:
        return _parse(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptStateError(f"{path} is damaged: {error} is missing or wrong.") from error


def advance(folder: Path, head: Head, *, kept: bytes) -> bytes:
    """Make `head` the truth, and `kept`, the bytes of the head so far, the generation before it.

    Its last rename is the commit. Returns the new file's bytes; raises StorageError, and the head
    so far stands.
    """
    content = encode(head)
    write_atomically(folder / PREVIOUS, kept)
    write_atomically(folder / HEAD, content)
    return content


def _parse(document: Mapping[str, Any]) -> Head:
    session = document["session"] or {"id": None, "offset": 0}
    head = Head(
        generation=document["generation"],
        clock=document["clock"],
        states=document["states"],
        hashes=document["hashes"],
        session=session["id"],
        offset=session["offset"],
    )
    if type(head.generation) is not int or type(head.offset) is not int or head.offset < 0:
        raise ValueError("generation or offset")
    if not all(states.organ_of(name) == organ for organ, name in head.states.items()):
        raise ValueError("states")
    if head.session is not None and not _SESSION.fullmatch(head.session):
        raise ValueError("session")
    return head


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(encoding.encode(document, sort=True)).hexdigest()
