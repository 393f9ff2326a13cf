"""A ledger for people: one JSON file that any editor shows; knows nothing of how lines are chained.

Every change writes a new file, syncs it and renames it over the old one, so the time of a change
grows with the file: for some thousand lines.
"""

import base64
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from anima.errors import CorruptStateError
from anima.home import storage, write_atomically
from anima.memory import crypto
from anima.memory.ledgers.ledger import Change, Entry, corrupt
from anima.memory.line import Content, Header, Json, Vector, parse_content, parse_header

_FORMAT = "anima memory"
_REMEDY = "Make it writable; what was saved before is safe."

_HEADER = ("kind", "role", "timestamp", "target", "note")
_CONTENT = ("salt", "text", "context", "key", "value", "novelty", "valence")
_SEALED = ("seq", *_HEADER, "digest", "anchor", "sealed")
_ERASED = ("seq", *_HEADER, "digest", "anchor")
_OPEN = (*_ERASED, *_CONTENT)


class JsonLedger:
    """A ledger that is held in memory and rewritten as a whole."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._meta: dict[str, str] = {}
        self._entries: list[Entry] = []
        with storage(place, remedy=_REMEDY):
            content = place.read_bytes() if place.exists() else None
        if content is None:
            # Made at once, so that a folder that cannot be written to is known from the start.
            self._save(self._meta, self._entries)
        else:
            self._meta, self._entries = _decode(place, content)

    def meta(self) -> Mapping[str, str]:
        return dict(self._meta)

    def entry(self, seq: int) -> Entry | None:
        return self._entries[seq - 1] if 1 <= seq <= len(self._entries) else None

    def entries(self, first: int = 1) -> Iterator[Entry]:
        at = first - 1
        while at < len(self._entries):
            yield self._entries[at]
            at += 1

    def write(self, change: Change) -> None:
        entries = self._entries[: change.keep]
        entries.extend(change.entries)
        for seq, content in change.contents:
            old = entries[seq - 1]
            entries[seq - 1] = Entry(old.seq, old.header, old.digest, old.anchor, content)
        merged = {**self._meta, **change.meta}
        meta = {name: value for name, value in merged.items() if value is not None}
        self._save(meta, entries)
        self._meta, self._entries = meta, entries

    def scrub(self) -> None:
        """Nothing is left: every change writes a whole new file."""

    def close(self) -> None:
        """Nothing is held between two changes."""

    def _save(self, meta: Mapping[str, str], entries: Iterable[Entry]) -> None:
        # One line of memory a line of the file, so that an editor and a diff stay useful.
        rows = ",\n".join(json.dumps(_row(each), ensure_ascii=False) for each in entries)
        words = json.dumps(dict(meta), ensure_ascii=False, indent=1)
        document = f'{{"format": "{_FORMAT}",\n"meta": {words},\n"lines": [\n{rows}\n]}}\n'
        write_atomically(self.place, document.encode(), remedy=_REMEDY)


def _row(entry: Entry) -> Mapping[str, Json]:
    header = parse_header(entry.header)
    row: dict[str, Json] = {
        "seq": entry.seq,
        "kind": header.kind,
        "role": header.role,
        "timestamp": header.timestamp.isoformat(),
        "target": header.target,
        "note": header.note,
        "digest": entry.digest.hex(),
        "anchor": entry.anchor.hex(),
    }
    if entry.content is None:
        return row
    if crypto.is_sealed(entry.content):
        return {**row, "sealed": _base64(entry.content)}
    salt, canonical = crypto.unwrap_plain(entry.content)
    content = parse_content(canonical)
    return {
        **row,
        "salt": salt.hex(),
        "text": content.text,
        "context": content.context,
        "key": _vector_text(content.key),
        "value": _vector_text(content.value),
        "novelty": content.novelty,
        "valence": content.valence,
    }


def _decode(place: Path, content: bytes) -> tuple[dict[str, str], list[Entry]]:
    try:
        document = json.loads(content.decode(), object_pairs_hook=_without_repeats)
        if set(document) != {"format", "meta", "lines"} or document["format"] != _FORMAT:
            raise ValueError("not a memory of Anima")
        meta = document["meta"]
        if not isinstance(meta, dict) or not all(isinstance(word, str) for word in meta.values()):
            raise ValueError("its meta holds something else than words")
        return meta, [_entry(row) for row in document["lines"]]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise corrupt(place, error) from error
    except RecursionError as error:
        raise corrupt(place, "nested too deeply") from error
    except CorruptStateError as error:
        raise corrupt(place, error) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return names


def _entry(row: Mapping[str, Any]) -> Entry:
    """A row back as its canonical bytes: what an editor changed, the chain will not accept."""
    if set(row) not in (set(_OPEN), set(_SEALED), set(_ERASED)):
        raise ValueError(f"line {row.get('seq')} has not the fields that a line has")
    if type(row["seq"]) is not int:
        raise ValueError(f"a line numbered {row['seq']!r}")
    header = Header(
        kind=row["kind"],
        role=row["role"],
        timestamp=datetime.fromisoformat(row["timestamp"]),
        target=row["target"],
        note=row["note"],
    )
    if type(header.target) is not int or header.target < 0:
        raise ValueError(f"line {row['seq']} is about line {header.target!r}")
    try:
        canonical = header.canonical()
    except (ArithmeticError, struct.error) as error:
        raise ValueError(f"line {row['seq']}: {error}") from error
    return Entry(
        row["seq"],
        canonical,
        bytes.fromhex(row["digest"]),
        bytes.fromhex(row["anchor"]),
        _envelope(row),
    )


def _envelope(row: Mapping[str, Any]) -> bytes | None:
    if "sealed" in row:
        return base64.b64decode(row["sealed"], validate=True)
    if "salt" not in row:
        return None
    content = Content(
        text=row["text"],
        context=row["context"],
        key=_vector(row["key"]),
        value=_vector(row["value"]),
        novelty=row["novelty"],
        valence=row["valence"],
    )
    try:
        return crypto.wrap_plain(bytes.fromhex(row["salt"]), content.canonical())
    except struct.error as error:
        raise ValueError(f"line {row['seq']}: {error}") from error


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _vector_text(vector: Vector | None) -> str | None:
    return None if vector is None else _base64(vector.astype("<f4").tobytes())


def _vector(text: str | None) -> Vector | None:
    if text is None:
        return None
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")
