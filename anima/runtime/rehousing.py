"""Moves a persona's memory into another kind of ledger, and mends a damaged one; knows no chat."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anima.errors import CorruptStateError, StateError, UsageError
from anima.home import Home, make_folder, storage, sync_folder
from anima.memory import keys
from anima.memory.crypto import Secret
from anima.memory.keys import KeyFile
from anima.memory.ledgers.convert import Repaired, convert, repair
from anima.memory.ledgers.ledger import KINDS, kind_of, remove
from anima.memory.ledgers.reencode import reencode
from anima.memory.organ import NAME as ORGAN
from anima.memory.organ import state_of
from anima.memory.sealing import check, seal_path
from anima.persona import files
from anima.persona.store import Persona
from anima.runtime.remembering import (
    BUSY_REMEDY,
    finish_replacing,
    forget_undone,
    ledger_of,
    open_memory,
    replaced,
    unfinished,
)

if TYPE_CHECKING:
    from anima.config import Settings

Clock = Callable[[], datetime]


def convert_memory(home: Home, settings: "Settings", kind: str, *, clock: Clock) -> Path:
    """Keep a persona's memory in another kind of ledger from now on; returns the new one.

    The new one is read again and compared before the old one goes. No anchor changes, and an
    encrypted one need not be unlocked. Raises UsageError, BusyError, StateError where there is no
    memory, StorageError, and CorruptStateError for one whose chain does not hold.
    """
    with _alone(home, settings, clock) as persona:
        source = require_ledger(persona.folder)
        target = source.with_suffix(KINDS[kind].suffix)
        if target == source:
            raise UsageError(f"The memory is kept in {kind_of(source)} already.")
        fresh = unfinished(target)
        _clear(fresh)
        try:
            convert(source, fresh)
            _require_same(source, fresh)
            own = KeyFile(path=keys.path_beside(target))
            own.replace_by(KeyFile(path=keys.path_beside(fresh)))
        except BaseException:
            _clear(fresh)
            raise
        take_the_place(source, fresh, target)
        return target


def reencode_memory(
    home: Home,
    settings: "Settings",
    name: str,
    *,
    clock: Clock,
    secret: Secret | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Path:
    """Make the keys of all lines anew with another encoder; returns where the old ledger is kept.

    Every anchor changes, for the keys are part of what the chain covers. Raises UsageError for an
    unknown encoder, MemoryLocked, what fetching the encoder raises, and as `convert_memory`.
    """
    from anima.encoding import open_encoder

    with _alone(home, settings, clock) as persona:
        source = require_ledger(persona.folder)
        encoder = open_encoder(name, home, say=say)
        with open_memory(persona.folder, settings, home, clock=clock, secret=secret) as memory:
            if memory.encoder_name == encoder.name:
                raise UsageError(f"The keys of the memory were made by {name} already.")
            # While the anchors are those that the undone turns named.
            forget_undone(memory, persona, persona.states().get(ORGAN))
        fresh = unfinished(source)
        _clear(fresh)
        try:
            reencode(
                source, fresh, encode=encoder.encode, name=encoder.name, secret=secret,
                say=lambda done, count: say(f"{done:,} of {count:,} records …"),
            )  # fmt: skip
        except BaseException:
            _clear(fresh)
            raise
        kept = _copied_aside(source, persona.folder / files.RECOVERED, clock)
        take_the_place(source, fresh, source)
        with open_memory(persona.folder, settings, home, clock=clock, secret=secret) as memory:
            persona.commit(states={ORGAN: state_of(memory)}, records=[])
        return kept


def repair_memory(
    home: Home, settings: "Settings", *, clock: Clock, secret: Secret | None = None
) -> Repaired:
    """Keep what holds of a damaged memory and commit it; the damaged one goes to `recovered/`.

    Raises as `convert.repair` does.
    """
    with _alone(home, settings, clock) as persona:
        path = require_ledger(persona.folder)
        name = f"{path.stem}-{clock():%Y%m%dT%H%M%S}{path.suffix}"
        aside = persona.folder / files.RECOVERED / name
        done = repair(path, aside=aside, clock=clock, secret=secret)
        with open_memory(persona.folder, settings, home, clock=clock, secret=secret) as memory:
            forget_undone(memory, persona, persona.states().get(ORGAN))
            persona.commit(states={ORGAN: state_of(memory)}, records=[])
        return done


def _alone(home: Home, settings: "Settings", clock: Clock) -> Persona:
    return Persona.open(home, settings.persona, clock=clock, busy_remedy=BUSY_REMEDY)


def require_ledger(folder: Path) -> Path:
    """The ledger of a persona that is held alone; raises StateError where there is none."""
    if folder.is_dir():
        finish_replacing(folder)
        path = ledger_of(folder)
        with storage(path):
            if path.exists():
                return path
    raise StateError(f"{folder.name} has no memory yet: anima memory put TEXT makes one.")


def take_the_place(source: Path, fresh: Path, target: Path) -> None:
    """Let a whole new ledger take the place of the old one, which goes.

    Whatever is cut off when, the next opening finds the old one or finishes this.
    """
    old = replaced(source)
    with storage(target):
        remove(old)
        source.replace(old)
        fresh.replace(target)
        sync_folder(target.parent)
    _clear(old)
    if source != target:
        _clear(source)
    _clear(fresh)


def _copied_aside(source: Path, folder: Path, clock: Clock) -> Path:
    """A copy of a closed ledger, its keys and its seal in another folder; the seal moves there."""
    kept = folder / f"{source.stem}-{clock():%Y%m%dT%H%M%S}{source.suffix}"
    make_folder(folder)
    with storage(kept):
        shutil.copyfile(source, kept)
        kept.chmod(0o600)
        if seal_path(source).exists():
            seal_path(source).replace(kept.with_suffix(".seal.json"))
    KeyFile(path=keys.path_beside(kept)).replace_by(KeyFile(path=keys.path_beside(source)))
    return kept


def _clear(path: Path) -> None:
    """Remove a ledger, its key file and its lock."""
    remove(path)
    with storage(path):
        keys.path_beside(path).unlink(missing_ok=True)
        path.with_name(f".{path.name}.lock").unlink(missing_ok=True)


def _require_same(source: Path, fresh: Path) -> None:
    """Raise CorruptStateError unless both ledgers hold the same chain."""
    old, new = check(source), check(fresh)
    if old.broken is None and new.broken is None and (old.count, old.head) == (new.count, new.head):
        return
    raise CorruptStateError(
        f"{fresh.name} did not come out as {source.name}, so nothing was changed. anima memory "
        "verify says whether the old one is whole."
    )
