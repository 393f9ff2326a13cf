"""What the subcommands of `anima memory` print: lines, hits, figures, verdicts; opens no memory.

A report is an answer, so it goes to the screen's `out`: a table for people, or JSON.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anima.terminal.reports import print_json, screen_width
from anima.terminal.screen import Screen, columns, shortened, shown

if TYPE_CHECKING:
    from datetime import datetime

    from anima.memory import Hit, Line, Memory, Reply, Verdict
    from anima.memory.racing import Held
    from anima.memory.temporal import Answer

_NARROWEST = 20


def line_json(line: "Line") -> dict[str, Any]:
    """A line without its vectors."""
    return {
        "seq": line.seq,
        "anchor": line.anchor,
        "text": line.text,
        "role": line.role,
        "timestamp": line.timestamp.isoformat(),
        "context": dict(line.context),
    }


def hit_json(hit: "Hit") -> dict[str, Any]:
    """A line that was found, with the contexts of what was merged into it, and its score."""
    return {
        **line_json(hit.line),
        "merged": [each.context.get("context", {}) for each in hit.merged],
        "score": hit.score,
        "terms": None if hit.terms is None else dict(hit.terms),
    }


def reply_json(reply: "Reply") -> dict[str, Any]:
    """An answer; its lines are there whether it abstained or not."""
    return {"abstained": reply.abstained, "lines": [hit_json(each) for each in reply.hits]}


def print_line_json(screen: Screen, value: object) -> None:
    """One JSON value in one line."""
    screen.data(json.dumps(value, ensure_ascii=False))


def found(screen: Screen, reply: "Reply", *, explain: bool) -> None:
    """The lines that were found, the best first."""
    if reply.abstained:
        nearest = " The nearest lines:" if reply.hits else ""
        screen.note(f"The memory does not know that.{nearest}")
    if not reply.hits:
        return
    rows = [(f"{each.score:.2f}", *_cells(each.line)) for each in reply.hits]
    printed = _fitted([("SCORE", "LINE", "SAID", "ROLE", "TEXT"), *rows])
    screen.data(printed[0])
    for text, hit in zip(printed[1:], reply.hits, strict=True):
        screen.data(text)
        if explain and hit.terms is not None:
            terms = "  ".join(f"{name} {value:.3f}" for name, value in hit.terms.items())
            screen.data(f"      {terms}")


def lines(screen: Screen, found: "Sequence[Line]") -> None:
    """Lines, one below the other."""
    if found:
        for text in _fitted([("LINE", "SAID", "ROLE", "TEXT"), *map(_cells, found)]):
            screen.data(text)


def held_json(held: "Held") -> dict[str, Any]:
    """What a line said of one thing, and from when to when it held."""
    return {
        **line_json(held.line),
        "attribute": held.attribute,
        "value": held.value,
        "holds": held.holds,
        "since": held.since.isoformat(),
        "until": None if held.until is None else held.until.isoformat(),
        "confidence": held.confidence,
    }


def intervals(screen: Screen, held: "Sequence[Held]") -> None:
    """What was said of one thing, with when it began and ceased to hold."""
    rows = [
        (
            f"#{each.line.seq}",
            when(each.since),
            "now" if each.until is None else when(each.until),
            (each.value or "-") if each.holds else f"not {each.value}".rstrip(),
            each.line.text,
        )
        for each in held
    ]
    for text in _fitted([("LINE", "FROM", "TO", "VALUE", "TEXT"), *rows]):
        screen.data(text)


def one(screen: Screen, line: "Line", memory: "Memory") -> None:
    """One record with all that is kept of it but its vectors."""
    for row in columns([(name, shown(value)) for name, value in _facts(line, memory) if value]):
        screen.data(row)
    if line.content is None:
        screen.note("What it said was erased.")
    elif line.text:
        screen.data("")
        for row in shown(line.text).split("\n"):
            screen.data(f"  {row}")


def facts(screen: Screen, rows: Mapping[str, object], *, as_json: bool) -> None:
    """Names and values."""
    if as_json:
        print_json(screen, rows)
        return
    shown_rows = [(name, _spoken(value)) for name, value in rows.items() if value not in (None, {})]
    for row in columns(shown_rows):
        screen.data(row)


def table(screen: Screen, answer: "Answer", *, as_json: bool) -> None:
    """An answer in SQL; as JSON one object a row, by the names of the columns."""
    if as_json:
        print_json(screen, [dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
        return
    rows = [["" if cell is None else _cell(cell) for cell in row] for row in answer.rows]
    for text in _fitted([list(answer.columns), *rows]):
        screen.data(text)


def verdict(screen: Screen, found: "Verdict", *, expected: str) -> None:
    """The three verdicts: the chain, the pinned head, the tail that no seal speaks of."""
    for row in columns(
        [
            ("chain", _chain(found)),
            ("pinned head", _pinned(found, expected)),
            ("unpinned tail", _tail(found)),
        ]
    ):
        screen.data(row)


def verdict_json(found: "Verdict") -> dict[str, Any]:
    return {
        "whole": found.whole,
        "chain": {
            "count": found.count,
            "head": found.head,
            "broken": found.broken,
            "reason": found.reason or None,
            "erased": found.erased,
            "locked": found.locked,
        },
        "pinned": found.pinned,
        "unpinned": found.unpinned,
    }


def when(moment: "datetime") -> str:
    """A time as people of this machine read it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def records(count: int) -> str:
    return f"{count:,} record{'s' * (count != 1)}"


def _chain(found: "Verdict") -> str:
    if found.broken is not None:
        return f"BROKEN at record {found.broken}: {found.reason}"
    also = [f"{found.erased:,} erased"] * bool(found.erased)
    also += [f"{found.locked:,} locked: only their anchors were checked"] * bool(found.locked)
    extra = f" ({'; '.join(also)})" if also else ""
    return f"whole, {records(found.count)}{extra}"


def _pinned(found: "Verdict", expected: str) -> str:
    return {
        "none": "there is no seal: anima memory seal makes one",
        "matches": f"as {expected} says",
        "differs": f"ANOTHER LINE stands where {expected} has its last one: it was rewritten",
        "missing": f"MISSING: {expected} speaks of more records than there are",
    }[found.pinned]


def _tail(found: "Verdict") -> str:
    if found.pinned == "none":
        return f"all {records(found.unpinned)}"
    return "none" if not found.unpinned else f"{records(found.unpinned)} since the seal"


def _facts(line: "Line", memory: "Memory") -> list[tuple[str, str]]:
    context = json.dumps(dict(line.context), ensure_ascii=False) if line.context else ""
    return [
        ("line", f"#{line.seq}"),
        ("anchor", line.anchor),
        ("kind", line.kind),
        ("role", line.role),
        ("said", line.timestamp.astimezone().isoformat(timespec="seconds")),
        ("in force", "yes" if memory.in_force(line.seq) else "no"),
        ("held until", _held_until(line, memory)),
        ("about line", f"#{line.header.target}" if line.header.target else ""),
        ("context", context),
        ("novelty", "" if line.novelty is None else f"{line.novelty:.3f}"),
        ("valence", "" if line.valence is None else f"{line.valence:+.3f}"),
    ]


def _held_until(line: "Line", memory: "Memory") -> str:
    until = memory.intervals_of(line.seq)[1] if line.kind == "line" else None
    return "" if until is None else until.astimezone().isoformat(timespec="seconds")


def _cells(line: "Line") -> tuple[str, str, str, str]:
    return f"#{line.seq}", when(line.timestamp), line.role, line.text


def _fitted(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as columns, the last cell of each cut to what the window has left for it."""
    taken = max(len(line) for line in columns([(*map(shown, row[:-1]), "") for row in rows]))
    room = max(screen_width() - taken - 2, _NARROWEST)
    return columns([(*map(shown, row[:-1]), shortened(shown(row[-1]), room)) for row in rows])


def _cell(value: object) -> str:
    return shortened(str(value), 200)


def _spoken(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_spoken(each)}" for name, each in value.items())
    return str(value)
