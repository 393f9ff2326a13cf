"""`anima memory put|import|export|forget`: lines into a memory, out of it, and out of force.

Nothing is printed as done before it is durable and the persona's head says so. At start this
module imports click and the errors, nothing else.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from anima.errors import UsageError
from anima.terminal import asking, flags
from anima.terminal.shell import memory_door as door

if TYPE_CHECKING:
    from anima.memory import Line
    from anima.memory.exchange import Given
    from anima.runtime.remembering import Door
    from anima.terminal.screen import Screen

_BATCH = 256  # lines of one durable commit
_CHUNK = 1 << 16  # bytes, at most, that are taken at once of what a pipe has ready
_EVERY = 2.0  # seconds between two words of progress


@click.command("put")
@click.argument("words", nargs=-1)
@click.option(
    "--jsonl",
    "file",
    type=door.existing_file,
    metavar="FILE|-",
    help="Lines, one JSON object each.",
)
@click.option("--race", is_flag=True, help="Merge what is known, close what it replaces.")
@click.option("--role", metavar="ROLE", help="Whose words these are; user by default.")
@click.option("--time", "at", metavar="TIME", help="When it was said; now by default.")
@click.option("--context", metavar="JSON", help="An object that is kept with it.")
@flags.json
@door.common
def memory_put(
    ctx: click.Context,
    words: tuple[str, ...],
    file: str | None,
    race: bool,
    role: str | None,
    at: str | None,
    context: str | None,
    as_json: bool,
    key_file: str | None,
) -> None:
    """Remember a text, or a file of lines; prints the anchor of each.

    A line of the file is {"text", "role", "timestamp", "context"}, all but the text optional. Lines
    are appended as they are given, with --race each goes through race and trace. Anchors are
    printed once their lines are safe on disk, some hundred at a time.

    \b
    anima memory put "Ada moved to Rome." --time 2026-05-01
    anima memory put --jsonl lines.jsonl --json
    """
    text = " ".join(words)
    given = {"role": role, "timestamp": at, "context": context}
    if (file is None) != bool(words):
        raise UsageError("Give either a text, or --jsonl FILE, or --jsonl - for stdin.")
    if file is not None and any(value is not None for value in given.values()):
        raise UsageError("--role, --time and --context go with one text; a file has its own.")
    if file is None:
        line = _line_of(text, given)
        with door.writing(ctx, key_file) as (screen, opened):
            _Putting(screen, opened, race=race, as_json=as_json).put([line])
        return
    with door.opened_file(file) as (content, name):
        batches = _streamed(content, name) if file == "-" else _batched(_checked(content, name))
        with door.writing(ctx, key_file) as (screen, opened):
            _Putting(screen, opened, race=race, as_json=as_json).put_all(batches)


class _Putting:
    """Puts batches of lines, each in one durable commit, and prints what became of them."""

    def __init__(self, screen: "Screen", opened: "Door", *, race: bool, as_json: bool) -> None:
        self._screen, self._opened = screen, opened
        self._race, self._as_json = race, as_json
        self._count, self._spoke = 0, time.monotonic()
        self._said_of_zones = False

    def put_all(self, batches: "Iterable[Sequence[Given]]") -> None:
        whole = False
        try:
            for batch in batches:
                self.put(batch)
                self._speak()
            whole = True
        finally:
            # Also before an error: what was remembered so far stays.
            if self._count or whole:
                self._screen.note(f"{_lines(self._count)} remembered.")

    def put(self, batch: "Sequence[Given]") -> None:
        self._speak_of_zones(batch)
        if self._race:
            decided = self._raced(batch)
        else:
            lines = self._opened.memory.remember(batch)
            decided = [{"seq": line.seq, "anchor": line.anchor} for line in lines]
        self._opened.commit()
        self._count += len(batch)
        for each in decided:
            self._print(each)

    def _raced(self, batch: "Sequence[Given]") -> list[dict[str, Any]]:
        from anima.memory.claims.race import Said

        for each in batch:
            if each.key is not None or each.value is not None:
                raise UsageError(f"{each.place}: --race goes by words; leave key and value out.")
        said = [
            Said(
                text=each.text, role=each.role, timestamp=each.timestamp,
                context=each.context, valence=each.valence,
            )
            for each in batch
        ]  # fmt: skip
        return [
            {
                "seq": None if each.line is None else each.line.seq,
                "anchor": None if each.line is None else each.line.anchor,
                "decision": each.kind,
                "target": each.target or None,
                "closed": list(each.closed),
                "reason": each.reason,
            }
            for each in self._opened.memory.race(said)
        ]

    def _print(self, decided: dict[str, Any]) -> None:
        from anima.memory.line import SHORT
        from anima.terminal.memory_reports import print_line_json

        if self._as_json:
            print_line_json(self._screen, decided)
            return
        words = [(decided["anchor"] or "-" * SHORT)[:SHORT]]
        if self._race:
            target = f" #{decided['target']}" if decided["target"] else ""
            words.append(f"{decided['decision']}{target}")
        self._screen.data("  ".join(words))

    def _speak(self) -> None:
        if time.monotonic() - self._spoke >= _EVERY:
            self._spoke = time.monotonic()
            self._screen.progress(f"{self._count:,} lines …")

    def _speak_of_zones(self, batch: "Sequence[Given]") -> None:
        if not self._said_of_zones and any(each.local for each in batch):
            self._said_of_zones = True
            self._screen.note("Times without a zone are taken as times of this machine.")


def _line_of(text: str, given: dict[str, str | None]) -> "Given":
    """The one line of the command line; raises UsageError that names the flag."""
    import json

    from anima.memory import exchange

    document: dict[str, Any] = {"text": text, **{k: v for k, v in given.items() if v is not None}}
    if given["context"] is not None:
        try:
            document["context"] = json.loads(given["context"])
        except (ValueError, RecursionError) as error:
            raise UsageError(f"--context is not JSON: {error}.") from error
    moment, local = exchange.moment_of(given["timestamp"], "--time")
    document["timestamp"] = None if moment is None else moment.isoformat()
    from dataclasses import replace

    (line,) = exchange.given([("The command line", document)])
    exchange.check(line)
    return replace(line, local=local)


def _checked(file: IO[bytes], name: str) -> "list[Given]":
    """Every line of a file, checked before the first is remembered."""
    from anima.memory import exchange

    lines = list(exchange.read(file, name))
    for each in lines:
        exchange.check(each)
    return lines


def _batched(lines: "Sequence[Given]") -> "Iterator[Sequence[Given]]":
    for start in range(0, len(lines), _BATCH):
        yield lines[start : start + _BATCH]


def _streamed(file: Any, name: str) -> "Iterator[Sequence[Given]]":
    """What a pipe has ready, at most so much at once: who waits for an anchor need not go on."""
    from anima.memory import exchange

    rest, number = b"", 0
    while chunk := file.read1(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from _batched(list(exchange.read(whole, name, first=number + 1)))
        number += len(whole)
    if rest.strip():
        yield list(exchange.read([rest], name, first=number + 1))


def _lines(count: int) -> str:
    return f"{count:,} line{'s' * (count != 1)}"


@click.command("import")
@click.argument("file", type=door.existing_file, metavar="FILE|-")
@door.common
def memory_import(ctx: click.Context, file: str, key_file: str | None) -> None:
    """Remember the lines of an export, all of them or none.

    Lines that are here already (the same words, role, time and context) are passed over, and so is
    what was forgotten where they come from; what was closed or merged there is so here. Each new
    line gets a new anchor. To move a whole memory with its chain, take its persona: anima persona
    export.
    """
    with door.opened_file(file) as (content, name), door.writing(ctx, key_file) as (screen, opened):
        found = opened.memory.import_lines(content, name)
        opened.commit()
        screen.note(f"{_lines(len(found.lines))} remembered.")
        if found.known:
            gone = sum(not opened.memory.in_force(seq) for seq in set(found.known))
            screen.note(_there(len(found.known), gone))


def _there(known: int, gone: int) -> str:
    """Say what an import passed over, and how much of it no longer counts here."""
    were = "was" if known == 1 else "were"
    so = f" {gone:,} of them no longer count{'s' * (gone == 1)} here: forgotten stays forgotten."
    return f"{_lines(known)} {were} there already.{so if gone else ''}"


@click.command("export")
@click.argument("file", type=door.new_file, metavar="FILE|-")
@flags.yes
@door.common
def memory_export(ctx: click.Context, file: str, yes: bool, key_file: str | None) -> None:
    """Write every record as JSON, one a line, in clear.

    What was forgotten is in it and marked, what was erased is not.
    """
    target = None if file == "-" else Path(file).absolute()
    with door.reading(ctx, key_file) as (screen, opened):
        if target is None:
            for line in opened.lines():
                screen.data(opened.as_json(line))
        elif asking.may_write(target, yes=yes):
            count = opened.export(target)
            screen.note(f"Wrote {count:,} record{'s' * (count != 1)} to {target}.")
        else:
            screen.note("Nothing was written.")


@click.command("forget")
@click.argument("lines", metavar="LINE...", nargs=-1, required=True)
@click.option("--erase", is_flag=True, help="Erase what it said for good; the chain still holds.")
@flags.yes
@door.common
def memory_forget(
    ctx: click.Context, lines: tuple[str, ...], erase: bool, yes: bool, key_file: str | None
) -> None:
    """Let lines no longer count.

    They stay in the ledger, marked, unless --erase: then what they said is gone for good, and only
    their anchors stay. Conversations keep what was said in them: anima sessions rm removes those.
    """
    from anima.terminal.screen import shortened

    with door.writing(ctx, key_file) as (screen, opened):
        found: list[Line] = [opened.memory.line(door.numbered(each)) for each in lines]
        for line in {each.seq: each for each in found}.values():
            said = f"#{line.seq} “{shortened(line.text, 40)}”"
            if erase and not asking.agreed(f"Erase {said}? It cannot be brought back.", yes=yes):
                screen.note(f"{said} stays.")
                continue
            (opened.memory.erase if erase else opened.memory.forget)(line.seq)
            opened.commit()
            screen.note(f"{'Erased' if erase else 'Forgot'} {said}.")


COMMANDS = (memory_put, memory_import, memory_export, memory_forget)
