"""Opens a persona's memory: which ledger it has, what encodes its texts, what finds its lines.

It knows the persona's commit, beyond which nothing of a memory counts, and no chat and no screen.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anima.encoding.encoder import UNRELATED
from anima.errors import AnimaError, BusyError, CorruptStateError, Interrupted, StorageError
from anima.home import Home, storage, sync_folder
from anima.memory import keys
from anima.memory.api import Memory
from anima.memory.book import Book
from anima.memory.crypto import Secret, read_key_file
from anima.memory.ledgers.ledger import KINDS, remove
from anima.memory.organ import NAME as ORGAN
from anima.memory.organ import UNDONE, state_of
from anima.memory.ranking.hybrid import HybridRecall
from anima.memory.scribe import take_back
from anima.organ import OrganState
from anima.persona import files
from anima.persona.store import Persona

if TYPE_CHECKING:
    from anima.config import Settings
    from anima.encoding import Encoder
    from anima.encoding.joint import States
    from anima.memory.line import Vector
    from anima.trunk.interface import Trunk

NO_ENCODER = "none"
"""The name under which a memory has no encoder and goes by words alone."""

PASSPHRASE = "ANIMA_MEMORY_PASSPHRASE"
KEY_FILE = "ANIMA_MEMORY_KEY_FILE"

Say = Callable[[str], None]
Clock = Callable[[], datetime]

BUSY_REMEDY = "Close it there, or choose another with --persona."
_ATTEMPTS = 5


def _silent(message: str) -> None:
    """Say nothing."""


def ledger_of(folder: Path, kind: str = "sqlite") -> Path:
    """Where the ledger of a persona is, or would be made as one of this kind.

    One that is gone and whose key file is there is named too, so that opening it says so.
    """
    known = [folder / f"memory{each.suffix}" for each in KINDS.values()]
    for here in (Path.exists, lambda path: keys.path_beside(path).exists()):
        for path in known:
            if here(path):
                return path
    return folder / f"memory{KINDS[kind].suffix}"


def unfinished(target: Path) -> Path:
    """Where a ledger that is to take the place of `target` is written, until it is whole."""
    return target.with_name(f".converted-{target.name}")


def replaced(source: Path) -> Path:
    """Where a ledger is while another one takes its place."""
    return source.with_name(f".replaced-{source.name}")


def open_memory(
    folder: Path,
    settings: "Settings",
    home: Home,
    *,
    clock: Clock,
    secret: Secret | None = None,
    say: Say = _silent,
    trunk: "Trunk | None" = None,
) -> Memory:
    """The memory in a persona's folder, made on first use; raises as `Memory.open` does.

    Texts are encoded by the encoder that the memory began with, else by the one that is set, and
    it is opened when the first text needs it. Where it cannot be had, `say` hears so and lines are
    found by their words alone. `trunk` is the loaded model, where there is one.
    """
    finish_replacing(folder)
    late = _LateEncoder(settings=settings, home=home, trunk=trunk, say=say)
    recall = HybridRecall(concert=settings.concert)  # type: ignore[arg-type]
    memory = Memory.open(
        ledger_of(folder, settings.ledger), clock=clock, secret=secret, recall=recall, encoder=late
    )
    late.memory = memory
    unrelated = UNRELATED.get(memory.encoder_name or settings.encoder)
    if unrelated is not None:
        recall.mixture = replace(recall.mixture, unrelated=unrelated)
    return memory


@contextlib.contextmanager
def tried(folder: Path, secret: Secret | None) -> Iterator[Secret | None]:
    """The secret, once it is known to open the memory in a folder, whose lines are not read.

    One that another process holds is not tried: a copy of it will be. Raises MemoryLocked.
    """
    path = ledger_of(folder)
    with contextlib.ExitStack() as held:
        if path.exists():
            with contextlib.suppress(BusyError):
                held.enter_context(Book.opened(path, secret))
        held.close()
        yield secret


def settle(memory: Memory, folder: Path, state: OrganState | None) -> tuple[str, ...]:
    """Bring a memory to what the persona's last commit says of it; returns what there is to say.

    Records beyond the commit were never acknowledged: they are cut away, and kept as lines of JSON
    in `recovered/`, unless the memory is encrypted, whose words are written nowhere in clear.
    """
    count = 0 if state is None else int(state.values["count"])
    if state and memory.count >= count > 0 and memory.line(count).anchor != state.values["head"]:
        return (
            f"Record {count} of the memory is not the one of the last commit: the ledger was "
            "exchanged. anima memory verify compares it with its seal.",
        )
    if memory.count > count:
        kept = (
            "" if memory.encrypted else f" They are kept in {_kept_aside(memory, folder, count)}."
        )
        cut = memory.roll_back(count)
        if not cut:
            return ()  # an erasure, which stands
        return (f"The memory had {cut} records that no commit holds: cut away.{kept}",)
    if memory.count < count:
        return (
            f"The memory holds {memory.count} records, and the last commit had {count}: it was "
            "replaced by an older one. It goes on from there.",
        )
    return ()


def forget_undone(memory: Memory, persona: Persona, state: OrganState | None) -> OrganState | None:
    """Take back what turns wrote that were undone while the memory was off; what is committed then.

    `state` is the one of the last commit, to which the memory was brought.
    """
    undone = () if state is None else state.values.get(UNDONE, ())
    if not undone:
        return state
    for values in undone:
        take_back(memory, values)
    now = state_of(memory)
    persona.commit(states={ORGAN: now}, records=[])
    return now


@dataclass(kw_only=True, eq=False)
class Door:
    """A memory that is written to from outside a chat; `commit` makes its records count."""

    memory: Memory
    persona: Persona
    _committed: OrganState | None = None

    def commit(self) -> None:
        """Commit what was written to the persona's head: from here on it may be acknowledged."""
        state = state_of(self.memory)
        if state != self._committed:
            self.persona.commit(states={ORGAN: state}, records=[])
            self._committed = state


Opened = Callable[[], contextlib.AbstractContextManager[Door]]


@contextlib.contextmanager
def writing(
    home: Home,
    settings: "Settings",
    *,
    clock: Clock,
    secret: Secret | None = None,
    say: Say = _silent,
) -> Iterator[Door]:
    """A persona's memory to write to, held alone; what was written counts when this ends well.

    Where it ends in an error, only what `Door.commit` confirmed before counts. Raises BusyError
    while a chat has the persona open, and what `Memory.open` raises.
    """
    with _opened(home, settings, clock=clock, secret=secret, say=say, copy=False) as door:
        yield door
        door.commit()


@contextlib.contextmanager
def reading(
    home: Home,
    settings: "Settings",
    *,
    clock: Clock,
    secret: Secret | None = None,
    say: Say = _silent,
) -> Iterator[Memory]:
    """A persona's memory to read: where it is in use or must not be written to, a copy of it.

    A persona that has no memory gets an empty one, of which nothing is kept.
    """
    folder = home.persona(settings.persona)
    if not ledger_of(folder).exists() and not keys.path_beside(ledger_of(folder)).exists():
        with (
            tempfile.TemporaryDirectory(prefix="anima-") as empty,
            open_memory(Path(empty), settings, home, clock=clock, say=say) as memory,
        ):
            yield memory
        return
    with contextlib.ExitStack() as stack:
        try:
            door = stack.enter_context(
                _opened(home, settings, clock=clock, secret=secret, say=say, copy=False)
            )
        except (BusyError, StorageError):
            copy = partial(_opened, home, settings, clock=clock, secret=secret, say=say, copy=True)
            door = _entered(stack, copy)
        yield door.memory


def _entered(stack: contextlib.ExitStack, opened: Opened) -> Door:
    """A copy, made again where it was taken while the original was being written to."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(CorruptStateError):
            return stack.enter_context(opened())
    return stack.enter_context(opened())


def secret_of(environ: Mapping[str, str], key_file: Path | None = None) -> Secret | None:
    """The secret that was given: by a key file, or by a variable; None where none was.

    Raises UsageError for a file that is no key file, and StorageError.
    """
    named = key_file or (Path(environ[KEY_FILE]) if environ.get(KEY_FILE) else None)
    if named is not None:
        return read_key_file(named)
    passphrase = environ.get(PASSPHRASE)
    return Secret(passphrase=passphrase) if passphrase else None


@contextlib.contextmanager
def _opened(
    home: Home, settings: "Settings", *, clock: Clock, secret: Secret | None, say: Say, copy: bool
) -> Iterator[Door]:
    with contextlib.ExitStack() as stack:
        persona = stack.enter_context(
            Persona.open(
                home, settings.persona, clock=clock, ephemeral=copy, busy_remedy=BUSY_REMEDY
            )
        )
        for notice in persona.notices:
            say(notice)
        memory = stack.enter_context(
            open_memory(persona.folder, settings, home, clock=clock, secret=secret, say=say)
        )
        named = {organ: name for organ, name in persona.snapshot().items() if organ == ORGAN}
        state = persona.load_snapshot(named).get(ORGAN)
        notices = settle(memory, persona.folder, state)
        for notice in () if copy else notices:
            say(notice)
        committed = forget_undone(memory, persona, state)
        yield Door(memory=memory, persona=persona, _committed=committed)


@dataclass(kw_only=True)
class _LateEncoder:
    """The encoder of a memory, opened when the first text needs it; None where there is none."""

    settings: "Settings"
    home: Home
    trunk: "Trunk | None"
    say: Say
    memory: Memory | None = None
    _encoder: "Encoder | None" = None
    _refused: bool = field(default=False)

    @property
    def name(self) -> str | None:
        """The encoder that the memory began with, else the one that is set; None for none."""
        if self.settings.encoder == NO_ENCODER:
            return None
        if self._encoder is not None:
            return self._encoder.name
        noted = None if self.memory is None else self.memory.encoder_name
        return noted or self.settings.encoder

    def __call__(self, text: str) -> "Vector | None":
        return next(iter(self.many([text])), None)

    def many(self, texts: Sequence[str]) -> "Sequence[Vector]":
        """The vectors of texts; none at all where there is no encoder."""
        if self._encoder is None and not self._refused and self.name is not None:
            self._open(self.name)
        return () if self._encoder is None else list(self._encoder.encode(texts))

    @property
    def states(self) -> "States | None":
        """What makes the states that two lines are read together by; None until a text was encoded."""
        return getattr(self._encoder, "states", None)

    def _open(self, name: str) -> None:
        from anima.encoding import open_encoder

        try:
            self._encoder = open_encoder(name, self.home, say=self.say, trunk=self.trunk)
        except Interrupted:
            raise
        except AnimaError as error:
            self._refused = True
            self.say(f"The memory goes by words alone: {error}")


def finish_replacing(folder: Path) -> None:
    """Let one ledger's taking the place of another, cut off between its renames, come to its end.

    The new one was whole, and checked, before the old one was moved.
    """
    if not ledger_of(folder).exists():
        for kind in KINDS.values():
            target = folder / f"memory{kind.suffix}"
            if unfinished(target).exists():
                with storage(target):
                    unfinished(target).replace(target)
                    sync_folder(folder)
                break
    for pattern in (".converted-memory.*", ".replaced-memory.*", ".new-.converted-memory.*"):
        for path in folder.glob(pattern):
            remove(path)


def _kept_aside(memory: Memory, folder: Path, count: int) -> Path:
    from anima.memory import exchange

    content = io.BytesIO()
    lines = (memory.line(seq) for seq in range(count + 1, memory.count + 1))
    exchange.write((exchange.as_json(each, in_force=False) for each in lines), content)
    return files.set_aside(folder, "memory.jsonl", content.getvalue())
