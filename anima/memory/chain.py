"""The hash chain over the lines, and its seal; knows nothing of how lines are stored or encrypted.

    digest_n = BLAKE2b-256(content_n, salt_n)
    anchor_n = BLAKE2b-256(chain key, seq ‖ anchor_{n−1} ‖ header_n ‖ digest_n), each length-prefixed

So a line's anchor stands whatever becomes of its content: erased, encrypted, encrypted anew. The
chain shows tampering by anybody who does not hold the chain key; who holds it can write another
chain, which only a seal kept elsewhere shows. Source: the seed's anchors, with 256 bits and a key.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from anima.errors import ChainBroken, CorruptStateError, StateError
from anima.memory.line import EPOCH, Header, pack, parse_header

SCHEMA = 1
SIZE = 32
KEY_SIZE = 32
SALT_SIZE = 16

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3


def new_key() -> bytes:
    """A random chain key."""
    return secrets.token_bytes(KEY_SIZE)


def key_id(key: bytes) -> str:
    """The public name of a chain key, 16 hexadecimal digits, from which it cannot be guessed."""
    return hashlib.blake2b(key, digest_size=8, person=b"pmll-key-id").hexdigest()


def digest(content: bytes, salt: bytes) -> bytes:
    """What stays of a content in the chain; without the salt it does not even confirm a guess."""
    return hashlib.blake2b(content, digest_size=SIZE, salt=salt, person=b"pmll-content").digest()


def genesis(key: bytes, ledger_id: bytes) -> bytes:
    """What the first line follows: another one in every ledger."""
    return hashlib.blake2b(ledger_id, digest_size=SIZE, key=key, person=b"pmll-genesis").digest()


def anchor(key: bytes, *, seq: int, previous: bytes, header: bytes, digest: bytes) -> bytes:
    """The anchor of line `seq` after `previous`."""
    covered = pack(seq.to_bytes(8, "big"), previous, header, digest)
    return hashlib.blake2b(covered, digest_size=SIZE, key=key, person=b"pmll-line").digest()


@dataclass(frozen=True, kw_only=True)
class ChainKeys:
    """Every chain key that the ledger ever had, by its id; repr shows the ids only."""

    keys: Mapping[str, bytes] = field(repr=False)

    def __getitem__(self, identity: str) -> bytes:
        """The key of this id; raises StateError where it is not there."""
        try:
            return self.keys[identity]
        except KeyError as error:
            raise StateError(
                f"The memory's chain key {identity} is missing, so its lines cannot be checked. "
                "Put its key file back beside the ledger."
            ) from error


@dataclass(kw_only=True)
class Walk:
    """Follows the chain from its genesis: `count` lines so far, `head` the anchor of the last."""

    keys: ChainKeys
    key_id: str
    head: bytes
    count: int = 0

    @classmethod
    def begin(cls, keys: ChainKeys, first_key: str, ledger_id: bytes) -> "Walk":
        """At the genesis of a ledger; raises StateError where its first key is missing."""
        return cls(keys=keys, key_id=first_key, head=genesis(keys[first_key], ledger_id))

    def next_anchor(self, header: bytes, digest: bytes) -> bytes:
        """The anchor that a line with this header and digest would have here."""
        return anchor(
            self.keys[self.key_id],
            seq=self.count + 1,
            previous=self.head,
            header=header,
            digest=digest,
        )

    def step(self, *, seq: int, header: bytes, digest: bytes, anchor: bytes) -> Header:
        """Go over one line; raises ChainBroken where it is not the one that was written here."""
        if seq != self.count + 1:
            raise ChainBroken(self.count + 1, f"line {seq} stands in its place")
        if not hmac.compare_digest(self.next_anchor(header, digest), anchor):
            raise ChainBroken(seq, "its anchor does not follow from it and the line before")
        try:
            parsed = parse_header(header)
        except ValueError as error:
            raise ChainBroken(seq, str(error)) from error
        if parsed.kind == EPOCH:
            self.key_id = parsed.note
        self.count, self.head = seq, anchor
        return parsed


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What a ledger was when it was sealed: kept elsewhere, it shows a chain that was cut or rewritten.

    `head` is the last anchor, `key_id` names the chain key then in force, `created` is ISO 8601.
    """

    count: int
    head: str
    key_id: str
    schema: int
    created: str

    @classmethod
    def of(cls, walk: Walk, now: datetime) -> "Seal":
        return cls(
            count=walk.count,
            head=walk.head.hex(),
            key_id=walk.key_id,
            schema=SCHEMA,
            created=now.isoformat(),
        )

    def encode(self) -> bytes:
        """The bytes of `seal.json`, with the seed's FNV-1a/64 over the fields as a check of copying."""
        fields = self._fields()
        document = {**fields, "fnv1a64": _checksum(fields)}
        return json.dumps(document, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, content: bytes) -> "Seal":
        """The seal that these bytes are; raises CorruptStateError."""
        try:
            document = json.loads(content.decode())
            stated = document.pop("fnv1a64")
            if _checksum(document) != stated:
                raise ValueError("its checksum is another one")
            seal = cls(**document)
            bytes.fromhex(seal.head)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise CorruptStateError(f"This is no whole seal of a memory: {error}.") from error
        if type(seal.count) is not int or seal.count < 0:
            raise CorruptStateError(f"This is no whole seal of a memory: {seal.count!r} lines.")
        return seal

    def _fields(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "head": self.head,
            "key_id": self.key_id,
            "schema": self.schema,
            "created": self.created,
        }


def fnv1a64(content: bytes) -> int:
    """FNV-1a with 64 bits: a checksum, no protection against anybody."""
    value = _FNV_OFFSET
    for byte in content:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def _checksum(fields: Mapping[str, Any]) -> str:
    plain = json.dumps(dict(fields), sort_keys=True, separators=(",", ":"))
    return f"{fnv1a64(plain.encode()):016x}"
