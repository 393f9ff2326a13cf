"""`anima memory`: what a persona remembers, for people and for scripts; here what only reads.

At start this module imports click and the errors, nothing else.
"""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anima.errors import UsageError
from anima.terminal import flags
from anima.terminal.shell import memory_door as door
from anima.terminal.shell import memory_keeping as keeping
from anima.terminal.shell import memory_secrets as secrets
from anima.terminal.shell import memory_writing as writing

if TYPE_CHECKING:
    from anima.memory import Memory

_FIELDS = ("id", "text", "at")
_count = click.option(
    "-n",
    "count",
    type=click.IntRange(min=1),
    default=20,
    metavar="N",
    help="At most so many; 20 by default.",
)
_at = click.option(
    "--at", metavar="TIME", help="As it was then: ISO 8601, or a date for its first moment."
)


@click.group("memory", cls=flags.Commands)
def memory() -> None:
    """What a persona remembers: put in, find, keep whole.

    LINE is a number such as 12, or an anchor. The memory of a persona that is in use can be read,
    as of its last saved turn; to write to it, close the chat first. An encrypted one asks for its
    passphrase at a terminal; scripts give --key-file FILE or set ANIMA_MEMORY_PASSPHRASE.

    \b
    anima memory put "Ada moved to Rome."
    anima memory query "Where does Ada live?"
    anima memory put --jsonl lines.jsonl
    anima memory query --batch questions.jsonl --json
    """


@memory.command("query")
@click.argument("words", nargs=-1)
@click.option(
    "--batch", type=door.existing_file, metavar="FILE|-", help="Questions, one JSON object a line."
)
@click.option(
    "-k",
    "count",
    type=click.IntRange(min=1),
    default=5,
    metavar="N",
    help="So many lines; 5 by default.",
)
@_at
@click.option("--explain", is_flag=True, help="Show what each score is made of.")
@flags.json
@door.common
def memory_query(
    ctx: click.Context,
    words: tuple[str, ...],
    batch: str | None,
    count: int,
    at: str | None,
    explain: bool,
    as_json: bool,
    key_file: str | None,
) -> None:
    """Find the lines that answer a question, the best first.

    With --batch FILE each line of the file is {"id", "text"} and, as --at, "at"; each answer is
    one line of JSON: {"id", "abstained", "lines"}. "abstained" says that nothing in the memory
    answers it; the nearest lines are there all the same.

    \b
    anima memory query "Where does Ada live?" -k 3
    anima memory query "Where does Ada live?" --at 2026-05-01
    anima memory query --batch questions.jsonl -k 10 --json
    """
    from anima.terminal import memory_reports as reports
    from anima.terminal.reports import print_json

    text = " ".join(words)
    if (batch is None) != bool(text.strip()):
        raise UsageError("Give either a question, or --batch FILE, or --batch - for stdin.")
    if batch is not None and at is not None:
        raise UsageError('--at goes with one question; in a batch each has its own "at".')
    if batch is not None:
        _query_batch(ctx, batch, count, key_file)
        return
    with door.reading(ctx, key_file) as (screen, opened):
        reply = opened.ask(text, count, explain=True, at=door.moment(at, "--at", screen))
    if as_json:
        print_json(screen, reports.reply_json(reply))
    else:
        reports.found(screen, reply, explain=explain)


def _query_batch(ctx: click.Context, batch: str, count: int, key_file: str | None) -> None:
    """Answer a file of questions; all of a file are checked before the first is answered."""
    from anima.terminal import memory_reports as reports

    with door.opened_file(batch) as (file, name):
        asked: Any = _questions(file, name)
        if batch != "-":
            asked = list(asked)
        with door.reading(ctx, key_file) as (screen, opened):
            said = False
            for identity, text, at, local in asked:
                if local and not said:
                    said = True
                    screen.note("Times without a zone are taken as times of this machine.")
                reply = opened.ask(text, count, explain=True, at=at)
                reports.print_line_json(screen, {"id": identity, **reports.reply_json(reply)})


def _questions(file: Any, name: str) -> "Iterator[tuple[object, str, datetime | None, bool]]":
    from anima.memory import exchange

    for place, document in exchange.documents(file, name):
        unknown = sorted(set(document) - set(_FIELDS))
        if unknown:
            raise UsageError(
                f"{place} has an unknown field {unknown[0]!r}; there are {', '.join(_FIELDS)}."
            )
        if document.get("id") is None:
            raise UsageError(f"{place} has no id: give it one, by which its answer is known.")
        text = document.get("text")
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{place} asks nothing: its text is missing or empty.")
        yield (document["id"], text, *exchange.moment_of(document.get("at"), f"{place}: at"))


@memory.command("list")
@_count
@flags.json
@door.common
def memory_list(ctx: click.Context, count: int, as_json: bool, key_file: str | None) -> None:
    """Show the newest lines, the newest first."""
    from anima.terminal import memory_reports as reports
    from anima.terminal.reports import print_json

    with door.reading(ctx, key_file) as (screen, opened):
        newest, everything = opened.peek(count), len(opened)
    if as_json:
        print_json(screen, [reports.line_json(each) for each in newest])
        return
    reports.lines(screen, newest)
    if everything > len(newest):
        screen.note(f"… and {everything - len(newest):,} more: -n {everything} shows all.")
    if not newest:
        screen.note("The memory is empty: anima memory put TEXT puts a line into it.")


@memory.command("show")
@door.line
@flags.json
@door.common
def memory_show(ctx: click.Context, line: str, as_json: bool, key_file: str | None) -> None:
    """Show one record: anchor, context, whether it counts.

    \b
    anima memory show 12
    anima memory show 88b1f0c2a9d3e417 --json
    """
    import json

    from anima.terminal import memory_reports as reports
    from anima.terminal.reports import print_json

    with door.reading(ctx, key_file) as (screen, opened):
        found = opened.line(door.numbered(line))
        if as_json:
            print_json(screen, json.loads(opened.as_json(found)))
        else:
            reports.one(screen, found, opened)


@memory.command("history")
@click.argument("subject")
@click.argument("attribute")
@flags.json
@door.common
def memory_history(
    ctx: click.Context, subject: str, attribute: str, as_json: bool, key_file: str | None
) -> None:
    """Show what was said of one thing, and from when to when it held.

    The person that talks is `user`; others go by their names, or as "my sister".

    \b
    anima memory history user city
    anima memory history "my sister" name
    """
    from anima.terminal import memory_reports as reports
    from anima.terminal.reports import print_json

    with door.reading(ctx, key_file) as (screen, opened):
        held = opened.history(subject, attribute)
    if as_json:
        print_json(screen, [reports.held_json(each) for each in held])
    elif held:
        reports.intervals(screen, held)
    else:
        screen.note(f"Nothing was said of the {attribute} of {subject}.")


@memory.command("stats")
@flags.json
@door.common
def memory_stats(ctx: click.Context, as_json: bool, key_file: str | None) -> None:
    """Show how much there is, in which ledger, and how it is kept."""
    from anima.terminal import memory_reports as reports

    with door.reading(ctx, key_file) as (screen, opened):
        reports.facts(screen, _stats(opened), as_json=as_json)


def _stats(opened: "Memory") -> dict[str, object]:
    """The figures of a memory; everything is read once."""
    from collections import Counter

    from anima.memory import read_seal
    from anima.memory.ledgers.ledger import kind_of
    from anima.terminal import memory_reports as reports

    kinds: Counter[str] = Counter()
    roles: Counter[str] = Counter()
    first = last = width = None
    for line in opened.lines():
        kinds[line.kind] += 1
        if line.kind == "line" and opened.in_force(line.seq):
            roles[line.role] += 1
            first = line.timestamp if first is None else min(first, line.timestamp)
            last = line.timestamp if last is None else max(last, line.timestamp)
            width = width or (None if line.key is None else line.key.size)
    seal = read_seal(opened.place)
    return {
        "lines": len(opened),
        "records": opened.count,
        "kinds": dict(kinds),
        "roles": dict(roles),
        "first": None if first is None else reports.when(first),
        "last": None if last is None else reports.when(last),
        "ledger": kind_of(opened.place),
        "bytes": _size(opened.place),
        "encrypted": opened.encrypted,
        "conversations": "in clear",
        "encoder": getattr(opened, "encoder_name", None),
        "key width": width,
        "head": opened.head,
        "sealed": None if seal is None else seal.count,
    }


def _size(place: Path) -> int:
    names = (place.name, f"{place.name}-wal", f"{place.name}.wal")
    return sum(
        (place.parent / name).stat().st_size
        for name in names
        if os.path.exists(place.parent / name)
    )


@memory.command("sql")
@click.argument("question")
@flags.json
@door.common
def memory_sql(ctx: click.Context, question: str, as_json: bool, key_file: str | None) -> None:
    """Answer one SELECT over a copy of every record.

    The table is `lines`: seq, anchor, kind, role, timestamp (UTC), target, note, text, context
    (JSON), novelty, valence, in_force. Nothing can be changed by it, and no file be read.

    \b
    anima memory sql "SELECT role, count(*) FROM lines GROUP BY role"
    """
    from anima.terminal import memory_reports as reports

    with door.reading(ctx, key_file) as (screen, opened):
        answer = opened.sql(question)
    reports.table(screen, answer, as_json=as_json)


for _command in (*writing.COMMANDS, *keeping.COMMANDS, *secrets.COMMANDS):
    memory.add_command(_command)
