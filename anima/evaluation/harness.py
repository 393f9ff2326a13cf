"""An evaluation as cells that are measured once each, kept, and tabulated; knows no model, no arm.

A cell is one unit (a concept, a prompt) under one arm in one group (a mode). Cells are measured in
batches and each batch's rows are appended to a journal beside the result, so that a run which was
stopped, or whose budget ran out, goes on where it was. Tables resample whole units, never rows.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from anima.errors import CorruptStateError, UsageError
from anima.home import append_durably, make_folder, write_atomically
from anima.version import __version__

if TYPE_CHECKING:
    import numpy

    from anima.config import Settings
    from anima.evaluation.statistics import Estimate
    from anima.home import Home

Size = Literal["smoke", "full"]
Row = Mapping[str, Any]
"""What one cell showed, in JSON; `group`, `unit` and `arm` are added by the harness."""

OFF, ZOMBIE, PLACEBO, SHUFFLED = "off", "zombie", "placebo", "shuffled"
RANDOM_FEATURE, WRONG_SIGN, NOISE = "random feature", "wrong sign", "matched-norm noise"
MEAN_DIFFERENCE, PCA, PROMPT_ONLY = "diff of means", "PCA", "prompt only"
"""The controls, named alike in every evaluation:

off: nothing is computed. zombie: everything is computed and learned, nothing applied. placebo:
matched-norm Gaussian in place of what was learned. shuffled: the same values, permuted features.
"""

_REMEDY = "Choose another file with --json FILE."


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One unit under one arm in one group; `group` is empty where there is only one."""

    unit: str
    arm: str
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asked for: where files are, which model, how much, from which seed.

    `options` are those of one evaluation alone, by their names on the command line.
    """

    home: "Home"
    settings: "Settings"
    size: Size
    seed: int
    judge: Literal["sentences", "words"]
    say: Callable[[str], None]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a table: the figures of one arm in one group, by name, each with its interval."""

    group: str
    arm: str
    figures: Mapping[str, "Estimate"]


Tabulate = Callable[[Sequence[Row], "numpy.random.Generator"], list[Line]]


@dataclass(frozen=True, kw_only=True)
class Study:
    """An evaluation made ready.

    `measure` gets up to `batch` cells of one group and arm and returns a row for each, in order.
    `settings` is what a resumed run has to share: a journal with other settings is refused. `unit`
    is what n counts. `close` gives back what `measure` holds.
    """

    name: str
    unit: str
    cells: tuple[Cell, ...]
    measure: Callable[[Sequence[Cell]], Sequence[Row]]
    tabulate: Tabulate
    settings: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 8
    close: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        if len(set(self.cells)) != len(self.cells):
            raise UsageError(f"{self.name}: a cell is there twice; each is measured once.")
        if self.batch < 1:
            raise UsageError(f"{self.name}: a batch of {self.batch} cells cannot be.")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The rows that there are by now, in the order of the cells, and the table made of them."""

    study: str
    unit: str
    settings: Mapping[str, Any]
    rows: tuple[Row, ...]
    lines: tuple[Line, ...]
    wanted: int

    @property
    def complete(self) -> bool:
        """Whether every cell was measured."""
        return len(self.rows) == self.wanted


def run(
    study: Study,
    *,
    seed: int,
    journal: Path | None = None,
    minutes: float | None = None,
    clock: Callable[[], float],
    say: Callable[[str], None],
) -> Outcome:
    """Measure the cells that the journal does not hold yet, until done or until time is up.

    `minutes` are by `clock` (seconds) and are looked at between two batches: the one in progress
    is finished. Raises UsageError where the journal belongs to another study or other settings.
    """
    import numpy

    kept = _Journal(journal, study, say)
    left = [cell for cell in study.cells if cell not in kept.rows]
    if len(left) < len(study.cells):
        say(f"{len(study.cells) - len(left)} of {len(study.cells)} cells were measured before")
    end = math.inf if minutes is None else clock() + 60 * minutes
    for batch in _batches(left, study.batch):
        if clock() >= end:
            break
        kept.add(batch, study.measure(batch))
        say(f"{len(kept.rows)} of {len(study.cells)} cells: {batch[-1].group} {batch[-1].arm}")
    rows = tuple(kept.rows[cell] for cell in study.cells if cell in kept.rows)
    lines = tuple(study.tabulate(rows, numpy.random.default_rng(seed))) if rows else ()
    return Outcome(
        study=study.name, unit=study.unit, settings=study.settings, rows=rows, lines=lines,
        wanted=len(study.cells),
    )  # fmt: skip


def means(measures: Sequence[str]) -> Tabulate:
    """A table of the mean of each measure per group and arm, with bootstrap intervals over units.

    Rows that lack a measure, or hold null there, are left out of it. Several rows of a unit are
    averaged first.
    """

    def tabulate(rows: Sequence[Row], generator: "numpy.random.Generator") -> list[Line]:
        from anima.evaluation.statistics import bootstrap, by_unit

        lines = []
        for (group, arm), members in grouped(rows).items():
            figures = {}
            for measure in measures:
                values = [
                    (row["unit"], float(row[measure]))
                    for row in members
                    if row.get(measure) is not None
                ]
                if values:
                    figures[measure] = bootstrap(list(by_unit(values).values()), generator)
            lines.append(Line(group=group, arm=arm, figures=figures))
        return lines

    return tabulate


def with_fresh(tabulate: Tabulate) -> Tabulate:
    """The same table, group by group, and below each group its fresh prompts alone, if it has both.

    Rows say by `fresh` whether their prompt was written after what is judged was made.
    """

    def both(rows: Sequence[Row], generator: "numpy.random.Generator") -> list[Line]:
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(row["group"], []).append(row)
        for group, members in list(groups.items()):
            fresh: list[Row] = [
                {**row, "group": f"{group}, fresh"} for row in members if row.get("fresh")
            ]
            if 0 < len(fresh) < len(members):
                groups[f"{group}, fresh"] = fresh
        order = sorted(groups, key=lambda name: list(groups).index(name.removesuffix(", fresh")))
        return tabulate([row for name in order for row in groups[name]], generator)

    return both


def grouped(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by group and arm, both in the order in which they first appear."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["group"], row["arm"]), []).append(row)
    return found


def write_report(path: Path, outcome: Outcome) -> None:
    """Write rows and table as one JSON file, atomically; raises StorageError."""
    make_folder(path.absolute().parent)
    report = {
        "evaluation": outcome.study,
        "version": __version__,
        "settings": dict(outcome.settings),
        "unit": outcome.unit,
        "complete": outcome.complete,
        "cells": {"measured": len(outcome.rows), "wanted": outcome.wanted},
        "table": [
            {
                "group": line.group,
                "arm": line.arm,
                **{name: _figure(value) for name, value in line.figures.items()},
            }
            for line in outcome.lines
        ],
        "rows": [dict(row) for row in outcome.rows],
    }
    text = json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(path, (text + "\n").encode(), remedy=_REMEDY)


def journal_of(path: Path) -> Path:
    """Where the finished cells of the result `path` are kept."""
    return path.with_name(f"{path.name}.cells.jsonl")


def _figure(value: "Estimate") -> dict[str, Any]:
    return {name: number for name, number in asdict(value).items() if name != "level"}


def _batches(cells: Sequence[Cell], size: int) -> Iterator[list[Cell]]:
    """Neighbouring cells of one group and arm, at most `size` together."""
    for _, same in groupby(cells, key=lambda cell: (cell.group, cell.arm)):
        members = list(same)
        for start in range(0, len(members), size):
            yield members[start : start + size]


class _Journal:
    """The rows by cell, in memory and, where there is a path, on disk after every batch."""

    def __init__(self, path: Path | None, study: Study, say: Callable[[str], None]) -> None:
        self.rows: dict[Cell, Row] = {}
        self._path = path
        self._offset = 0
        header = {"evaluation": study.name, "settings": dict(study.settings)}
        if path is None:
            return
        make_folder(path.absolute().parent)
        if path.exists():
            self._read(path, header, say)
        if self._offset == 0:
            self._append([header])

    def add(self, cells: Sequence[Cell], rows: Sequence[Row]) -> None:
        """Keep the rows of a batch; they are on disk when this returns."""
        if len(cells) != len(rows):
            raise UsageError(f"{len(cells)} cells were measured and gave {len(rows)} rows.")
        full = [{**asdict(cell), **row} for cell, row in zip(cells, rows, strict=True)]
        if self._path is not None:
            self._append(full)
        self.rows.update(zip(cells, full, strict=True))

    def _append(self, records: Sequence[Row]) -> None:
        assert self._path is not None
        lines = (
            json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records
        )
        content = "".join(lines).encode()
        append_durably(self._path, content, offset=self._offset)
        self._offset += len(content)

    def _read(self, path: Path, header: Row, say: Callable[[str], None]) -> None:
        whole, torn = _whole_lines(path)
        if torn:
            say(f"The last line of {path} was cut off; that cell is measured again")
        if not whole:
            return
        found = _parsed(path, whole)
        if found[0] != json.loads(json.dumps(header)):
            raise UsageError(
                f"{path} holds cells of another evaluation, size, seed, model or setting. "
                "Remove it to begin anew, or choose another file with --json FILE."
            )
        for row in found[1:]:
            self.rows[Cell(unit=row["unit"], arm=row["arm"], group=row["group"])] = row
        self._offset = sum(len(line) for line in whole)


def _whole_lines(path: Path) -> tuple[list[bytes], bool]:
    lines = path.read_bytes().splitlines(keepends=True)
    torn = bool(lines) and not lines[-1].endswith(b"\n")
    return (lines[:-1] if torn else lines), torn


def _parsed(path: Path, lines: Sequence[bytes]) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise CorruptStateError(
            f"{path} is damaged: {error}. Remove it to measure its cells again."
        ) from error
