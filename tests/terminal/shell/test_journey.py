import json
from pathlib import Path

import pytest
import tiny

from .conftest import Anima


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save(tmp_path_factory.mktemp("model")))


def test_a_talk_is_named_gone_on_with_found_moved_and_run_again(
    anima: Anima, model: str, tmp_path: Path
) -> None:
    speak = ("--model", model, "--device", "cpu", "--max-tokens", "5", "-p")
    assert anima("--seed", "1", *speak, "What is a fox?")[0] == 0
    (session,) = json.loads(anima("sessions", "list", "--json")[1])
    anima("sessions", "rename", session["id"], "Animals")
    assert anima("--seed", "2", *speak, "Something else")[0] == 0
    assert anima("--resume", "animals", *speak, "And a wolf?")[0] == 0

    shown = json.loads(anima("sessions", "show", "Animals", "--json")[1])
    assert (shown["session"], shown["name"]) == (session["id"], "Animals")
    assert [turn["text"] for turn in shown["turns"]] == ["What is a fox?", "And a wolf?"]
    assert {turn["model"] for turn in shown["turns"]} == {model}
    assert anima("sessions", "show")[1].startswith(session["id"])
    assert f"{session['id']} “Animals”, turn 2" in anima("sessions", "search", "wolf")[1]

    path = str(tmp_path / "all.zip")
    assert anima("persona", "export", "default", "-o", path)[0] == 0
    assert anima("persona", "import", path, "--as", "eve")[0] == 0
    code, out, _ = anima("replay", "animals", "--persona", "eve", "--json")
    assert code == 0
    assert [json.loads(line)["matched"] for line in out.splitlines()] == [True, True]
