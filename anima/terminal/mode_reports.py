"""What `anima mode` prints of modes; knows their files, and no model.

A report is an answer, so it goes to the screen's `out`: a table for people, or JSON.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from anima.errors import SteeringError
from anima.terminal import reports
from anima.terminal.looking import named
from anima.terminal.screen import Screen, columns, shortened
from anima.terminal.turns import percent

if TYPE_CHECKING:
    from anima.prism.mode import Mode
    from anima.prism.shelf import Shelf


def rows(shelf: "Shelf") -> list[dict[str, Any]]:
    """Every mode of a shelf as JSON; `problem` says why one cannot be read."""
    return [_row(shelf, name, origin) for name, origin in shelf.names().items()]


def _row(shelf: "Shelf", name: str, origin: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "origin": origin}
    try:
        found = shelf.load(name)
    except SteeringError as error:
        empty = dict.fromkeys(("description", "strength", "kl_p95", "features", "vectors"))
        return row | empty | {"problem": str(error)}
    return row | {
        "description": found.description,
        "strength": found.strength,
        "kl_p95": found.calibration.kl_p95 if found.calibration else None,
        "features": len(found.features),
        "vectors": len(found.vectors),
        "problem": None,
    }


def print_rows(screen: Screen, rows: Sequence[dict[str, Any]]) -> None:
    """The modes as a table, and below it what is wrong with one."""
    head = ("MODE", "FROM", "STRENGTH", "KL P95", "PUSHES", "")
    cells = [
        (row["name"], row["origin"], _figure(row["strength"], "g"), _figure(row["kl_p95"], ".2f"),
         str((row["features"] or 0) + (row["vectors"] or 0) or ""),
         row["description"] or ("! cannot be read, see below" if row["problem"] else ""))
        for row in rows
    ]  # fmt: skip
    taken = max(len(line) for line in columns([(*row[:-1], "") for row in [head, *cells]]))
    room = max(reports.screen_width() - taken - 2, 10)
    reports.print_table(screen, head, [(*row[:-1], shortened(row[-1], room)) for row in cells])
    for row in rows:
        if row["problem"]:
            screen.error(f"{row['name']}: {row['problem']}")


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def print_mode(screen: Screen, found: "Mode", origin: str) -> None:
    """One mode: what it is, how it was measured, and its pushes."""
    measured = found.calibration
    rows = [
        ("name", f"{found.name} ({origin})"),
        ("description", found.description or "-"),
        ("model", f"{found.model}, layer {found.layer}"),
        ("SAE", found.sae or "-"),
        ("strength", f"{found.strength:g}"),
        ("sampling", ", ".join(f"{k} {v:g}" for k, v in found.sampling.items()) or "-"),
        ("measured", "not yet: anima mode calibrate" if measured is None else
         f"KL p95 {measured.kl_p95:.2f}, mean {measured.kl_mean:.2f} nats over "
         f"{measured.tokens} tokens of {measured.prompts} replies"),
    ]  # fmt: skip
    for line in columns(rows):
        screen.data(line)
    pushes = [(p.operation, percent(p.strength), named(p.feature, p.label)) for p in found.features]
    pushes += [(v.operation, percent(v.strength), f"vector {v.name}") for v in found.vectors]
    if pushes:
        screen.data("")
        reports.print_table(screen, ("OPERATION", "OF ‖h‖", "PUSH"), pushes)
