"""What a content is kept in: in clear, or under AES-256-GCM; knows nothing of ledgers.

    in clear   00 ‖ salt (16) ‖ content
    sealed     01 ‖ nonce (12) ‖ AES-256-GCM(key, salt ‖ content; anchor)

The salt of a line's digest lies inside, so that what an erased or a sealed line said cannot be
confirmed by a guess. The anchor is authenticated with it: a content moved to another line does not
open. Nonces are random, which is safe for far more lines than a life has (2^32 a key).
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from anima.errors import CorruptStateError, MemoryLocked, NewerVersionError, UsageError
from anima.home import storage, write_atomically
from anima.memory.chain import SALT_SIZE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE = 32
_NONCE = 12
_PLAIN: Final = b"\x00"
_SEALED: Final = b"\x01"

Kdf = Literal["scrypt", "argon2id"]

_LOCK_SCHEMA = 1
"""Of the lock's words; the first ones had no `schema`, and only scrypt and key files."""

_COST = 1 << 15
_MOST_COST = 1 << 20
_BLOCK = 8

# Passes, lanes and KiB: the second of the two choices of RFC 9106, section 4.
_ARGON2ID: Final = {"t": 3, "p": 4, "m": 64 * 1024}
_MOST_ARGON2ID: Final = {"t": 64, "p": 64, "m": 1024 * 1024}
_KDF_SALT = 16
_CHECKED: Final = b"anima memory"
_KEY_FILE_HEAD: Final = b"anima-memory-key "
_NOT_INSTALLED = (
    "An encrypted memory needs the package 'cryptography', which is not installed: "
    "pip install 'anima-runtime[memory]'."
)


@dataclass(frozen=True, kw_only=True)
class Secret:
    """What unlocks a memory: a passphrase or the key of a key file; repr shows neither."""

    passphrase: str | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.passphrase is None) == (self.key is None):
            raise UsageError("Give a passphrase or a key file, one of the two.")
        if self.passphrase is not None and not self.passphrase:
            raise UsageError("The passphrase is empty: give one, or decrypt the memory.")


class Cipher(Protocol):
    """How contents are kept."""

    @property
    def lock(self) -> str | None:
        """What the ledger says about it, None for in clear."""
        ...

    def close_in(self, salt: bytes, content: bytes, anchor: bytes) -> bytes:
        """The envelope of a content; another one every time where it is sealed."""
        ...

    def take_out(self, envelope: bytes, anchor: bytes) -> tuple[bytes, bytes]:
        """Salt and content of an envelope; raises ValueError for a damaged one, MemoryLocked."""
        ...


@dataclass(frozen=True, kw_only=True)
class Clear:
    """Keeps contents readable by anybody who can read the file."""

    lock: None = None

    def close_in(self, salt: bytes, content: bytes, anchor: bytes) -> bytes:
        return wrap_plain(salt, content)

    def take_out(self, envelope: bytes, anchor: bytes) -> tuple[bytes, bytes]:
        if is_sealed(envelope):
            raise ValueError("it is encrypted in a memory that is not")
        return unwrap_plain(envelope)


@dataclass(frozen=True, kw_only=True)
class Sealing:
    """Keeps contents under a key; `lock` holds how it is derived, and never the key."""

    lock: str
    aes: "AESGCM" = field(repr=False)

    def close_in(self, salt: bytes, content: bytes, anchor: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return _SEALED + nonce + self.aes.encrypt(nonce, salt + content, anchor)

    def take_out(self, envelope: bytes, anchor: bytes) -> tuple[bytes, bytes]:
        from cryptography.exceptions import InvalidTag

        if not is_sealed(envelope):
            raise ValueError("it lies in clear in a memory that is encrypted")
        nonce, sealed = envelope[1 : 1 + _NONCE], envelope[1 + _NONCE :]
        try:
            opened = self.aes.decrypt(nonce, sealed, anchor)
        except (InvalidTag, ValueError) as error:
            raise ValueError("its encrypted content is damaged") from error
        return opened[:SALT_SIZE], opened[SALT_SIZE:]


def is_sealed(envelope: bytes) -> bool:
    return envelope[:1] == _SEALED


def wrap_plain(salt: bytes, content: bytes) -> bytes:
    """The envelope in clear."""
    if len(salt) != SALT_SIZE:
        raise ValueError(f"a salt of {len(salt)} bytes")
    return _PLAIN + salt + content


def unwrap_plain(envelope: bytes) -> tuple[bytes, bytes]:
    """Salt and content of an envelope in clear; raises ValueError for what is none."""
    if envelope[:1] != _PLAIN or len(envelope) < 1 + SALT_SIZE:
        raise ValueError("its content is damaged")
    return envelope[1 : 1 + SALT_SIZE], envelope[1 + SALT_SIZE :]


def new_cipher(secret: Secret, *, kdf: Kdf = "scrypt", cost: int | None = None) -> Sealing:
    """A cipher under a fresh lock; raises UsageError where this system has not the `kdf`.

    `cost` is scrypt's N, of which 2^15 takes 32 MiB; argon2id takes 64 MiB. A key file has no use
    for either.
    """
    lock: dict[str, Any] = {
        "schema": _LOCK_SCHEMA, "kdf": kdf, "salt": secrets.token_bytes(_KDF_SALT).hex()
    }  # fmt: skip
    if secret.key is not None:
        lock["kdf"] = "file"
    elif kdf == "argon2id":
        lock |= _ARGON2ID
    else:
        lock |= {"n": cost or _COST, "r": _BLOCK, "p": 1}
    aes = _aes(_derived(secret, lock))
    nonce = secrets.token_bytes(_NONCE)
    check = nonce + aes.encrypt(nonce, _CHECKED, _bound(lock))
    document = {**lock, "check": base64.b64encode(check).decode("ascii")}
    return Sealing(lock=json.dumps(document, sort_keys=True), aes=aes)


def unlock(lock: str | None, secret: Secret | None) -> Cipher:
    """The cipher of a ledger that says `lock`.

    Raises MemoryLocked, in the same words whether nothing, the wrong passphrase or the wrong file
    was given, CorruptStateError for a lock that is none, and NewerVersionError.
    """
    if lock is None:
        return Clear()
    document, check = _parse_lock(lock)
    if secret is None:
        raise MemoryLocked
    from cryptography.exceptions import InvalidTag

    aes = _aes(_derived(secret, document))
    try:
        opened = aes.decrypt(check[:_NONCE], check[_NONCE:], _bound(document))
    except (InvalidTag, ValueError) as error:
        raise MemoryLocked from error
    if opened != _CHECKED:
        raise MemoryLocked
    return Sealing(lock=lock, aes=aes)


def write_key_file(path: Path) -> Secret:
    """Make a key file, for its owner alone; raises UsageError where there is a file already."""
    if path.exists():
        raise UsageError(f"{path} is there already; name a new file, so that no key is lost.")
    key = secrets.token_bytes(KEY_SIZE)
    remedy = "Name another place for the key file."
    write_atomically(path, _KEY_FILE_HEAD + base64.b64encode(key) + b"\n", remedy=remedy)
    return Secret(key=key)


def read_key_file(path: Path) -> Secret:
    """The secret in a key file; raises UsageError for a file that is none, StorageError."""
    with storage(path, remedy="Name the key file that encrypted the memory."):
        content = path.read_bytes()
    try:
        key = base64.b64decode(content.removeprefix(_KEY_FILE_HEAD).strip(), validate=True)
    except ValueError:
        key = b""
    if not content.startswith(_KEY_FILE_HEAD) or len(key) != KEY_SIZE:
        # Without the cause: what stands in the wrong file is nobody's business.
        raise UsageError(f"{path} is no key file of Anima's.")
    return Secret(key=key)


def _derived(secret: Secret, lock: Mapping[str, Any]) -> bytes:
    """The 32 bytes that a secret gives under a lock; a wrong kind of secret gives wrong bytes."""
    salt = bytes.fromhex(lock["salt"])
    if lock["kdf"] == "file":
        key = secret.key or b""
        return hashlib.blake2b(key, digest_size=KEY_SIZE, salt=salt, person=b"pmll-file").digest()
    passphrase = (secret.passphrase or "").encode("utf-8", "surrogatepass")
    if lock["kdf"] == "argon2id":
        return _argon2id(passphrase, salt, lock)
    n, r, p = lock["n"], lock["r"], lock["p"]
    return hashlib.scrypt(
        passphrase,
        salt=salt,
        n=n,
        r=r,
        p=p,
        # What it needs and as much again: OpenSSL refuses more than 32 MiB by default.
        maxmem=256 * r * (n + p + 4),
        dklen=KEY_SIZE,
    )


def _argon2id(passphrase: bytes, salt: bytes, lock: Mapping[str, Any]) -> bytes:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    except ModuleNotFoundError as error:
        raise UsageError(_NOT_INSTALLED) from error
    try:
        function = Argon2id(
            salt=salt, length=KEY_SIZE, iterations=lock["t"], lanes=lock["p"],
            memory_cost=lock["m"],
        )  # fmt: skip
    except UnsupportedAlgorithm as error:
        raise UsageError(
            "argon2id needs the package 'cryptography' with OpenSSL 3.2 or newer: update it, or "
            "take scrypt."
        ) from error
    return function.derive(passphrase)


def _parse_lock(lock: str) -> tuple[dict[str, Any], bytes]:
    try:
        document = json.loads(lock)
        check = base64.b64decode(document.pop("check"), validate=True)
        schema = document.get("schema", 0)
        if type(schema) is not int:
            raise ValueError("its schema is no number")
        if schema > _LOCK_SCHEMA:
            raise NewerVersionError(
                f"The memory was encrypted by a newer Anima (schema {schema} of its lock, this one "
                f"knows {_LOCK_SCHEMA}). Update Anima."
            )
        if len(bytes.fromhex(document["salt"])) != _KDF_SALT or not _affordable(document):
            raise ValueError("its settings cannot be")
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CorruptStateError(
            "What the memory says about its encryption is damaged; go back to a copy."
        ) from error
    return document, check


def _affordable(lock: Mapping[str, Any]) -> bool:
    """A lock that somebody changed must not make the memory of this machine run out."""
    if lock["kdf"] == "file":
        return True
    if lock["kdf"] == "argon2id":
        given = {name: lock[name] for name in _ARGON2ID}
        bounded = all(type(n) is int and 1 <= n <= _MOST_ARGON2ID[k] for k, n in given.items())
        return bounded and given["m"] >= 8 * given["p"]
    n, r, p = lock["n"], lock["r"], lock["p"]
    if lock["kdf"] != "scrypt" or type(n) is not int or (r, p) != (_BLOCK, 1):
        return False
    return 2 <= n <= _MOST_COST and n & (n - 1) == 0


def _bound(lock: Mapping[str, Any]) -> bytes:
    """What the check authenticates: a lock whose settings were changed does not open."""
    return json.dumps(dict(lock), sort_keys=True).encode()


def _aes(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ModuleNotFoundError as error:
        raise UsageError(_NOT_INSTALLED) from error
    return AESGCM(key)
