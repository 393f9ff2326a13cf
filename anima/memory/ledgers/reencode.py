"""Writes a ledger anew with other keys: each text's vector by another encoder; knows no persona.

A key is part of what a line says, so the chain covers it: every anchor from the first line whose
key changes on becomes another one. Numbers, times and what is in force stay.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy
from numpy.typing import NDArray

from anima.errors import CorruptStateError
from anima.memory import chain, crypto, keys
from anima.memory.book import require_known
from anima.memory.chain import Walk
from anima.memory.crypto import Cipher, Secret
from anima.memory.keys import KeyFile
from anima.memory.ledgers.ledger import PAGE, Change, Entry, corrupt, opened, remove
from anima.memory.line import LINE, Content, parse_content, parse_header, vector_of

Encode = Callable[[Sequence[str]], NDArray[numpy.float32]]
"""Vectors `[n, e]` of texts."""


def reencode(
    source: Path,
    target: Path,
    *,
    encode: Encode,
    name: str,
    secret: Secret | None = None,
    say: Callable[[int, int], None] = lambda done, count: None,
) -> int:
    """Write the ledger `source` as `target`, the key of every line with a text by `encode`.

    `name` is noted as its encoder; `say` hears how many of how many records are done. Returns the
    number of records. Raises MemoryLocked, BusyError, StorageError, and CorruptStateError for a
    source whose chain does not hold; the target is then gone again.
    """
    key_file = KeyFile(path=keys.path_beside(source))
    chain_keys, _ = key_file.load()
    with opened(source, Change) as old:
        meta = dict(old.meta())
        require_known(source, meta)
        cipher = crypto.unlock(meta.get("lock"), secret)
        try:
            first, identity = meta["key"], bytes.fromhex(meta["id"])
            count = int(meta["count"])
        except (KeyError, ValueError) as error:
            raise corrupt(source, f"its own description lacks {error}") from error
        before = Walk.begin(chain_keys, first, identity)
        after = Walk.begin(chain_keys, first, identity)
        KeyFile(path=keys.path_beside(target)).replace_by(key_file)
        try:
            with opened(target, Change) as new:
                for page in _pages(old.entries()):
                    new.write(Change(entries=_anew(page, before, after, cipher, encode)))
                    say(after.count, count)
                if (before.count, before.head.hex()) != (count, meta.get("head")):
                    raise corrupt(source, "its end is missing")
                tail = {"count": str(after.count), "head": after.head.hex(), "encoder": name}
                new.write(Change(meta={**meta, **tail}))
        except BaseException:
            remove(target)
            raise
    return after.count


def _anew(
    page: Sequence[Entry], before: Walk, after: Walk, cipher: Cipher, encode: Encode
) -> list[Entry]:
    """The rows of a page with other keys, each following the one before it."""
    for entry in page:
        before.step(seq=entry.seq, header=entry.header, digest=entry.digest, anchor=entry.anchor)
    held = [_taken_out(entry, cipher) for entry in page]
    wanted = [at for at, (_, content) in enumerate(held) if content is not None and content.text]
    lines = [at for at in wanted if parse_header(page[at].header).kind == LINE]
    vectors = encode([_text(held[at][1]) for at in lines]) if lines else ()
    fresh = {
        at: vector_of(vector, "key", directed=True)
        for at, vector in zip(lines, vectors, strict=True)
    }
    rows = []
    for at, (entry, (salt, content)) in enumerate(zip(page, held, strict=True)):
        if content is not None and at in fresh:
            content = replace(content, key=fresh[at])
        rows.append(_row(entry, salt, content, after, cipher))
    return rows


def _row(entry: Entry, salt: bytes, content: Content | None, after: Walk, cipher: Cipher) -> Entry:
    canonical = None if content is None else content.canonical()
    digest = entry.digest if canonical is None else chain.digest(canonical, salt)
    anchor = after.next_anchor(entry.header, digest)
    after.step(seq=entry.seq, header=entry.header, digest=digest, anchor=anchor)
    envelope = None if canonical is None else cipher.close_in(salt, canonical, anchor)
    return Entry(entry.seq, entry.header, digest, anchor, envelope)


def _taken_out(entry: Entry, cipher: Cipher) -> tuple[bytes, Content | None]:
    if entry.content is None:
        return b"", None
    try:
        salt, canonical = cipher.take_out(entry.content, entry.anchor)
        if chain.digest(canonical, salt) != entry.digest:
            raise ValueError("its content is not the one of its digest")
        return salt, parse_content(canonical)
    except ValueError as error:
        raise CorruptStateError(
            f"Line {entry.seq} cannot be read ({error}), so nothing was changed: anima memory "
            "repair keeps what is whole."
        ) from error


def _text(content: Content | None) -> str:
    return "" if content is None else content.text


def _pages(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    page: list[Entry] = []
    for entry in entries:
        page.append(entry)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
