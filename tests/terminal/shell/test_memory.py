import json
import sys
from pathlib import Path

import pytest

from anima import cli
from anima.home import Home

from .conftest import Anima
from .memory_rig import folder, piped, rows, texts

pytestmark = pytest.mark.usefixtures("at_noon")


def test_put_prints_the_anchor_of_what_it_remembered(anima: Anima) -> None:
    code, out, err = anima("memory", "put", "The", "fox", "is", "red.")
    assert (code, err, len(out)) == (0, "", 17)
    code, out, err = anima(
        "memory", "put", "Grey.", "--role", "assistant", "--context", '{"turn": 2}', "--json",
        "--time", "2026-05-01T12:00:00+02:00",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert set(json.loads(out)) == {"seq", "anchor"}
    anchor = json.loads(out)["anchor"]
    assert anima("memory", "show", "2") == (
        0,
        "line      #2\n"
        f"anchor    {anchor}\n"
        "kind      line\n"
        "role      assistant\n"
        "said      2026-05-01T10:00:00+00:00\n"
        "in force  yes\n"
        'context   {"turn": 2}\n'
        "\n"
        "  Grey.\n",
        "",
    )
    assert json.loads(anima("memory", "show", anchor[:16], "--json")[1])["text"] == "Grey."


def test_query_finds_the_best_line_first(anima: Anima, remembered: list[str]) -> None:
    code, out, err = anima("memory", "query", "Who", "plays", "chess?", "-k", "1")
    assert (code, err) == (0, "")
    head, best = out.splitlines()
    assert head.split() == ["SCORE", "LINE", "SAID", "ROLE", "TEXT"]
    assert best.split(maxsplit=5)[1:] == [
        "#3", "2026-05-03", "10:00", "user", "Bob plays chess on Tuesdays.",
    ]  # fmt: skip
    explained = anima("memory", "query", "Who plays chess?", "-k", "1", "--explain")[1]
    assert "recency 0.000" in explained.splitlines()[2]


def test_query_answers_in_the_shape_that_scripts_know(anima: Anima, remembered: list[str]) -> None:
    code, out, err = anima("memory", "query", "Who plays chess?", "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert set(answer) == {"abstained", "lines"}
    line = answer["lines"][0]
    assert line.pop("anchor").startswith(remembered[2])
    assert isinstance(line.pop("score"), float)
    assert isinstance(line.pop("terms"), dict)
    assert line == {
        "seq": 3,
        "text": "Bob plays chess on Tuesdays.",
        "role": "user",
        "timestamp": "2026-05-03T10:00:00+00:00",
        "context": {},
        "merged": [],
    }


def test_what_was_said_later_does_not_answer_a_question_of_before(
    anima: Anima, remembered: list[str]
) -> None:
    def found(at: str) -> list[int]:
        answer = json.loads(anima("memory", "query", "chess cats", "--at", at, "--json")[1])
        return sorted(line["seq"] for line in answer["lines"])

    assert found("2026-05-04T00:00:00Z") == [1, 3]
    assert found("2026-05-03T00:00:00Z") == [1]
    assert found("2026-04-01T00:00:00Z") == []
    code, _, err = anima("memory", "query", "chess", "--at", "2026-05-03")
    assert (code, err.splitlines()[0]) == (
        0, "--at has no zone, so it is taken as 2026-05-03T00:00:00+00:00.",
    )  # fmt: skip


def test_what_is_not_known_is_said_to_be_unknown(anima: Anima, remembered: list[str]) -> None:
    assert anima("memory", "query", "quantum chromodynamics") == (
        0, "", "The memory does not know that.\n",
    )  # fmt: skip
    assert json.loads(anima("memory", "query", "quantum", "--json")[1]) == {
        "abstained": True, "lines": [],
    }  # fmt: skip


def test_a_batch_of_questions_is_answered_line_by_line(
    anima: Anima, remembered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = rows(
        tmp_path / "q.jsonl",
        {"id": "a", "text": "Who plays chess?"},
        {"id": 2, "text": "chess", "at": "2026-05-01T12:00:00Z"},
    )
    code, out, err = anima("memory", "query", "--batch", asked, "-k", "1", "--json")
    assert (code, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert (first["id"], [line["seq"] for line in first["lines"]]) == ("a", [3])
    assert second == {"id": 2, "abstained": True, "lines": []}
    monkeypatch.setattr(sys, "stdin", None)
    piped(monkeypatch, Path(asked).read_bytes())
    assert cli.main(["memory", "query", "--batch", "-", "-k", "1"]) == 0


def test_lines_of_a_file_are_appended_as_they_are_given(
    anima: Anima, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    given = [
        {"text": "one", "role": "assistant", "timestamp": "2026-05-01T10:00:00Z"},
        {"text": "two", "timestamp": "2026-05-02", "context": {"turn": 7}},
        {"text": "two", "timestamp": 1_777_777_777},
    ]
    code, out, err = anima("memory", "put", "--jsonl", rows(tmp_path / "in.jsonl", *given))
    assert (code, len(out.splitlines()), err) == (
        0, 3,
        "Times without a zone are taken as times of this machine.\n3 lines remembered.\n",
    )  # fmt: skip
    said = json.loads(anima("memory", "list", "--json")[1])
    assert [(line["role"], line["timestamp"]) for line in said] == [
        ("user", "2026-05-03T03:09:37+00:00"),
        ("user", "2026-05-02T00:00:00+00:00"),
        ("assistant", "2026-05-01T10:00:00+00:00"),
    ]
    piped(monkeypatch, b'{"text": "three"}\n\n{"text": "four"}')
    assert cli.main(["memory", "put", "--jsonl", "-", "--json"]) == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [4, 5]
    assert texts(anima) == ["one", "two", "two", "three", "four"]


def test_lines_that_race_are_merged_and_close_each_other(anima: Anima, tmp_path: Path) -> None:
    given = rows(
        tmp_path / "in.jsonl",
        {"text": "I live in Paris.", "timestamp": "2026-01-01T00:00:00Z"},
        {"text": "I live in Paris.", "timestamp": "2026-02-01T00:00:00Z"},
        {"text": "I moved to Rome.", "timestamp": "2026-05-01T00:00:00Z"},
    )
    code, out, err = anima("memory", "put", "--race", "--jsonl", given, "--json")
    assert (code, err) == (0, "3 lines remembered.\n")
    decided = [json.loads(line) for line in out.splitlines()]
    assert [each["decision"] for each in decided] == ["insert", "merge", "close"]
    assert (decided[1]["seq"], decided[1]["target"], decided[2]["closed"]) == (None, 1, [1])
    answer = json.loads(anima("memory", "query", "Paris or Rome, moved or live?", "--json")[1])
    assert [line["text"] for line in answer["lines"]] == ["I moved to Rome."]
    code, _, err = anima(
        "memory", "put", "--race", "--jsonl", rows(tmp_path / "v.jsonl", {"text": "x", "key": [1]})
    )
    assert (code, "leave key and value out" in err) == (2, True)


def test_the_history_of_a_thing_says_from_when_to_when(anima: Anima) -> None:
    for text, at in (("I live in Paris.", "2026-01-01"), ("I moved to Rome.", "2026-05-01")):
        anima("memory", "put", "--race", text, "--time", f"{at}T00:00:00Z")
    code, out, err = anima("memory", "history", "user", "city")
    assert (code, err) == (0, "")
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "LINE FROM TO VALUE TEXT",
        "#1 2026-01-01 00:00 2026-05-01 00:00 paris I live in Paris.",
        "#2 2026-05-01 00:00 now rome I moved to Rome.",
    ]
    held = json.loads(anima("memory", "history", "user", "city", "--json")[1])
    assert [each["until"] for each in held] == ["2026-05-01T00:00:00+00:00", None]
    assert anima("memory", "history", "user", "shoe size") == (
        0, "", "Nothing was said of the shoe size of user.\n",
    )  # fmt: skip


def test_a_line_can_be_forgotten_or_erased(anima: Anima, remembered: list[str]) -> None:
    assert anima("memory", "forget", "2") == (
        0, "", "Forgot #2 “The kitchen light is broken.”.\n",
    )  # fmt: skip
    code, _, err = anima("memory", "forget", remembered[0], "--erase")
    assert (code, "There is nobody to ask: add --yes" in err) == (2, True)
    assert anima("memory", "forget", "1", "--erase", answer="n\n")[2].endswith("cats.” stays.\n")
    assert anima("memory", "forget", "#1", "--erase", "--yes") == (
        0, "", "Erased #1 “Ada lives in Rome with two cats.”.\n",
    )  # fmt: skip
    assert texts(anima) == ["Bob plays chess on Tuesdays."]
    shown = anima("memory", "show", "1")
    assert shown[2] == "What it said was erased.\n"
    assert anima("memory", "verify")[1].startswith("chain          whole, 5 records (1 erased)\n")


def test_an_empty_memory_says_so_and_is_not_made_by_looking(anima: Anima, home: Home) -> None:
    assert anima("memory", "list")[2].startswith("The memory is empty")
    assert anima("memory", "query", "anything")[0] == 0
    assert json.loads(anima("memory", "stats", "--json")[1])["lines"] == 0
    code, _, err = anima("memory", "verify")
    assert (code, err) == (
        1, "anima: default has no memory yet: anima memory put TEXT makes one.\n",
    )  # fmt: skip
    assert not folder(home).exists()


def test_stats_say_what_there_is(anima: Anima, remembered: list[str]) -> None:
    anima("memory", "forget", "2")
    found = json.loads(anima("memory", "stats", "--json")[1])
    assert found.pop("bytes") > 0
    assert len(found.pop("head")) == 64
    assert found == {
        "lines": 2, "records": 4, "kinds": {"line": 3, "forget": 1}, "roles": {"user": 2},
        "first": "2026-05-01 10:00", "last": "2026-05-03 10:00", "ledger": "sqlite",
        "encrypted": False, "conversations": "in clear", "encoder": None, "key width": None,
        "sealed": None,
    }  # fmt: skip
    shown = " ".join(anima("memory", "stats")[1].split())
    assert "encrypted no conversations in clear" in shown


def test_sql_answers_a_select_and_nothing_else(anima: Anima, remembered: list[str]) -> None:
    pytest.importorskip("duckdb")
    select = "SELECT seq, text FROM lines WHERE text LIKE '%chess%'"
    assert anima("memory", "sql", select) == (
        0, "seq  text\n3    Bob plays chess on Tuesdays.\n", "",
    )  # fmt: skip
    assert json.loads(anima("memory", "sql", select, "--json")[1]) == [
        {"seq": 3, "text": "Bob plays chess on Tuesdays."}
    ]
    code, _, err = anima("memory", "sql", "DELETE FROM lines")
    assert (code, "the memory is read only" in err) == (2, True)
