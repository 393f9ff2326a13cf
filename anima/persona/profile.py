"""`persona.toml`, the page about a persona that a person can read; knows nothing of its states."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from anima.errors import CorruptStateError
from anima.home import write_atomically
from anima.persona import files, migrate

PROFILE = "persona.toml"

_BARE = re.compile(r"[A-Za-z0-9_-]+")

Setting = str | bool | int | float


@dataclass(frozen=True, kw_only=True)
class PersonaFile:
    """Who this is, on which model, under which settings.

    `created` has a time zone. `model` and its `fingerprint` are None until a model was loaded.
    """

    name: str
    created: datetime
    model: str | None = None
    fingerprint: str | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)


def load(folder: Path) -> PersonaFile | None:
    """The file, None where there is none; raises CorruptStateError, NewerVersionError, StorageError."""
    path = folder / PROFILE
    content = files.read_if_there(path)
    if content is None:
        return None
    try:
        document: dict[str, Any] = tomllib.loads(content.decode())
    except ValueError as error:
        raise CorruptStateError(_damaged(path, str(error))) from error
    document = migrate.upgrade("persona", document, document.get("schema"), place=str(path))
    try:
        return _parse(document)
    except (AttributeError, KeyError, ValueError) as error:
        raise CorruptStateError(_damaged(path, f"{error} is missing or wrong")) from error


def save(folder: Path, profile: PersonaFile) -> None:
    """Write the file; raises StorageError."""
    lines = [
        f"schema = {migrate.current('persona')}",
        f"name = {_literal(profile.name)}",
        f"created = {profile.created.isoformat(timespec='seconds')}",
    ]
    if profile.model is not None:
        lines += ["", "[model]", f"id = {_literal(profile.model)}"]
        lines += [f"fingerprint = {_literal(profile.fingerprint or '')}"]
    if profile.settings:
        lines += ["", "[settings]"]
        lines += [
            f"{_literal(key)} = {_literal(profile.settings[key])}" for key in profile.settings
        ]
    write_atomically(folder / PROFILE, ("\n".join(lines) + "\n").encode())


def _parse(document: Mapping[str, Any]) -> PersonaFile:
    model, settings = document.get("model", {}), document.get("settings", {})
    profile = PersonaFile(
        name=document["name"],
        created=document["created"],
        model=model.get("id"),
        fingerprint=model.get("fingerprint"),
        settings=settings,
    )
    if not isinstance(profile.created, datetime) or profile.created.tzinfo is None:
        raise ValueError("created")
    if not isinstance(profile.name, str):
        raise ValueError("name")
    if not all(isinstance(text, str | None) for text in (profile.model, profile.fingerprint)):
        raise ValueError("model")
    if not all(isinstance(value, str | bool | int | float) for value in settings.values()):
        raise ValueError("settings")
    return profile


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _literal(key)


def _literal(value: Setting) -> str:
    """The value in TOML, whose strings and numbers are written as those of JSON are."""
    if not isinstance(value, str):
        return json.dumps(value, allow_nan=False)
    # A path may hold bytes that are no text, which TOML cannot.
    text = value.encode(errors="replace").decode()
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _damaged(path: Path, cause: str) -> str:
    return (
        f"{path} cannot be read: {cause}. Correct it, or delete it: Anima then writes it anew, and "
        "nothing that was lived is lost."
    )
