"""`anima eval` as a person calls it; the judge needs no language model."""

import json

import pytest


def test_without_a_name_the_evaluations_are_listed(anima):
    code, out, _ = anima("eval")
    assert code == 0
    assert "judge" in out
    assert "prompting" in out


def test_an_evaluation_shows_arms_beside_controls_and_writes_its_rows(anima, tmp_path):
    target = tmp_path / "judge.json"
    code, out, err = anima("eval", "judge", "--judge", "words", "--json", str(target))
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["ARM", "words", "shuffled", "one"]
    report = json.loads(target.read_text(encoding="utf-8"))
    assert report["complete"]
    assert report["table"][0]["accuracy"]["value"] > report["table"][1]["accuracy"]["value"]
    assert "95 % interval" in err


def test_the_same_command_again_measures_nothing_anew(anima, tmp_path):
    target = tmp_path / "judge.json"
    arguments = ("eval", "judge", "--judge", "words", "--json", str(target))
    first = anima(*arguments)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = anima(*arguments)
    assert again[:2] == first[:2]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert sorted(files) == ["judge.json", "judge.json.cells.jsonl"]


def test_a_run_that_is_cut_short_says_what_is_missing(anima, tmp_path):
    target = tmp_path / "judge.json"
    code, _, err = anima(
        "eval", "judge", "--judge", "words", "--json", str(target), "--budget", "1e-9"
    )
    assert code == 0
    assert "of 18 cells were measured: the same command goes on" in err
    assert json.loads(target.read_text(encoding="utf-8"))["complete"] is False


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("eval", "juge"), "Did you mean 'judge'"),
        (("eval", "judge", "--budget", "0"), "--budget 0"),
        (("eval", "judge", "--seed", "-1"), "--seed -1"),
        (("eval", "judge", "--size", "huge"), "huge"),
    ],
)
def test_what_cannot_be_is_named_with_exit_code_2(anima, arguments, named):
    code, out, err = anima(*arguments)
    assert (code, out) == (2, "")
    assert named in err


def test_another_seed_does_not_go_on_with_the_old_cells(anima, tmp_path):
    target = str(tmp_path / "judge.json")
    anima("eval", "judge", "--judge", "words", "--json", target)
    code, _, err = anima("eval", "judge", "--judge", "words", "--json", target, "--seed", "5")
    assert code == 2
    assert "another evaluation" in err


def test_recall_is_asked_of_lives_and_of_a_public_file(anima, tmp_path):
    target = tmp_path / "recall.json"
    code, out, err = anima("eval", "recall", "--half", "tune", "--json", str(target))
    assert code == 0
    assert "seed's concert" in out
    report = json.loads(target.read_text(encoding="utf-8"))
    assert report["complete"]
    assert report["settings"]["encoders"] == ["letters"]
    code, out, err = anima("eval", "recall", "--locomo", str(tmp_path / "none.json"))
    assert (code, out) == (2, "")
    assert "none.json cannot be read" in err


def test_what_belongs_to_recall_is_refused_elsewhere(anima):
    code, out, err = anima("eval", "judge", "--half", "tune")
    assert (code, out) == (2, "")
    assert "--half belongs to `anima eval recall`" in err


def test_an_option_of_two_evaluations_names_both_where_it_is_refused(anima):
    code, out, err = anima("eval", "judge", "--half", "tune")
    assert (code, out) == (2, "")
    assert "`anima eval recall` and `anima eval lives`" in err
    code, out, err = anima("eval", "recall", "--lives", "somewhere")
    assert (code, out) == (2, "")
    assert "--lives belongs to `anima eval lives`" in err
