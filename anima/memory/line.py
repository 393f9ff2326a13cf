"""The memory line and its canonical bytes; knows nothing of chains, ledgers and ciphers.

A line has two parts. The header is never secret and never erased: what kind of record it is, whose
words, when, and which line it is about. The content is everything that says something.
"""

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anima.errors import UsageError

LINE: Final = "line"
POP: Final = "pop"
REWIND: Final = "rewind"
FORGET: Final = "forget"
ERASE: Final = "erase"
EPOCH: Final = "epoch"
CLOSE: Final = "close"
MERGE: Final = "merge"
RACE: Final = "race"

MAX_TEXT = 16 * 1024 * 1024
"""Longest text of a line, in bytes of UTF-8."""

SHORT = 16
"""Hexadecimal digits of an anchor that are shown: the seed's 64 bits."""

Json = Any
Vector = NDArray[np.float32]

_LABEL = re.compile(r"[A-Z][\w'\u2019.-]*(?: [A-Z][\w'\u2019.-]*){0,2}(?=: )")
_NO_NAMES = frozenset({
    "also", "answer", "bonus", "btw", "correction", "edit", "fact", "fun", "fyi", "good",
    "hint", "idea", "imho", "important", "joke", "new", "news", "no", "note", "now", "ok",
    "okay", "plan", "problem", "ps", "p.s.", "question", "quick", "reason", "remember",
    "reminder", "result", "so", "sorry", "spoiler", "status", "summary", "task", "tip", "tldr",
    "todo", "update", "verdict", "warning", "yes",
})  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LENGTH = struct.Struct(">Q")
_MOMENT = struct.Struct(">q")
_NUMBER = struct.Struct(">d")
_HEADER_PARTS = 5
_CONTENT_PARTS = 6


@dataclass(frozen=True, kw_only=True)
class Header:
    """What stays of a line when its content is erased.

    `target` is the seq that a record is about, 0 for none; `note` is a short public word, such as
    the id of the chain's next key.
    """

    kind: str = LINE
    role: str = ""
    timestamp: datetime
    target: int = 0
    note: str = ""

    def canonical(self) -> bytes:
        """The bytes that the chain covers: each field with its length, the time in microseconds."""
        return pack(
            self.kind.encode(),
            self.role.encode(),
            _MOMENT.pack((self.timestamp - _EPOCH) // _MICROSECOND),
            _LENGTH.pack(self.target),
            self.note.encode(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """What a line says: its text and context, its vectors (float32 `[d]`), and two numbers.

    `novelty` is as of the writing; recency and similarity depend on the question and are never
    kept.
    """

    text: str = ""
    context: Mapping[str, Json] = field(default_factory=dict)
    key: Vector | None = None
    value: Vector | None = None
    novelty: float | None = None
    valence: float | None = None

    def canonical(self) -> bytes:
        """The bytes that the digest covers; equal contents have equal bytes."""
        return pack(
            self.text.encode(),
            _context_bytes(self.context),
            _vector_bytes(self.key),
            _vector_bytes(self.value),
            _number_bytes(self.novelty),
            _number_bytes(self.valence),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One line as it is read: its place in the chain, its header, and what is left of its content.

    `anchor` is 64 hexadecimal digits. `content` is None where it was erased.
    """

    seq: int
    anchor: str
    header: Header
    content: Content | None

    @property
    def short(self) -> str:
        return self.anchor[:SHORT]

    @property
    def kind(self) -> str:
        return self.header.kind

    @property
    def role(self) -> str:
        return self.header.role

    @property
    def timestamp(self) -> datetime:
        return self.header.timestamp

    @property
    def text(self) -> str:
        return "" if self.content is None else self.content.text

    @property
    def context(self) -> Mapping[str, Json]:
        return {} if self.content is None else self.content.context

    @property
    def key(self) -> Vector | None:
        return None if self.content is None else self.content.key

    @property
    def value(self) -> Vector | None:
        return None if self.content is None else self.content.value

    @property
    def novelty(self) -> float | None:
        return None if self.content is None else self.content.novelty

    @property
    def valence(self) -> float | None:
        return None if self.content is None else self.content.valence


def header_of(
    *, kind: str, role: str, timestamp: datetime, target: int = 0, note: str = ""
) -> Header:
    """A header whose every field can be kept; raises UsageError that names the field."""
    if timestamp.tzinfo is None:
        raise UsageError(f"The time {timestamp.isoformat()} has no zone: give one, such as +00:00.")
    for name, word in (("kind", kind), ("role", role), ("note", note)):
        _utf8(name, word)
    return Header(
        kind=kind, role=role, timestamp=timestamp.astimezone(UTC), target=target, note=note
    )


def content_of(
    *,
    text: str = "",
    context: Mapping[str, Json] | None = None,
    key: object = None,
    value: object = None,
    novelty: float | None = None,
    valence: float | None = None,
) -> Content:
    """A content whose every field can be kept; raises UsageError that names the field."""
    size = len(_utf8("text", text))
    if size > MAX_TEXT:
        raise UsageError(
            f"A text of {size:,} bytes is too long for one line of memory: the most is "
            f"{MAX_TEXT:,}. Split it."
        )
    return Content(
        text=text,
        context=_plain_context(context or {}),
        key=None if key is None else vector_of(key, "key", directed=True),
        value=None if value is None else vector_of(value, "value"),
        novelty=_finite("novelty", novelty),
        valence=_finite("valence", valence),
    )


def vector_of(given: object, name: str, *, directed: bool = False) -> Vector:
    """A read-only float32 `[d]` of what was given; raises UsageError for what is none.

    `directed` refuses the zero vector, whose cosine to anything is undefined.
    """
    try:
        # Too large for float32 becomes an infinity, which is refused below.
        with np.errstate(over="ignore"):
            vector = np.array(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The {name} is no vector of numbers: {error}.") from error
    if vector.ndim != 1 or not vector.size:
        raise UsageError(f"The {name} has the shape {vector.shape}; it must be one vector [d].")
    wrong = np.flatnonzero(~np.isfinite(vector))
    if wrong.size:
        raise UsageError(
            f"The {name} holds {vector[wrong[0]]} at position {wrong[0]}; every number must be "
            "finite."
        )
    if directed and not vector.any():
        raise UsageError(f"The {name} is zero everywhere and so has no direction to compare.")
    vector.flags.writeable = False
    return vector


def parse_header(canonical: bytes) -> Header:
    """The header that these canonical bytes are; raises ValueError that says what is wrong."""
    kind, role, moment, target, note = unpack(canonical, _HEADER_PARTS)
    try:
        timestamp = _EPOCH + _MOMENT.unpack(moment)[0] * _MICROSECOND
        (number,) = _LENGTH.unpack(target)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"header: {error}") from error
    return Header(
        kind=kind.decode(),
        role=role.decode(),
        timestamp=timestamp,
        target=number,
        note=note.decode(),
    )


def parse_content(canonical: bytes) -> Content:
    """The content that these canonical bytes are; raises ValueError that says what is wrong."""
    text, context, key, value, novelty, valence = unpack(canonical, _CONTENT_PARTS)
    try:
        plain = json.loads(context.decode())
    except RecursionError as error:
        raise ValueError("context: nested too deeply") from error
    if not isinstance(plain, dict):
        raise ValueError("context: not an object")
    return Content(
        text=text.decode(),
        context=plain,
        key=_vector(key),
        value=_vector(value),
        novelty=_number(novelty),
        valence=_number(valence),
    )


def pack(*parts: bytes) -> bytes:
    """The parts one after the other, each after its length, so that no two lists look alike."""
    return b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))


def unpack(packed: bytes, count: int) -> Sequence[bytes]:
    """The `count` parts that `packed` holds; raises ValueError where it does not hold just those."""
    # Opening a memory spends a fifth of its time here, so there are no calls in this loop but one.
    parts, at, size = list[bytes](), 0, len(packed)
    while at < size:
        start = at + _LENGTH.size
        if start > size:
            raise ValueError("cut off in a length")
        at = start + _LENGTH.unpack_from(packed, at)[0]
        if at > size:
            raise ValueError("cut off in a part")
        parts.append(packed[start:at])
    if len(parts) != count:
        raise ValueError(f"{len(parts)} parts where {count} should be")
    return parts


def _utf8(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The {name} is not valid Unicode: {error.object[error.start]!a} at position "
            f"{error.start}. Remove or replace that character."
        ) from error


def _plain_context(context: Mapping[str, Json]) -> Mapping[str, Json]:
    """The context as it will be read again: JSON only, text as names."""
    if not all(isinstance(name, str) for name in context):
        raise UsageError("Every name in a context must be a text.")
    try:
        plain: Mapping[str, Json] = json.loads(_context_bytes(context))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"The context cannot be kept as JSON: {error}.") from error
    return plain


def context_text(context: Mapping[str, Json]) -> str:
    """A context as JSON, the same for equal contexts; raises ValueError or TypeError for others."""
    return json.dumps(
        dict(context), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )


def _context_bytes(context: Mapping[str, Json]) -> bytes:
    return context_text(context).encode()


def _vector_bytes(vector: Vector | None) -> bytes:
    return b"" if vector is None else vector.astype("<f4").tobytes()


def _vector(content: bytes) -> Vector | None:
    if not content:
        return None
    vector: Vector = np.frombuffer(content, dtype="<f4").astype(np.float32, copy=False)
    return vector


def _number_bytes(number: float | None) -> bytes:
    return b"" if number is None else _NUMBER.pack(number)


def _number(content: bytes) -> float | None:
    if not content:
        return None
    if len(content) != _NUMBER.size:
        raise ValueError("a number of another size")
    number: float = _NUMBER.unpack(content)[0]
    return number


def _finite(name: str, number: float | None) -> float | None:
    if number is None:
        return None
    if not math.isfinite(number):
        raise UsageError(f"The {name} is {number}; it must be a finite number.")
    return float(number)


def speaker(role: str, text: str) -> str:
    """Who says a text: its role, with the name that a transcript puts before it ("Ann: …")."""
    label = _LABEL.match(text)
    if label is None or label.group().split()[0].casefold() in _NO_NAMES:
        return role
    return f"{role} {label.group()}"
