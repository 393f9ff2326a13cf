"""The commands about memory: what it holds, what answers a text, put a line in, take one out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anima.errors import UsageError
from anima.terminal import looking
from anima.terminal.command import Command, Host, say, words
from anima.terminal.keyboard import Choice
from anima.terminal.screen import columns, shortened
from anima.terminal.turns import count

if TYPE_CHECKING:
    from anima.memory import Line, Memory

_LAST = 5  # lines that /memory shows
_FOUND = 5  # lines that /recall shows
_OFFERED = 20  # lines of a completion


def _memory(host: Host, argument: str) -> None:
    if argument == "verify":
        _verify(host, host.runtime.memory)
        return
    if argument:
        raise UsageError(f"/memory takes nothing or the word verify, not {argument!r}.")
    memory = host.runtime.memory
    rows = [
        ("lines", f"{len(memory)} in force, {count(memory.count, 'record')} in the chain"),
        ("ledger", f"{memory.place.name}, {'encrypted' if memory.encrypted else 'in clear'}"),
        ("head", memory.head[:16] if memory.count else "none yet"),
        ("seal", _sealed(memory)),
    ]
    last = memory.peek(_LAST)
    lines = ["", *looking.remembered([_row(line) for line in last], host.width)] if last else []
    say(host, "\n".join([*columns(rows), *lines]))


def _sealed(memory: "Memory") -> str:
    from anima.memory import read_seal

    seal = read_seal(memory.place)
    if seal is None:
        return "none: anima memory seal makes one"
    since = memory.count - seal.count
    tail = f", {count(since, 'record')} since" if since else ""
    return f"of {seal.created[:10]}{tail}; /memory verify compares"


def _verify(host: Host, memory: "Memory") -> None:
    found = memory.verify()
    if found.broken is not None:
        told = f"BROKEN at record {found.broken}: {found.reason}"
    else:
        told = f"The chain is whole: {count(found.count, 'record')}, head {found.head[:16]}."
    pinned = {
        "none": "There is no seal to compare with: anima memory seal makes one.",
        "matches": f"It is the one that was sealed, with {count(found.unpinned, 'record')} since.",
        "differs": "ANOTHER LINE stands where the seal has its last one: it was rewritten.",
        "missing": "The seal speaks of MORE RECORDS than there are.",
    }[found.pinned]
    say(host, f"{told} {pinned}")


def _recall(host: Host, argument: str) -> None:
    if not argument.strip():
        raise UsageError("Say what to look for: /recall TEXT")
    reply = host.runtime.memory.ask(argument, _FOUND, explain=True)
    if reply.abstained:
        nearest = " The nearest lines:" if reply.hits else ""
        say(host, f"The memory does not know that.{nearest}")
    if reply.hits:
        rows = [{**_row(hit.line), "score": hit.score} for hit in reply.hits]
        say(host, "\n".join(looking.remembered(rows, host.width)))


def _remember(host: Host, argument: str) -> None:
    if not argument.strip():
        raise UsageError("Say what to remember: /remember TEXT")
    made = host.runtime.remember(argument)
    say(host, looking.made(made))


def _forget(host: Host, argument: str) -> None:
    chosen, *flags = argument.split()[:3] or [""]
    if not chosen or flags not in ([], ["--erase"], ["--erase", "yes"]):
        raise UsageError("Say which line, by its number or anchor: /forget N or /forget N --erase")
    memory = host.runtime.memory
    line = memory.line(_numbered(chosen))
    told = f"#{line.seq} “{shortened(line.text, 60)}”"
    if flags == ["--erase"] and line.kind == "line":  # a record refuses at once, unasked
        say(
            host,
            f"{told} would be erased for good; its anchor stays, so that the chain goes on "
            "verifying. What was said in conversations stays in their own files. To do it: "
            f"/forget {line.seq} --erase yes",
        )
        return
    if flags:
        memory.erase(line.seq)
        say(host, f"Erased: #{line.seq}. The chain goes on verifying.")
        return
    memory.forget(line.seq)
    again = f"It stays in the chain; /forget {line.seq} --erase erases what it says."
    say(host, f"Not recalled any more: {told}. {again}")


def _numbered(chosen: str) -> int | str:
    digits = chosen.removeprefix("#")
    # An anchor of sixteen digits can be all decimal; no memory has so many lines.
    return int(digits) if digits.isdecimal() and len(digits) < 16 else chosen


def _row(line: "Line") -> Mapping[str, Any]:
    return {
        "seq": line.seq,
        "role": line.role,
        "timestamp": line.timestamp.astimezone().isoformat(),
        "text": line.text,
    }


def _lines(host: Host, argument: str) -> Sequence[Choice]:
    if host.awake is None or host.awake.status()["memory"] is None:
        return ()
    newest = host.awake.memory.peek(_OFFERED)
    return [Choice(str(line.seq), shortened(line.text, 40)) for line in newest]


MEMORY: tuple[Command, ...] = (
    Command(
        name="/memory",
        usage="/memory [verify]",
        help="what Anima remembers: how much, where, the last lines",
        handler=_memory,
        details="/memory verify walks over the whole chain and compares it with the last seal.\n"
        "anima memory --help has more: list, query, export, encrypt …",
        complete=words("verify"),
    ),
    Command(
        name="/recall",
        usage="/recall TEXT",
        help="look into the memory, without asking the model",
        handler=_recall,
        details="The best lines with their scores, whether they would be recalled or not.",
    ),
    Command(
        name="/remember",
        usage="/remember TEXT",
        help="put a line into the memory",
        handler=_remember,
        details="Everything you say is remembered by itself; this is for what you do not want to say.",
    ),
    Command(
        name="/forget",
        usage="/forget N [--erase]",
        help="take a line out of the memory, by number or anchor",
        handler=_forget,
        details="It is not recalled any more; a record in the chain says so. --erase, which asks\n"
        "first, erases what the line says; its anchor stays. /undo takes a whole turn back.",
        complete=_lines,
    ),
)
