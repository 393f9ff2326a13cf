"""Lines as JSON, one a line of a file: out for people and scripts, in from them; knows no ledger.

An export carries what was said, not the chain: to move a whole memory, convert its ledger.
"""

import json
import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from anima.errors import UsageError
from anima.memory.line import LINE, Line, Vector, content_of, header_of

_FIELDS = frozenset({"text", "role", "timestamp", "context", "key", "value", "valence"})
_EXPORTED = frozenset(
    {"seq", "anchor", "kind", "target", "note", "novelty", "in_force", "erased", "encoder"}
)
_SPOKEN: Mapping[type, str] = {str: "text", float: "number", dict: "object in braces"}
_SOME_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """One line that somebody gives: `place` is where it stands, for a message.

    `local` says that its time had no zone and was taken as one of this machine. In an export it
    was record `seq`, of a `kind`, about record `target`, its key made by `encoder`.
    """

    place: str
    text: str
    role: str
    timestamp: datetime | None
    context: Mapping[str, Any]
    key: object
    value: object
    valence: float | None
    anchor: str | None
    local: bool = False
    kind: str = LINE
    seq: int = 0
    target: int = 0
    encoder: str | None = None


def as_json(line: Line, *, in_force: bool, encoder: str | None = None) -> str:
    """One line as JSON, its vectors as lists of numbers; `encoder` made its memory's keys."""
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
            "encoder": encoder,
        },
        ensure_ascii=False,
    )


def read(
    file: Iterable[bytes], name: str, *, first: int = 1, kinds: Collection[str] = (LINE,)
) -> Iterator[Given]:
    """The lines in lines of JSON; raises UsageError that names the place of a wrong one.

    Records of another kind than `kinds`, those that are not in force, and erased ones are passed
    over: what was forgotten elsewhere is not remembered here. `first` is the number of the first.
    """
    yield from given(documents(file, name, first=first), kinds)


def documents(
    file: Iterable[bytes], name: str, *, first: int = 1
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The JSON objects in lines of bytes, each with its place; raises UsageError that names one."""
    for number, content in enumerate(file, first):
        if content.strip():
            place = f"{name}, line {number}"
            yield place, _document(content, place)


def given(
    found: Iterable[tuple[str, Mapping[str, Any]]], kinds: Collection[str] = (LINE,)
) -> Iterator[Given]:
    """The lines that objects are, each after its place; see `read`."""
    for place, document in found:
        unknown = sorted(set(document) - _FIELDS - _EXPORTED)
        if unknown:
            known = ", ".join(sorted(_FIELDS))
            raise UsageError(f"{place} has an unknown field {unknown[0]!r}; there are {known}.")
        counts = not document.get("erased") and document.get("in_force", True) is not False
        if document.get("kind", LINE) in kinds and counts:
            yield _given(document, place)


def check(line: Given) -> None:
    """Raise UsageError, with its place, for a line that no memory can keep."""
    try:
        text, vector = line.text, line.value
        if not text.strip() and vector is None:
            raise UsageError("There is nothing to remember: the text is empty. Give some text.")
        content_of(
            text=text, context=line.context, value=vector, valence=line.valence,
            key=None if isinstance(line.key, str) else line.key,
        )  # fmt: skip
        header_of(kind=LINE, role=line.role, timestamp=line.timestamp or _SOME_TIME)
    except UsageError as error:
        raise UsageError(f"{line.place}: {error}") from error


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
    except RecursionError as error:
        raise UsageError(f"{place} is nested too deeply to be read.") from error
    except ValueError as error:
        raise UsageError(f"{place} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise UsageError(f"{place} is not an object in braces.")
    return document


def _given(document: Mapping[str, Any], place: str) -> Given:
    timestamp, local = moment_of(document.get("timestamp"), f"{place}: timestamp")
    return Given(
        place=place,
        text=_typed(document, "text", (str,), place, ""),
        role=_typed(document, "role", (str,), place, "user"),
        timestamp=timestamp,
        context=_typed(document, "context", (dict,), place, {}),
        key=document.get("key"),
        value=document.get("value"),
        valence=_typed(document, "valence", (int, float), place, None),
        anchor=_typed(document, "anchor", (str,), place, None),
        local=local,
        kind=document.get("kind", LINE),
        seq=_natural(document, "seq", place),
        target=_natural(document, "target", place),
        encoder=_typed(document, "encoder", (str,), place, None),
    )


def moment_of(given: object, what: str) -> tuple[datetime | None, bool]:
    """A time as it was given, and whether it had no zone and was taken as one of this machine.

    It is in ISO 8601, a date alone for its first moment, or in seconds since 1970; None is none.
    Raises UsageError for another, which calls it `what`.
    """
    if given is None:
        return None, False
    try:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return datetime.fromtimestamp(given, UTC), False
        moment = datetime.fromisoformat(given)  # type: ignore[arg-type]
        return (moment, False) if moment.tzinfo else (moment.astimezone(), True)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{what} is {reprlib.repr(given)}, which is no time: give one such as "
            "2026-11-22T08:00:00+00:00, or 2026-11-22."
        ) from error


def _typed(
    document: Mapping[str, Any], name: str, types: tuple[type, ...], place: str, missing: Any
) -> Any:
    value = document.get(name)
    if value is None:
        return missing
    if not isinstance(value, types) or isinstance(value, bool):
        raise UsageError(
            f"{place}: {name} is {reprlib.repr(value)}, which is no {_SPOKEN[types[-1]]}."
        )
    return value


def _natural(document: Mapping[str, Any], name: str, place: str) -> int:
    number = document.get(name, 0)
    if type(number) is not int or number < 0:
        raise UsageError(f"{place}: {name} is {reprlib.repr(number)}, which numbers no record.")
    return number


def _numbers(vector: Vector | None) -> list[float] | None:
    return None if vector is None else [float(each) for each in vector]
