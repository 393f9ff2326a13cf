"""Lines as JSON, one a line of a file: out for people and scripts, in from them; knows no ledger.

An export carries what was said, not the chain: to move a whole memory, convert its ledger.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from anima.errors import UsageError
from anima.memory.line import Line, Vector

_FIELDS = frozenset({"text", "role", "timestamp", "context", "key", "value", "valence"})
_IGNORED = frozenset({"seq", "anchor", "kind", "target", "note", "novelty", "in_force", "erased"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """One line that somebody gives: `place` is where it stands, for a message."""

    place: str
    text: str
    role: str
    timestamp: datetime | None
    context: Mapping[str, Any]
    key: object
    value: object
    valence: float | None
    anchor: str | None


def as_json(line: Line, *, in_force: bool) -> str:
    """One line as JSON, its vectors as lists of numbers."""
    return json.dumps(
        {
            "seq": line.seq,
            "anchor": line.anchor,
            "kind": line.kind,
            "role": line.role,
            "timestamp": line.timestamp.isoformat(),
            "target": line.header.target,
            "note": line.header.note,
            "text": line.text,
            "context": line.context,
            "key": _numbers(line.key),
            "value": _numbers(line.value),
            "novelty": line.novelty,
            "valence": line.valence,
            "in_force": in_force,
            "erased": line.content is None,
        },
        ensure_ascii=False,
    )


def read(file: IO[bytes], name: str) -> Iterator[Given]:
    """The lines in a file of JSON; raises UsageError that names the place of a wrong one.

    Records of another kind than a line, and erased lines, say nothing and are passed over.
    """
    for number, content in enumerate(file, 1):
        if not content.strip():
            continue
        place = f"{name}, line {number}"
        document = _document(content, place)
        if document.get("kind", "line") == "line" and not document.get("erased"):
            yield _given(document, place)


def write(lines: Iterable[str], file: IO[bytes]) -> int:
    """Write JSON lines to a file; returns how many."""
    count = 0
    for count, line in enumerate(lines, 1):  # noqa: B007
        file.write(line.encode() + b"\n")
    return count


def _document(content: bytes, place: str) -> Mapping[str, Any]:
    try:
        document = json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise UsageError(f"{place} is not UTF-8 ({error.reason}). Save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise UsageError(f"{place} is not an object in braces.")
    unknown = sorted(set(document) - _FIELDS - _IGNORED)
    if unknown:
        known = ", ".join(sorted(_FIELDS))
        raise UsageError(f"{place} has an unknown field {unknown[0]!r}; there are {known}.")
    return document


def _given(document: Mapping[str, Any], place: str) -> Given:
    return Given(
        place=place,
        text=_typed(document, "text", (str,), place, ""),
        role=_typed(document, "role", (str,), place, "user"),
        timestamp=_moment(document, place),
        context=_typed(document, "context", (dict,), place, {}),
        key=document.get("key"),
        value=document.get("value"),
        valence=_typed(document, "valence", (int, float), place, None),
        anchor=_typed(document, "anchor", (str,), place, None),
    )


def _moment(document: Mapping[str, Any], place: str) -> datetime | None:
    text = _typed(document, "timestamp", (str,), place, None)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{place}: {text!r} is no time in ISO 8601.") from error
    if moment.tzinfo is None:
        raise UsageError(f"{place}: the time {text!r} has no zone: give one, such as +00:00.")
    return moment


def _typed(
    document: Mapping[str, Any], name: str, types: tuple[type, ...], place: str, missing: Any
) -> Any:
    value = document.get(name)
    if value is None:
        return missing
    if not isinstance(value, types) or isinstance(value, bool):
        raise UsageError(f"{place}: {name} is {value!r}, which is no {types[-1].__name__}.")
    return value


def _numbers(vector: Vector | None) -> list[float] | None:
    return None if vector is None else [float(each) for each in vector]
