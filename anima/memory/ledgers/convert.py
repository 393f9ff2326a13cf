"""From one kind of ledger to another, and out of a damaged one; knows nothing of what lines say.

Rows are carried as they are, so every anchor, every citation and every seal stays valid, and an
encrypted ledger need not be unlocked.
"""

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from anima.errors import CorruptStateError, UsageError
from anima.home import make_folder, storage, sync_folder
from anima.memory import chain, crypto, keys
from anima.memory.book import Book, Draft, require_known
from anima.memory.chain import Walk
from anima.memory.crypto import Cipher, Secret
from anima.memory.keys import KeyFile
from anima.memory.ledgers.ledger import (
    PAGE,
    REMEDY,
    Change,
    Entry,
    Ledger,
    corrupt,
    kind_of,
    opened,
    remove,
)
from anima.memory.line import ERASE, content_of, header_of, parse_header
from anima.memory.sealing import seal_path


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What a repair kept, whose contents are lost, why it ended, and where the damaged file is.

    `gone` says that nothing of it could be read, and that no ledger is left in its place.
    """

    kept: int
    lost: tuple[int, ...]
    reason: str
    aside: Path
    gone: bool = False


def convert(source: Path, target: Path) -> int:
    """Write the ledger `source` anew as `target`, whose ending says its kind; returns its lines.

    The source stays, and the target gets a copy of its key file. Raises UsageError where there is
    no source or a target already, BusyError, StorageError, and CorruptStateError for a source
    whose chain does not hold.
    """
    kind_of(target)
    if not source.exists():
        raise UsageError(f"There is no memory at {source}.")
    if target.exists():
        raise UsageError(f"{target} is there already: name another file, or move it away.")
    key_file = KeyFile(path=keys.path_beside(source))
    with opened(source, Change) as old:
        walk = _begin(old, key_file)
        # Before the ledger, so that a target is never there without its keys.
        KeyFile(path=keys.path_beside(target)).replace_by(key_file)
        _write_anew(old, target, walk, _whole(old, walk))
    return walk.count


def repair(
    path: Path, *, aside: Path, clock: Callable[[], datetime], secret: Secret | None = None
) -> Repaired:
    """Keep what holds of a damaged ledger: its lines up to the first that does not follow.

    A line whose content alone is damaged stays in the chain, with a record that its content is
    lost. The damaged file is moved to `aside` as it is; where not even its beginning can be read,
    its keys and its seal go with it, and no ledger is left. Raises UsageError where nothing is
    damaged, MemoryLocked, BusyError, StorageError, and CorruptStateError where the keys are.
    """
    if aside.exists():
        raise UsageError(f"{aside} is there already: name another file for the damaged memory.")
    reason = _unreadable(path)
    if reason and not _filled_up(path, aside):
        _set_aside(path, aside)
        return Repaired(kept=0, lost=(), reason=reason, aside=aside, gone=True)
    rescued = path.with_name(f".repaired-{path.name}")
    remove(rescued)
    with opened(path, Change) as old:
        cipher = crypto.unlock(old.meta().get("lock"), secret)
        walk = _begin(old, KeyFile(path=keys.path_beside(path)))
        rescue = _Rescue(_whole(old, walk), cipher)
        _write_anew(old, rescued, walk, rescue.entries())
    if not rescue.reason and not rescue.lost:
        remove(rescued)
        raise UsageError(f"{path} is not damaged: its {walk.count} lines are as they were written.")
    with storage(path):
        make_folder(aside.parent)
        if not reason:  # else it is there already, as it was before it was filled up
            path.replace(aside)
        rescued.replace(path)
        sync_folder(path.parent)
    _record_losses(path, rescue.lost, clock, secret)
    return Repaired(
        kept=walk.count, lost=tuple(sorted(rescue.lost)), reason=rescue.reason, aside=aside
    )


def _unreadable(path: Path) -> str:
    """Why not even what a ledger says of itself can be read; empty where it can."""
    try:
        with opened(path, Change) as ledger:
            ledger.meta()
    except CorruptStateError as error:
        return _cause(error)
    return ""


def _cause(error: CorruptStateError) -> str:
    """What is damaged, without the advice to repair it."""
    return str(error).removesuffix(REMEDY).rstrip()


def _filled_up(path: Path, aside: Path) -> bool:
    """Whether a file that was cut off can be read, once it is as long again as it says it is.

    It is copied to `aside` before.
    """
    if kind_of(path) != "sqlite":
        return False
    from anima.memory.ledgers.sqlite_ledger import fill_up

    make_folder(aside.parent)
    with storage(aside):
        shutil.copyfile(path, aside)
        aside.chmod(0o600)
        fill_up(path)
    return not _unreadable(path)


def _set_aside(path: Path, aside: Path) -> None:
    """Move a ledger away with its keys and its seal, so that a new one can begin in its place."""
    make_folder(aside.parent)
    with storage(path):
        if aside.exists():
            path.unlink()
        else:
            path.replace(aside)
    remove(path)
    beside = {
        keys.path_beside(path): keys.path_beside(aside),
        seal_path(path): aside.with_suffix(".seal.json"),
    }
    for source, target in beside.items():
        with storage(source), contextlib.suppress(FileNotFoundError):
            source.replace(target)
    sync_folder(path.parent)


class _Rescue:
    """The rows of a damaged ledger that hold, without the contents that do not."""

    def __init__(self, rows: Iterator[Entry], cipher: Cipher) -> None:
        self._rows, self._cipher = rows, cipher
        self.reason = ""
        self.lost: set[int] = set()

    def entries(self) -> Iterator[Entry]:
        try:
            for entry in self._rows:
                whole = entry.content is not None and self._holds(entry)
                if not whole:
                    self.lost.add(entry.seq)
                header = parse_header(entry.header)
                if header.kind == ERASE:
                    self.lost.discard(header.target)
                yield entry if whole else replace(entry, content=None)
        except CorruptStateError as error:
            self.reason = _cause(error)

    def _holds(self, entry: Entry) -> bool:
        try:
            salt, content = self._cipher.take_out(entry.content or b"", entry.anchor)
            return chain.digest(content, salt) == entry.digest
        except ValueError:
            return False


def _record_losses(
    path: Path, lost: Collection[int], clock: Callable[[], datetime], secret: Secret | None
) -> None:
    """Write that contents are gone, so that the ledger opens again and says so for ever."""
    if not lost:
        return
    content = content_of(context={"reason": "damaged"})
    drafts = [
        Draft(header=header_of(kind=ERASE, role="", timestamp=clock(), target=seq), content=content)
        for seq in sorted(lost)
    ]
    with Book.opened(path, secret) as book:
        book.resume()
        book.append(drafts)


def _begin(ledger: Ledger, key_file: KeyFile) -> Walk:
    meta, (chain_keys, _) = ledger.meta(), key_file.load()
    require_known(ledger.place, meta)
    try:
        return Walk.begin(chain_keys, meta["key"], bytes.fromhex(meta["id"]))
    except (KeyError, ValueError) as error:
        raise corrupt(ledger.place, f"its own description lacks {error}") from error


def _whole(ledger: Ledger, walk: Walk) -> Iterator[Entry]:
    """Every row, the chain checked; raises CorruptStateError where it does not hold."""
    for entry in ledger.entries():
        walk.step(seq=entry.seq, header=entry.header, digest=entry.digest, anchor=entry.anchor)
        yield entry
    meta = ledger.meta()
    if meta.get("count") != str(walk.count) or meta.get("head") != walk.head.hex():
        raise corrupt(ledger.place, "its end is missing")


def _write_anew(old: Ledger, target: Path, walk: Walk, entries: Iterator[Entry]) -> None:
    """Write rows to a new ledger, a page a commit, and say last how far `walk` came.

    Until then the new ledger says nothing of itself, so one that was cut off is never taken for
    whole; a failure removes it.
    """
    try:
        with opened(target, Change) as new:
            page: list[Entry] = []
            for entry in entries:
                page.append(entry)
                if len(page) == PAGE:
                    new.write(Change(entries=page))
                    page = []
            tail = {"count": str(walk.count), "head": walk.head.hex()}
            new.write(Change(entries=page, meta={**old.meta(), **tail}))
    except BaseException:
        remove(target)
        raise
