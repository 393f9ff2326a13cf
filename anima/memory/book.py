"""One ledger with its chain and its cipher: lines in, lines out; knows nothing of what is in force.

What the ledger says about itself: `schema`, its random `id`, the id of its first chain `key`,
`count` and `head` as of the last commit, `lock` where it is encrypted, `encoder` with the name of
what made its keys, and `scrub` while something erased may still lie in its files.
"""

import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from anima.errors import (
    ChainBroken,
    CorruptStateError,
    MemoryLocked,
    NewerVersionError,
    TailMissing,
)
from anima.memory import chain, crypto, keys
from anima.memory.chain import ChainKeys, Seal, Walk
from anima.memory.crypto import Cipher, Secret
from anima.memory.keys import KeyFile
from anima.memory.ledgers.ledger import Change, Entry, Ledger, corrupt, opened
from anima.memory.line import (
    EPOCH,
    ERASE,
    Content,
    Header,
    Line,
    parse_content,
    parse_header,
)

_ID_SIZE = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Draft:
    """A line to be: all of it but its place in the chain."""

    header: Header
    content: Content


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a walk over a whole ledger found.

    `count` lines follow from each other; `broken` is the first that does not, with its `reason`.
    `erased` contents are lawfully gone, `locked` ones could not be read without their key. `pinned`
    compares with the last seal: "differs" is another line at its place, "missing" a shorter ledger;
    `unpinned` lines came after it.
    """

    count: int
    head: str
    broken: int | None = None
    reason: str = ""
    erased: int = 0
    locked: int = 0
    pinned: Literal["none", "matches", "differs", "missing"] = "none"
    unpinned: int = 0

    @property
    def whole(self) -> bool:
        """Nothing that was written was changed, and nothing that was sealed is gone."""
        return self.broken is None and self.pinned in ("none", "matches")


class Book:
    """An open ledger. `read` goes over all of it once and must be finished before anything else."""

    def __init__(
        self, *, ledger: Ledger, key_file: KeyFile, chain_keys: ChainKeys, cipher: Cipher | None
    ) -> None:
        self._ledger = ledger
        self._key_file = key_file
        self._chain_keys = chain_keys
        self._cipher = cipher
        self._meta = dict(ledger.meta())
        self._walk = self._begin()

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, secret: Secret | None, *, sealed: bool = False) -> Iterator["Book"]:
        """The book at `path`, made where there is none, held until the end.

        `sealed` opens an encrypted one without its secret, to be verified and no more. Raises what
        `ledger.opened` raises, MemoryLocked, NewerVersionError, and StateError for a missing key.
        """
        key_file = KeyFile(path=keys.path_beside(path))
        with opened(path, lambda: _beginning(path, key_file)) as ledger:
            key_file.confirm()
            chain_keys, _ = key_file.load()
            meta = ledger.meta()
            _check_meta(ledger.place, meta)
            try:
                cipher: Cipher | None = crypto.unlock(meta.get("lock"), secret)
            except MemoryLocked:
                if not sealed:
                    raise
                cipher = None
            book = cls(ledger=ledger, key_file=key_file, chain_keys=chain_keys, cipher=cipher)
            if "scrub" in meta:
                book._scrub()
            yield book

    @property
    def place(self) -> Path:
        return self._ledger.place

    @property
    def count(self) -> int:
        return self._walk.count

    @property
    def head(self) -> str:
        """The last anchor, or the genesis of an empty ledger, in hexadecimal digits."""
        return self._walk.head.hex()

    @property
    def genesis(self) -> str:
        """What the first line follows, in hexadecimal digits."""
        return self._begin().head.hex()

    @property
    def key_id(self) -> str:
        """Which chain key the next line is written under."""
        return self._walk.key_id

    @property
    def encrypted(self) -> bool:
        return self._meta.get("lock") is not None

    @property
    def encoder(self) -> str | None:
        """The name of what made the keys of its texts, None before the first."""
        return self._meta.get("encoder")

    def read(self) -> Iterator[Line]:
        """Every line in its order, each checked; raises ChainBroken, TailMissing, MemoryLocked.

        What is written from then on follows the last line read.
        """
        walk, missing = self._begin(), set[int]()
        for entry in self._ledger.entries():
            line = self._checked(walk, entry)
            if line.content is None:
                missing.add(line.seq)
            if line.kind == ERASE:
                missing.discard(line.header.target)
            yield line
        if missing:
            raise ChainBroken(min(missing), _GONE)
        self._check_tail(walk)
        self._walk = walk

    def resume(self) -> None:
        """Go over the chain without its contents, so that what is written follows its last line."""
        walk = self._begin()
        for entry in self._ledger.entries():
            walk.step(seq=entry.seq, header=entry.header, digest=entry.digest, anchor=entry.anchor)
        self._walk = walk

    def line(self, seq: int) -> Line | None:
        """One line, its content checked against its digest; None where there is none."""
        entry = self._ledger.entry(seq)
        return None if entry is None else self._line(entry)

    def append(self, drafts: Sequence[Draft], *, encoder: str | None = None) -> Sequence[Line]:
        """Write lines in one durable commit; raises StorageError, and none of them is there.

        `encoder` is noted in the same commit as what made their keys.
        """
        notes = {} if encoder is None else {"encoder": encoder}
        lines = self._append(drafts, {}, notes)
        self._meta |= notes
        return lines

    def erase(self, draft: Draft) -> Line:
        """Write the record of an erasure and drop its target's content and salt, in one commit."""
        (line,) = self._append([draft], {draft.header.target: None})
        self._scrub()
        return line

    def change_chain_key(self, draft: Draft) -> Line:
        """Write the record of a new chain key, under which the next line comes."""
        key = chain.new_key()
        self._chain_keys = self._key_file.add(key)
        self._walk = replace(self._walk, keys=self._chain_keys)
        header = replace(draft.header, kind=EPOCH, note=chain.key_id(key))
        (line,) = self._append([replace(draft, header=header)], {})
        return line

    def keep_under(self, cipher: Cipher) -> None:
        """Keep every content under another cipher, in one commit; no anchor changes."""
        contents = (
            (entry.seq, self._kept_anew(entry, cipher))
            for entry in self._ledger.entries()
            if entry.content is not None
        )
        change = Change(contents=contents, meta={"lock": cipher.lock, "scrub": "due"})
        self._ledger.write(change)
        self._cipher = cipher
        self._meta = dict(self._ledger.meta())
        self._scrub()

    def cut(self, count: int) -> None:
        """Take away every line beyond `count`, without a trace: for what was never committed."""
        if not 0 <= count <= self.count:
            raise TailMissing(count, self.count)
        walk = self._begin()
        for entry in self._ledger.entries():
            if entry.seq > count:
                break
            walk.step(seq=entry.seq, header=entry.header, digest=entry.digest, anchor=entry.anchor)
        self._ledger.write(Change(keep=count, meta=_tail(walk)))
        self._walk = walk

    def verify(self, seal: Seal | None) -> Verdict:
        """Walk over the ledger as it is on disk; damage is told, not raised."""
        walk = self._begin()
        missing: set[int] = set()
        erased = locked = 0
        at_seal = walk.head.hex() if seal is not None and seal.count == 0 else None
        broken: int | None = None
        reason = ""
        try:
            for entry in self._ledger.entries():
                line = self._checked(walk, entry, readable=self._cipher is not None)
                if entry.content is None:
                    missing.add(line.seq)
                elif self._cipher is None:
                    locked += 1
                if line.kind == ERASE and line.header.target in missing:
                    missing.discard(line.header.target)
                    erased += 1
                if seal is not None and line.seq == seal.count:
                    at_seal = line.anchor
            if missing:
                raise ChainBroken(min(missing), _GONE)
            self._check_tail(walk)
        except ChainBroken as error:
            broken, reason = error.seq, error.reason
        except CorruptStateError as error:
            broken, reason = walk.count + 1, str(error)
        return Verdict(
            count=walk.count,
            head=walk.head.hex(),
            broken=broken,
            reason=reason,
            erased=erased,
            locked=locked,
            pinned=_compare(seal, at_seal),
            unpinned=walk.count if seal is None else max(0, walk.count - seal.count),
        )

    def seal(self, now: str) -> Seal:
        return Seal(
            count=self.count, head=self.head, key_id=self.key_id, schema=chain.SCHEMA, created=now
        )

    def _begin(self) -> Walk:
        return Walk.begin(self._chain_keys, self._meta["key"], bytes.fromhex(self._meta["id"]))

    def _append(
        self,
        drafts: Sequence[Draft],
        contents: Mapping[int, bytes | None],
        notes: Mapping[str, str] | None = None,
    ) -> Sequence[Line]:
        walk = replace(self._walk)
        lines, entries = [], []
        for draft in drafts:
            entry = self._entry(walk, draft)
            walk.step(seq=entry.seq, header=entry.header, digest=entry.digest, anchor=entry.anchor)
            entries.append(entry)
            lines.append(
                Line(
                    seq=entry.seq,
                    anchor=entry.anchor.hex(),
                    header=draft.header,
                    content=draft.content,
                )
            )
        # Rows beyond the last one known can only be of a commit that was refused and yet got through.
        change = Change(
            keep=self._walk.count,
            entries=entries,
            contents=contents.items(),
            meta={**_tail(walk), **(notes or {}), **({"scrub": "due"} if contents else {})},
        )
        self._ledger.write(change)
        self._walk = walk
        return lines

    def _entry(self, walk: Walk, draft: Draft) -> Entry:
        header, content = draft.header.canonical(), draft.content.canonical()
        salt = secrets.token_bytes(chain.SALT_SIZE)
        digest = chain.digest(content, salt)
        anchor = walk.next_anchor(header, digest)
        envelope = self._needed_cipher().close_in(salt, content, anchor)
        return Entry(walk.count + 1, header, digest, anchor, envelope)

    def _checked(self, walk: Walk, entry: Entry, *, readable: bool = True) -> Line:
        header = walk.step(
            seq=entry.seq, header=entry.header, digest=entry.digest, anchor=entry.anchor
        )
        return self._line(entry if readable else replace(entry, content=None), header)

    def _line(self, entry: Entry, header: Header | None = None) -> Line:
        try:
            header = parse_header(entry.header) if header is None else header
            content = None if entry.content is None else parse_content(self._canonical(entry))
        except ValueError as error:
            raise ChainBroken(entry.seq, str(error)) from error
        return Line(seq=entry.seq, anchor=entry.anchor.hex(), header=header, content=content)

    def _canonical(self, entry: Entry) -> bytes:
        """The content of a row as it was written; raises ValueError for another."""
        salt, content = self._needed_cipher().take_out(entry.content or b"", entry.anchor)
        if chain.digest(content, salt) != entry.digest:
            raise ValueError("its content is not the one of its digest")
        return content

    def _kept_anew(self, entry: Entry, cipher: Cipher) -> bytes:
        salt, content = self._needed_cipher().take_out(entry.content or b"", entry.anchor)
        return cipher.close_in(salt, content, entry.anchor)

    def _needed_cipher(self) -> Cipher:
        if self._cipher is None:
            raise MemoryLocked
        return self._cipher

    def _check_tail(self, walk: Walk) -> None:
        """The ledger's own count shows rows that are gone from its end."""
        count, head = self._ledger.meta().get("count"), self._ledger.meta().get("head")
        if count != str(walk.count):
            expected = int(count) if count is not None and count.isdecimal() else -1
            raise TailMissing(expected, walk.count)
        if head != walk.head.hex():
            raise corrupt(self.place, "its last line is not the one that it says")

    def _scrub(self) -> None:
        self._ledger.scrub()
        self._ledger.write(Change(meta={"scrub": None}))


_GONE = "its content is gone, and no record says that it was erased"


def _beginning(path: Path, key_file: KeyFile) -> Change:
    """What a new ledger says of itself; raises CorruptStateError where there was one before."""
    _, made = key_file.load()
    if made:
        raise CorruptStateError(
            f"{path} is gone, and its key file {key_file.path.name} is there. Put a copy of the "
            "memory back, or remove the key file as well to begin anew."
        )
    key = chain.new_key()
    identity, first = secrets.token_bytes(_ID_SIZE), chain.key_id(key)
    walk = Walk.begin(key_file.add(key), first, identity)
    meta = {"schema": str(chain.SCHEMA), "id": identity.hex(), "key": first}
    return Change(meta={**meta, **_tail(walk)})


def require_known(place: Path, meta: Mapping[str, str]) -> None:
    """Raise NewerVersionError for a ledger whose schema came after this Anima."""
    schema = meta.get("schema", "")
    if schema.isdecimal() and int(schema) > chain.SCHEMA:
        raise NewerVersionError(
            f"{place} was written by a newer Anima (schema {schema}, this one knows "
            f"{chain.SCHEMA}). Update Anima."
        )


def _check_meta(place: Path, meta: Mapping[str, str]) -> None:
    schema = meta.get("schema", "")
    if not schema.isdecimal():
        raise corrupt(place, f"its schema is {schema!r}")
    require_known(place, meta)
    try:
        bytes.fromhex(meta["id"])
        meta["key"]
    except (KeyError, ValueError) as error:
        raise corrupt(place, f"its own description lacks {error}") from error


def _tail(walk: Walk) -> Mapping[str, str]:
    return {"count": str(walk.count), "head": walk.head.hex()}


def _compare(
    seal: Seal | None, at_seal: str | None
) -> Literal["none", "matches", "differs", "missing"]:
    if seal is None:
        return "none"
    if at_seal is None:
        return "missing"
    return "matches" if at_seal == seal.head else "differs"
