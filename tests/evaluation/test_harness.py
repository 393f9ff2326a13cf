import json

import numpy
import pytest

from anima.errors import CorruptStateError, StorageError, UsageError
from anima.evaluation import catalog, harness
from anima.evaluation.harness import OFF, Cell, Study

UNITS = ("one", "two", "three")


class Laboratory:
    """A study whose cells count how often they were measured; a tick passes with each batch."""

    def __init__(self, *, arms=(OFF, "prism"), batch=2, settings=None):
        self.measured = []
        self.now = 0.0
        self.said = []
        self.study = Study(
            name="demo",
            unit="prompt",
            cells=tuple(Cell(unit=unit, arm=arm, group="g") for arm in arms for unit in UNITS),
            measure=self.measure,
            tabulate=harness.means(["effect", "missing"]),
            settings=settings or {"seed": 1},
            batch=batch,
        )

    def measure(self, cells):
        self.measured.append([(cell.arm, cell.unit) for cell in cells])
        self.now += 60
        return [{"effect": 1.0 if cell.arm == "prism" else 0.0, "text": "ü"} for cell in cells]

    def run(self, path=None, **options):
        return harness.run(
            self.study,
            seed=0,
            journal=path,
            clock=lambda: self.now,
            say=self.said.append,
            **options,
        )


def test_each_cell_is_measured_once_in_batches_of_one_arm():
    laboratory = Laboratory()
    outcome = laboratory.run()
    assert laboratory.measured == [
        [(OFF, "one"), (OFF, "two")],
        [(OFF, "three")],
        [("prism", "one"), ("prism", "two")],
        [("prism", "three")],
    ]
    assert outcome.complete
    assert [row["unit"] for row in outcome.rows] == [*UNITS, *UNITS]


def test_the_table_has_a_line_per_arm_with_n_in_units():
    lines = Laboratory().run().lines
    assert [(line.group, line.arm) for line in lines] == [("g", OFF), ("g", "prism")]
    assert [line.figures["effect"].value for line in lines] == [0, 1]
    assert lines[0].figures["effect"].n == 3
    assert "missing" not in lines[0].figures


def test_a_budget_ends_between_batches_and_the_next_run_goes_on_there(tmp_path):
    path = tmp_path / "cells.jsonl"
    first = Laboratory()
    assert len(first.run(path, minutes=2).rows) == 3
    second = Laboratory()
    outcome = second.run(path)
    assert second.measured == [[("prism", "one"), ("prism", "two")], [("prism", "three")]]
    assert outcome.complete
    assert outcome.rows == Laboratory().run().rows
    assert "3 of 6 cells were measured before" in second.said


def test_what_was_measured_before_an_error_is_kept(tmp_path):
    path = tmp_path / "cells.jsonl"
    broken = Laboratory()
    measure = broken.measure

    def fail_at_prism(cells):
        if cells[0].arm == "prism":
            raise StorageError("full")
        return measure(cells)

    object.__setattr__(broken.study, "measure", fail_at_prism)
    with pytest.raises(StorageError):
        broken.run(path)
    after = Laboratory()
    after.run(path)
    assert [arm for batch in after.measured for arm, _ in batch] == ["prism"] * 3


def test_a_torn_last_line_is_dropped_and_said(tmp_path):
    path = tmp_path / "cells.jsonl"
    Laboratory().run(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    again = Laboratory()
    assert again.run(path).complete
    assert again.measured == [[("prism", "three")]]
    assert any("cut off" in line for line in again.said)
    assert path.read_bytes() == whole


def test_a_journal_cut_within_its_first_line_is_begun_anew(tmp_path):
    path = tmp_path / "cells.jsonl"
    path.write_bytes(b'{"evaluat')
    assert Laboratory().run(path).complete


def test_a_journal_of_other_settings_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "cells.jsonl"
    Laboratory().run(path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="another evaluation"):
        Laboratory(settings={"seed": 2}).run(path)
    assert path.read_bytes() == before


def test_a_damaged_journal_is_said_with_the_remedy(tmp_path):
    path = tmp_path / "cells.jsonl"
    Laboratory().run(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"nonsense\n", *lines[2:]]))
    with pytest.raises(CorruptStateError, match="Remove it"):
        Laboratory().run(path)


def test_the_report_holds_table_rows_and_what_is_missing(tmp_path):
    outcome = Laboratory().run(minutes=1)
    harness.write_report(tmp_path / "out" / "demo.json", outcome)
    report = json.loads((tmp_path / "out" / "demo.json").read_text(encoding="utf-8"))
    assert report["complete"] is False
    assert report["cells"] == {"measured": 2, "wanted": 6}
    assert report["table"][0]["effect"] == {"value": 0, "low": 0, "high": 0, "n": 2}
    assert report["rows"][0]["text"] == "ü"


def test_a_cell_cannot_be_in_a_study_twice():
    with pytest.raises(UsageError, match="twice"):
        Laboratory(arms=(OFF, OFF))


def test_a_measure_that_forgets_a_cell_is_found_out():
    laboratory = Laboratory()
    object.__setattr__(laboratory.study, "measure", lambda cells: [])
    with pytest.raises(UsageError, match="2 cells were measured and gave 0 rows"):
        laboratory.run()


def test_an_unknown_evaluation_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'judge'"):
        catalog.prepare("juge", None)


@pytest.mark.parametrize("evaluation", catalog.EVALUATIONS.values(), ids=lambda each: each.name)
def test_every_evaluation_of_the_catalog_can_be_prepared(evaluation):
    from importlib import import_module

    assert callable(import_module(evaluation.module).prepare)


def test_fresh_prompts_stand_below_their_group_alone_and_only_beside_old_ones():
    def at(group, unit, value, **fresh):
        return {"group": group, "arm": "off", "unit": unit, "effect": value, **fresh}

    rows = [
        at("a", "1", 0.0, fresh=False),
        at("b", "1", 5.0, fresh=True),
        at("a", "2", 1.0, fresh=True),
    ]
    table = harness.with_fresh(harness.means(["effect"]))
    lines = table(rows, numpy.random.default_rng(0))
    found = [(line.group, line.figures["effect"].value, line.figures["effect"].n) for line in lines]
    assert found == [("a", 0.5, 2), ("a, fresh", 1.0, 1), ("b", 5.0, 1)]
