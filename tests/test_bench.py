import json

import pytest

from tools import bench, bench_device, bench_engines
from tools.bench_table import row, table, taking_turns


def test_the_device_rows_run_at_a_toy_shape_on_the_cpu(tmp_path, capsys, monkeypatch):
    for module in (bench_engines, bench_device):
        monkeypatch.setattr(module, "DECODED", 4)
    report = tmp_path / "bench.json"
    arguments = ["--rows", "device", "--shape", "toy", "--device", "cpu", "--repetitions", "1"]
    assert bench.main([*arguments, "--json", str(report)]) == 0
    written = json.loads(report.read_text(encoding="utf-8"))
    assert written["surroundings"]["shape"] == "toy"
    found = {(each["what"], each["whose"]) for each in written["rows"]}
    assert {
        ("decode", "anima"), ("decode", "anima, tapped"), ("decode", "transformers"),
        ("decode, share of the bandwidth bound", "anima"), ("bandwidth, read", "the device"),
        ("prefill", "anima"),
    } <= found  # fmt: skip
    assert all(each["least"] <= each["median"] <= each["most"] for each in written["rows"])
    assert "| decode | anima |" in capsys.readouterr().out


def test_measures_take_turns_and_the_first_round_warms_up():
    calls = []

    def measure(name, values):
        def once():
            calls.append(name)
            return values.pop(0)

        return once

    rows = taking_turns(
        {("decode", "anima"): measure("a", [9.0, 1.0, 3.0]),
         ("decode", "other"): measure("b", [9.0, 2.0, 2.0])},
        2, "tokens/s",
    )  # fmt: skip
    assert calls == ["a", "b"] * 3
    assert [(each.median, each.least, each.most, each.n) for each in rows] == [
        (2.0, 1.0, 3.0, 2), (2.0, 2.0, 2.0, 2),
    ]  # fmt: skip


def test_the_table_says_how_anima_stands_to_each_other():
    rows = [row("decode", "anima", [30.0], "tokens/s"), row("decode", "other", [20.0], "tokens/s")]
    lines = table(rows).splitlines()
    assert lines[2].endswith("| 1 |  |")
    assert lines[3].endswith("| 1 | 1.50 × |")


def test_rows_that_are_not_known_are_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--rows", "nothing"])
    assert "nothing" in capsys.readouterr().err
