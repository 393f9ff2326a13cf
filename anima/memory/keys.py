"""The file beside a ledger that holds its chain keys; knows nothing of lines.

It lies apart from the ledger so that a ledger alone, wherever it gets, cannot be written anew.
Whoever can read both can: the chain then shows nothing, and only a seal kept elsewhere does.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from anima.errors import CorruptStateError, NewerVersionError
from anima.home import storage, write_atomically
from anima.memory import chain
from anima.memory.chain import ChainKeys

_SCHEMA = 1


def path_beside(ledger: Path) -> Path:
    """Where the chain keys of a ledger are."""
    return ledger.with_name(f"{ledger.name}.key")


@dataclass(frozen=True, kw_only=True)
class KeyFile:
    """The chain keys of one memory on disk."""

    path: Path

    def load(self) -> tuple[ChainKeys, bool]:
        """The keys, none where there is no file, and whether their ledger was ever made.

        Raises CorruptStateError, NewerVersionError and StorageError.
        """
        with storage(self.path):
            try:
                content = self.path.read_bytes()
            except FileNotFoundError:
                return ChainKeys(keys={}), False
        try:
            document = json.loads(content.decode())
            schema, made = document["schema"], document["made"]
            if type(schema) is not int or type(made) is not bool:
                raise ValueError("its fields are of another type")
            if schema > _SCHEMA:
                raise NewerVersionError(
                    f"{self.path} was written by a newer Anima (schema {schema}). Update Anima."
                )
            keys = {name: bytes.fromhex(key) for name, key in document["keys"].items()}
            wrong = [name for name, key in keys.items() if chain.key_id(key) != name]
            if wrong:
                raise ValueError(f"key {wrong[0]!r} is not the one of that name")
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise CorruptStateError(
                f"{self.path} is damaged ({error}), so the memory cannot be checked. Put a copy of "
                "it back."
            ) from error
        return ChainKeys(keys=keys), made

    def add(self, key: bytes) -> ChainKeys:
        """Keep one more key, durably, before any line is written under it."""
        known, made = self.load()
        keys = ChainKeys(keys={**known.keys, chain.key_id(key): key})
        self._save(keys, made)
        return keys

    def confirm(self) -> None:
        """Note that the ledger was made: from now on an empty one is a loss, not a beginning."""
        keys, made = self.load()
        if not made:
            self._save(keys, made=True)

    def replace_by(self, other: "KeyFile") -> None:
        """Hold what another key file holds, as a copy of its ledger needs; other keys are kept."""
        given, made = other.load()
        own, _ = self.load()
        self._save(ChainKeys(keys={**own.keys, **given.keys}), made)

    def _save(self, keys: ChainKeys, made: bool) -> None:
        plain = {name: each.hex() for name, each in keys.keys.items()}
        document = json.dumps({"schema": _SCHEMA, "made": made, "keys": plain}, indent=1)
        write_atomically(self.path, document.encode() + b"\n")
