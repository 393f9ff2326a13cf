import json
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anima.home import Home
from anima.persona import Persona, personas

from .conftest import Anima

Lived = dict[str, str]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_personas_are_listed_and_shown(anima: Anima, home: Home, lived: Lived) -> None:
    code, out, err = anima("persona", "list")
    assert (code, err) == (0, "")
    head, bob, default = out.splitlines()
    assert head.split() == ["PERSONA", "MODEL", "SESSIONS", "LAST"]
    assert bob.split()[:2] == ["bob", "1"]
    assert default.split()[:3] == ["default", "smollm2", "2"]
    rows = json.loads(anima("persona", "list", "--json")[1])
    assert [(row["name"], row["model"], row["sessions"]) for row in rows] == [
        ("bob", None, 1),
        ("default", "smollm2", 2),
    ]
    found = json.loads(anima("persona", "show", "--json")[1])
    assert (found["name"], found["sessions"], found["turns"]) == ("default", 2, 3)
    assert (found["fingerprint"], found["damaged"]) == ("b179", [])
    code, out, _ = anima("persona", "show", "bob")
    assert (code, f"folder      {home.persona('bob')}\n" in out) == (0, True)
    assert anima("persona", "show", "--persona", "bob")[1] == out


def test_a_persona_that_is_not_there_is_answered_with_the_nearest(
    anima: Anima, lived: Lived
) -> None:
    for command in (
        ["show", "bbo"],
        ["rm", "bbo", "--yes"],
        ["export", "bbo"],
        ["copy", "bbo", "x"],
    ):
        code, out, err = anima("persona", *command)
        assert (code, out, "Did you mean bob?" in err) == (2, "", True)


def test_a_new_persona_is_told_where_it_is(anima: Anima, home: Home) -> None:
    code, out, err = anima("persona", "new", "eve")
    assert (code, out) == (0, f"{home.persona('eve')}\n")
    assert "anima --persona eve" in err
    assert anima("persona", "new", "eve")[0] == 2
    assert anima("persona", "new", "../eve")[0] == 2


def test_rename_and_copy(anima: Anima, home: Home, lived: Lived) -> None:
    assert anima("persona", "rename", "bob", "rob")[0] == 0
    assert anima("persona", "copy", "rob", "eve")[0] == 0
    assert personas(home) == ["default", "eve", "rob"]
    assert anima("persona", "copy", "rob", "eve")[0] == 2
    assert (
        json.loads(anima("sessions", "list", "--persona", "eve", "--json")[1])[0]["id"]
        == (lived["other"])
    )


def test_a_rename_says_when_the_settings_still_ask_for_the_old_name(
    anima: Anima, lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIMA_PERSONA", "bob")
    assert "anima config set persona rob" in anima("persona", "rename", "bob", "rob")[2]


def test_removing_says_what_is_lost_and_asks(anima: Anima, home: Home, lived: Lived) -> None:
    (home.dreams / "default").mkdir(parents=True)
    (home.dreams / "default" / "0001.json").touch()
    assert anima("persona", "rm", "default")[0] == 2
    code, _, err = anima("persona", "rm", "default", answer="n\n")
    assert (code, "Nothing was removed" in err) == (0, True)
    assert "persona default (2 sessions, 3 turns, 1 file of dreams; " in err
    assert "anima persona export default keeps it" in err
    assert personas(home) == ["bob", "default"]
    assert anima("persona", "rm", "default", answer="y\n")[0] == 0
    assert personas(home) == ["bob"]
    assert list(home.dreams.iterdir()) == []


def test_a_persona_in_use_is_listed_and_exported_but_not_moved(
    anima: Anima, home: Home, lived: Lived
) -> None:
    with Persona.open(home, "bob", clock=lambda: datetime.now(UTC)):
        for command in (
            ["rename", "bob", "rob"],
            ["copy", "bob", "rob"],
            ["rm", "bob", "--yes"],
        ):
            code, out, err = anima("persona", *command)
            assert (code, out) == (1, "")
            assert f"in use by process {os.getpid()}. Close it there" in err
        assert anima("persona", "export", "bob")[0] == 0
        assert anima("persona", "import", "bob.anima.zip", "--yes")[0] == 1
        assert anima("persona", "show", "bob")[0] == 0
    assert personas(home) == ["bob", "default"]


def test_export_and_import_bring_a_persona_back(
    anima: Anima, home: Home, lived: Lived, tmp_path: Path
) -> None:
    code, out, err = anima("persona", "export", "default")
    path = tmp_path / "default.anima.zip"
    assert (code, out) == (0, f"{path}\n")
    assert "files, " in err
    assert anima("persona", "export", "default")[0] == 2
    assert anima("persona", "export", "default", "-o", "other.zip")[0] == 0
    before = anima("sessions", "show", lived["fox"])[1]
    anima("persona", "rm", "default", "--yes")
    code, out, err = anima("persona", "import", str(path))
    assert (code, out, "Imported default with 2 sessions" in err) == (0, "", True)
    assert anima("sessions", "show", lived["fox"])[1] == before


def test_an_import_asks_before_a_persona_is_lost(anima: Anima, home: Home, lived: Lived) -> None:
    anima("persona", "export", "bob")
    anima("sessions", "rm", lived["other"], "--yes", "--persona", "bob")
    command = ("persona", "import", "bob.anima.zip")
    code, _, err = anima(*command)
    assert (code, "add --yes" in err) == (2, True)
    code, _, err = anima(*command, answer="n\n")
    assert (code, "Nothing was imported" in err) == (0, True)
    assert "persona bob (0 sessions, 0 turns; " in err
    assert "--as NAME keeps both" in err
    assert anima(*command, "--as", "rob")[0] == 0
    assert anima(*command, answer="y\n")[0] == 0
    assert personas(home) == ["bob", "default", "rob"]
    assert anima("sessions", "show", lived["other"], "--persona", "bob")[0] == 0


def test_an_import_that_is_refused_leaves_nothing(
    anima: Anima, home: Home, lived: Lived, tmp_path: Path
) -> None:
    anima("persona", "export", "bob")
    with zipfile.ZipFile("bob.anima.zip", "a") as archive:
        archive.writestr("../../evil", "x")
    code, out, err = anima("persona", "import", "bob.anima.zip", "--as", "rob")
    assert (code, out) == (1, "")
    assert "'../../evil' is refused" in err
    assert personas(home) == ["bob", "default"]
    assert not list(tmp_path.rglob("evil"))
    assert anima("persona", "import", "nothing.zip")[0] == 2
    assert anima("persona", "import", "bob.anima.zip", "--as", "../rob")[0] in (1, 2)


def test_the_limits_of_an_import_can_be_moved(anima: Anima, lived: Lived) -> None:
    anima("persona", "export", "bob")
    command = ("persona", "import", "bob.anima.zip", "--as", "rob")
    code, _, err = anima(*command, "--max-size", "0")
    assert (code, "--max-size MB allows more" in err) == (1, True)
    assert anima(*command, "--max-size", "1", "--max-ratio", "0.1")[0] == 0


def test_an_export_that_no_import_takes_unasked_says_so(
    anima: Anima, home: Home, lived: Lived
) -> None:
    (home.persona("bob") / "zeros").write_bytes(bytes(80_000_000))
    code, _, err = anima("persona", "export", "bob")
    assert (code, "To import it again takes a flag" in err, "--max-ratio" in err) == (0, True, True)


def test_a_damaged_persona_is_named_and_the_rest_is_listed(
    anima: Anima, home: Home, lived: Lived
) -> None:
    head = home.persona("bob") / "HEAD.json"
    head.write_text('{"schema": 9}', encoding="utf-8")
    code, out, err = anima("persona", "list")
    assert code == 0
    assert "smollm2" in out
    assert "! not whole, see below" in out
    assert err.startswith("bob: ")
    assert "Update Anima" in err
    damaged = {
        row["name"]: row["damaged"] for row in json.loads(anima("persona", "list", "--json")[1])
    }
    assert damaged["default"] is None
    assert str(head) in damaged["bob"]
    code, out, err = anima("persona", "show", "bob")
    assert (code, "sessions    1" in out, "Update Anima" in err) == (1, True, True)
    code, _, err = anima("persona", "export", "bob")
    assert (code, "What was exported is not whole" in err) == (0, True)
