import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anima.home import Home
from anima.persona import Persona

from .conftest import Anima

Lived = dict[str, str]


def file_of(home: Home, session: str) -> Path:
    return home.persona("default") / "sessions" / f"{session}.jsonl"


def test_sessions_are_listed_newest_first_with_their_names(anima: Anima, lived: Lived) -> None:
    assert "NAME" not in anima("sessions", "list")[1]
    assert anima("sessions", "rename", lived["fox"], "Animals")[0] == 0
    code, out, err = anima("sessions", "list")
    head, first, second = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["SESSION", "STARTED", "TURNS", "NAME"]
    assert first.startswith(lived["undone"])
    assert first.endswith("  1               Count to two")
    assert second.startswith(lived["fox"])
    assert second.endswith("  2      Animals  What is a fox?")
    rows = json.loads(anima("sessions", "list", "--json")[1])
    assert [(row["id"], row["name"], row["turns"]) for row in rows] == [
        (lived["undone"], None, 1),
        (lived["fox"], "Animals", 2),
    ]


def test_no_line_of_a_list_is_wider_than_the_terminal(
    anima: Anima, home: Home, lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    anima("sessions", "rename", lived["fox"], "n" * 80)
    file = file_of(home, lived["fox"])
    file.write_bytes(file.read_bytes().replace(b"What is a fox?", b"What is a fox? " * 20))
    assert max(map(len, anima("sessions", "list")[1].splitlines())) <= 80


def test_search_finds_the_place_in_either_text(anima: Anima, lived: Lived) -> None:
    code, out, err = anima("sessions", "search", "FOX", "red")
    assert (code, err) == (0, "")
    assert out == f"{lived['fox']}, turn 1\n  you: What is a fox?\n  Anima: A red animal.\n"
    anima("sessions", "rename", lived["fox"], "Animals")
    (match,) = json.loads(anima("sessions", "search", "grey", "--json")[1])
    assert match == {
        "session": lived["fox"],
        "name": "Animals",
        "turn": 2,
        "role": "assistant",
        "snippet": "Grey.",
    }


def test_search_finds_nothing_that_was_taken_back_and_says_where_else_to_look(
    anima: Anima, lived: Lived
) -> None:
    code, out, err = anima("sessions", "search", "secret")
    assert (code, out) == (0, "")
    assert "--persona looks elsewhere: bob" in err
    assert json.loads(anima("sessions", "search", "secret", "--json")[1]) == []
    assert "Bob, no fox" in anima("sessions", "search", "fox", "--persona", "bob")[1]
    assert anima("sessions", "search", " ")[0] == 2


def test_show_prints_the_latest_or_the_one_that_is_named(anima: Anima, lived: Lived) -> None:
    code, out, err = anima("sessions", "show")
    assert (code, err) == (0, "")
    assert out.startswith(lived["undone"])
    assert "1> Count to two\n\nOne, two.\n" in out
    assert "Secret" not in out
    anima("sessions", "rename", lived["fox"], "Animals")
    for word in ("animals", lived["fox"], lived["fox"][:15]):
        assert "1> What is a fox?" in anima("sessions", "show", word)[1]
    shown = json.loads(anima("sessions", "show", "Animals", "--json")[1])
    assert [turn["text"] for turn in shown["turns"]] == ["What is a fox?", "And a wolf?"]


def test_a_session_that_is_not_there_is_answered_with_those_that_are(
    anima: Anima, lived: Lived
) -> None:
    for command in ("show", "export", "rm"):
        code, out, err = anima("sessions", command, "1999")
        assert (code, out) == (1, "")
        assert lived["fox"] in err
    assert anima("sessions", "rename", "1999", "x")[0] == 1
    assert anima("--resume", "1999", "-p", "hi")[0] == 1
    assert anima("replay", "1999")[0] == 1
    code, _, err = anima("sessions", "show", "--persona", "bbo")
    assert (code, "Did you mean bob" in err) == (2, True)


def test_a_persona_without_sessions_has_none_to_show(anima: Anima, home: Home) -> None:
    assert "has no session yet" in anima("sessions", "list")[2]
    assert anima("sessions", "show") == (1, "", "anima: default has no session yet.\n")
    assert not home.root.exists()


def test_a_name_is_given_taken_and_wanted(anima: Anima, lived: Lived) -> None:
    assert "now called 'My fox'" in anima("sessions", "rename", lived["fox"], " My  fox ")[2]
    assert anima("sessions", "rename", lived["undone"], "my FOX")[0] == 1
    assert anima("sessions", "rename", "my fox", "2026")[0] == 2
    assert anima("sessions", "rename", "my fox")[0] == 2
    assert anima("sessions", "rename", "my fox", "x", "--remove")[0] == 2
    assert "no name any more" in anima("sessions", "rename", "my fox", "--remove")[2]
    assert anima("sessions", "show", "my fox")[0] == 1


def test_a_session_is_renamed_while_it_is_open_elsewhere_but_not_removed(
    anima: Anima, home: Home, lived: Lived
) -> None:
    with Persona.open(home, "default", clock=lambda: datetime.now(UTC)) as persona:
        persona.resume_session(lived["fox"])
        assert anima("sessions", "rename", lived["fox"], "Animals")[0] == 0
        code, _, err = anima("sessions", "rm", "Animals", "--yes")
        assert code == 1
        assert f"in use by process {os.getpid()}. Close it there, then try again." in err
    assert anima("sessions", "show", "Animals")[0] == 0


def test_export_goes_to_stdout_or_to_a_file_of_the_kind_its_name_says(
    anima: Anima, lived: Lived, tmp_path: Path
) -> None:
    code, out, err = anima("sessions", "export", lived["fox"])
    assert (code, err) == (0, "")
    assert out.startswith("# What is a fox?\n")
    assert anima("sessions", "export", lived["fox"], "-o", "-")[1] == out
    assert anima("sessions", "export", lived["fox"], "--format", "html")[1].startswith("<!doctype")
    for name, begins in (("a.md", "# "), ("a.html", "<!doctype"), ("a.json", "{"), ("a.txt", "# ")):
        path = tmp_path / name
        code, out, err = anima("sessions", "export", lived["fox"], "-o", str(path))
        assert (code, out) == (0, "")
        assert str(path) in err
        assert path.read_text(encoding="utf-8").startswith(begins)
    everything = json.loads(anima("sessions", "export", "--format", "json", "--all")[1])
    assert [turn["undone"] for turn in everything["turns"]] == [False, True]
    assert anima("sessions", "export", "--all")[0] == 2


def test_no_file_is_lost_to_an_export_without_a_yes(
    anima: Anima, lived: Lived, tmp_path: Path
) -> None:
    path = tmp_path / "a.md"
    path.write_text("mine", encoding="utf-8")
    command = ("sessions", "export", lived["fox"], "-o", str(path))
    code, _, err = anima(*command)
    assert (code, "add --yes" in err) == (2, True)
    code, _, err = anima(*command, answer="n\n")
    assert (code, "Nothing was written" in err) == (0, True)
    assert path.read_text(encoding="utf-8") == "mine"
    assert anima(*command, answer="y\n")[0] == 0
    assert path.read_text(encoding="utf-8") != "mine"
    for bad in (tmp_path, tmp_path / "nowhere" / "a.md"):
        assert anima("sessions", "export", lived["fox"], "-o", str(bad))[0] == 2


def test_sessions_are_removed_one_question_each(anima: Anima, lived: Lived) -> None:
    command = ("sessions", "rm", lived["fox"], lived["undone"], lived["fox"])
    assert anima(*command)[0] == 2
    code, _, err = anima(*command, answer="n\ny\n")
    assert code == 0
    assert f"Remove session {lived['fox']} (2 turns, “What is a fox?”)?" in err
    assert f"{lived['fox']} stays." in err
    assert f"Removed {lived['undone']}." in err
    assert [row["id"] for row in json.loads(anima("sessions", "list", "--json")[1])] == [
        lived["fox"]
    ]
    assert anima("sessions", "rm", lived["fox"], "--yes")[0] == 0
    assert json.loads(anima("sessions", "list", "--json")[1]) == []


def test_a_damaged_session_is_named_and_the_rest_is_there(
    anima: Anima, home: Home, lived: Lived
) -> None:
    path = file_of(home, lived["undone"])
    path.write_bytes(path.read_bytes().replace(b'"Count to two"', b"Count to two"))
    code, out, err = anima("sessions", "list")
    assert code == 0
    assert "What is a fox?" in out
    assert "! not whole, see below" in out
    assert f"{path}, line 2, is damaged" in err
    assert json.loads(anima("sessions", "list", "--json")[1])[0]["damaged"]
    code, out, err = anima("sessions", "search", "fox")
    assert (code, lived["fox"] in out, "is damaged" in err) == (0, True, True)
    for command in ("show", "export"):
        code, out, err = anima("sessions", command, lived["undone"])
        assert (code, lived["undone"] in out, "line 2, is damaged" in err) == (1, True, True)
    assert anima("sessions", "rm", lived["undone"], "--yes")[0] == 0


def test_a_session_of_a_newer_anima_is_named_and_the_rest_is_there(
    anima: Anima, home: Home, lived: Lived
) -> None:
    path = file_of(home, "20270101-000000-0000")
    path.write_text('{"record":"session","schema":9}\n', encoding="utf-8")
    code, out, err = anima("sessions", "list")
    assert (code, "What is a fox?" in out) == (0, True)
    assert "session schema is 9, this Anima reads up to 1. Update Anima" in err
    code, out, err = anima("sessions", "show", "2027")
    assert (code, out, "Update Anima" in err) == (1, "", True)


def test_damaged_names_hide_no_session(anima: Anima, home: Home, lived: Lived) -> None:
    path = home.persona("default") / "sessions" / "names.json"
    path.write_text("{", encoding="utf-8")
    code, out, err = anima("sessions", "list")
    assert (code, lived["fox"] in out) == (0, True)
    assert f"{path} is damaged" in err
    assert anima("sessions", "show", lived["fox"])[0] == 0
    assert anima("sessions", "rename", lived["fox"], "x")[0] == 1


def test_what_was_said_moves_no_cursor(anima: Anima, home: Home, lived: Lived) -> None:
    path = file_of(home, lived["fox"])
    path.write_bytes(path.read_bytes().replace(b"A red animal.", b"A \\u001b[2Jred\\u202e animal."))
    for command in (
        ("show", lived["fox"]),
        ("show", lived["fox"], "--json"),
        ("export", lived["fox"]),
        ("export", lived["fox"], "--format", "html"),
        ("search", "red"),
    ):
        code, out, _ = anima("sessions", *command)
        assert (code, "red" in out) == (0, True)
        assert not set(out) & {"\x1b", "\u202e"}
    assert json.loads(anima("sessions", "show", lived["fox"], "--json")[1])["turns"][0][
        "reply"
    ] == ("A \x1b[2Jred\u202e animal.")
