"""`anima memory verify|seal|convert|repair`: whether a memory is whole, and how it is kept.

At start this module imports click and the errors, nothing else.
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anima.errors import BusyError, CorruptStateError, StorageError, UsageError
from anima.terminal import flags
from anima.terminal.shell import memory_door as door

if TYPE_CHECKING:
    from anima.memory import Seal, Secret, Verdict


@click.command("verify")
@click.option(
    "--expect",
    "file",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="A seal that was kept elsewhere; else the last one beside the ledger.",
)
@flags.json
@door.common
def memory_verify(ctx: click.Context, file: str | None, as_json: bool, key_file: str | None) -> int:
    """Say whether anything was changed, cut away, or is not sealed yet.

    Three verdicts: whether every record follows from the one before it; whether the record at the
    seal is the one that was sealed; how many came after it. Without its secret the chain of an
    encrypted memory is verified and what it says is not. The exit code is 0 where it is whole,
    else 1. Who holds the chain key, which lies beside the ledger, can write another chain: keep a
    seal elsewhere to see that.

    \b
    anima memory seal --to /media/usb/anima.seal
    anima memory verify --expect /media/usb/anima.seal
    """
    from anima.terminal import memory_reports as reports
    from anima.terminal.reports import print_json

    home, settings, screen = door.surroundings(ctx)
    found = _verdict(home.persona(settings.persona), _expected(file), door.given_secret(key_file))
    if as_json:
        print_json(screen, reports.verdict_json(found))
    else:
        reports.verdict(screen, found, expected=file or "seal.json")
    return 0 if found.whole else 1


def _expected(file: str | None) -> "Seal | None":
    from anima.home import storage
    from anima.memory import Seal

    if file is None:
        return None
    with storage(Path(file)):
        content = Path(file).read_bytes()
    try:
        return Seal.decode(content)
    except CorruptStateError as error:
        raise CorruptStateError(f"{file}: {error}") from error


def _verdict(folder: Path, expect: "Seal | None", secret: "Secret | None") -> "Verdict":
    """The verdict over a persona's ledger; over a copy where a chat has it open."""
    from anima.memory import check
    from anima.persona import lock
    from anima.runtime.rehousing import require_ledger

    if not folder.is_dir():
        require_ledger(folder)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.hold(folder, folder.name))
        except (BusyError, StorageError):
            folder = stack.enter_context(lock.copied(folder))
        return check(require_ledger(folder), secret, expect)


@click.command("seal")
@click.option(
    "--to", "file", type=click.Path(dir_okay=False), metavar="FILE", help="Into this file."
)
@door.common
def memory_seal(ctx: click.Context, file: str | None, key_file: str | None) -> None:
    """Note count and last anchor, for verify to compare with.

    Without --to it is seal.json beside the ledger. A seal that is kept where nobody else writes
    shows that a memory was cut or rewritten.
    """
    from anima.terminal.memory_reports import records

    target = None if file is None else Path(file).absolute()
    if target is not None and not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to write {target.name} into.")
    with door.writing(ctx, key_file) as (screen, opened):
        seal = opened.memory.seal(target)
        screen.note(f"Sealed {records(seal.count)}; the last anchor is {seal.head[:16]}.")
        screen.data(str(target or opened.memory.place.with_name("seal.json")))


@click.command("convert")
@click.argument("kind", required=False, type=click.Choice(["sqlite", "lmdb", "duckdb", "json"]))
@click.option("--encoder", metavar="NAME", help="Make the vectors of all lines anew with this one.")
@door.common
def memory_convert(
    ctx: click.Context, kind: Any, encoder: str | None, key_file: str | None
) -> None:
    """Change the kind of ledger, or the encoder.

    No anchor changes with the kind, and the old ledger goes once the new one was read again and
    compared. Another encoder makes another vector of every line, which the chain covers: so every
    anchor changes, and the old ledger is kept in `recovered/`.

    \b
    anima memory convert lmdb
    anima memory convert --encoder NAME
    """
    from anima.runtime import rehousing

    if (kind is None) == (encoder is None):
        raise UsageError("Give either a KIND (sqlite, lmdb, duckdb, json) or --encoder NAME.")
    home, settings, screen = door.surroundings(ctx)
    if kind is not None:
        path = rehousing.convert_memory(home, settings, kind, clock=door.local_now)
        screen.note(f"The memory is kept in {kind} now.")
        screen.data(str(path))
        return

    def encoded(secret: "Secret | None") -> Any:
        kept = rehousing.reencode_memory(
            home, settings, str(encoder), clock=door.local_now, secret=secret, say=screen.progress
        )
        return contextlib.nullcontext(kept)

    with door.unlocked(encoded, key_file) as kept:
        screen.note(f"Every line has a vector by {encoder} now, and a new anchor.")
        screen.note("The ledger as it was is kept here:")
        screen.data(str(kept))


@click.command("repair")
@door.common
def memory_repair(ctx: click.Context, key_file: str | None) -> None:
    """Keep what holds of a damaged memory.

    Its records stay up to the first that does not follow from those before it; the damaged ledger
    is moved into `recovered/` as it is. Where nothing of it can be read, an empty memory begins.
    """
    from anima.runtime import rehousing
    from anima.terminal.memory_reports import records

    home, settings, screen = door.surroundings(ctx)

    def repaired(secret: "Secret | None") -> Any:
        return contextlib.nullcontext(
            rehousing.repair_memory(home, settings, clock=door.local_now, secret=secret)
        )

    with door.unlocked(repaired, key_file) as done:
        if done.gone:
            screen.note(
                f"Nothing of it can be read: {done.reason} An empty memory begins, in clear; what "
                "was said is whole in the conversations: anima sessions list."
            )
        else:
            screen.note(f"Kept {records(done.kept)}.")
        if done.reason and not done.gone:
            screen.note(f"What came after them was damaged: {done.reason}")
        if done.lost:
            lost = ", ".join(f"#{each}" for each in done.lost)
            screen.note(f"What these said is lost: {lost}.")
        screen.data(str(done.aside))


COMMANDS = (memory_verify, memory_seal, memory_convert, memory_repair)
