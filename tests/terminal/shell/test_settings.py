import json
import os
from pathlib import Path

import pytest

from .conftest import Anima


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The anima.toml of the folder we are in, which is not there yet."""
    folder = tmp_path / "project" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder / "anima.toml"


@pytest.fixture
def user() -> Path:
    return Path(os.environ["ANIMA_CONFIG"])


def test_show_says_where_every_value_comes_from(
    anima: Anima, user: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.write_text("seed = 1\ntop_k = 5\n", encoding="utf-8")
    project.parent.parent.joinpath("anima.toml").write_text("seed = 2\n", encoding="utf-8")
    monkeypatch.setenv("ANIMA_MAX_TOKENS", "9")
    rows = json.loads(anima("config", "show", "--json", "--temperature", "0.5")[1])
    assert rows["top_k"] == {"value": 5, "origin": str(user)}
    assert rows["seed"] == {"value": 2, "origin": str(project.parent.parent / "anima.toml")}
    assert rows["max_tokens"] == {"value": 9, "origin": "$ANIMA_MAX_TOKENS"}
    assert rows["temperature"] == {"value": 0.5, "origin": "--temperature"}
    assert rows["model"] == {"value": "smollm2", "origin": "default"}
    lines = {line.split()[0]: line for line in anima("config", "show")[1].splitlines()}
    assert lines["top_k"].split() == ["top_k", "5", str(user)]
    assert lines["window"].split()[:3] == ["window", "-", "default"]


def test_set_writes_the_users_file_and_keeps_the_rest_of_it(anima: Anima, user: Path) -> None:
    user.write_text("# mine\nseed = 3  # lucky\n", encoding="utf-8")
    code, out, err = anima("config", "set", "seed", "4")
    assert (code, out, err) == (0, "", f"seed = 4 in {user}\n")
    assert anima("config", "set", "max-tokens", "100")[0] == 0
    assert anima("config", "set", "--", "system", "- be brief")[0] == 0
    assert user.read_text(encoding="utf-8") == (
        '# mine\nseed = 4  # lucky\nmax_tokens = 100\nsystem = "- be brief"\n'
    )
    assert json.loads(anima("config", "show", "--json")[1])["max_tokens"]["value"] == 100


def test_the_projects_file_is_made_here_or_found_above(
    anima: Anima, user: Path, project: Path
) -> None:
    above = project.parent.parent / "anima.toml"
    assert anima("config", "path", "--project")[1] == f"{project}\n"
    above.write_text("", encoding="utf-8")
    assert anima("config", "path", "--project")[1] == f"{above}\n"
    assert anima("config", "path")[1] == f"{user}\n"
    assert anima("config", "set", "--project", "seed", "4")[0] == 0
    assert above.read_text(encoding="utf-8") == "seed = 4\n"
    assert anima("config", "unset", "--project", "seed")[0] == 0
    assert above.read_text(encoding="utf-8") == ""
    assert not user.exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sed", "1", "no setting 'sed'. Did you mean seed?"),
        ("seed", "x", "seed must be a whole number, not 'x'"),
        ("seed", "1e999", "seed must be a whole number"),
        ("top_p", "2", "the most is 1"),
        ("device", "tpu", "choose auto, cpu, cuda, mps"),
        ("persona", "../x", "cannot name a persona"),
        ("model", "smolm2", "Did you mean smollm2?"),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_written(
    anima: Anima, user: Path, name: str, value: str, message: str
) -> None:
    code, out, err = anima("config", "set", name, value)
    assert (code, out) == (2, "")
    assert message in err
    assert not user.exists()


def test_unset_brings_the_default_back_and_takes_out_what_is_no_setting(
    anima: Anima, user: Path
) -> None:
    user.write_text("sed = 1\nmax_tokens = 3\n", encoding="utf-8")
    assert anima("config", "show")[0] == 2
    assert anima("config", "unset", "sed")[0] == 0
    assert anima("config", "unset", "max-tokens")[0] == 0
    assert user.read_text(encoding="utf-8") == ""
    code, _, err = anima("config", "unset", "seed")
    assert (code, "nothing to take out" in err) == (0, True)
    code, _, err = anima("config", "unset", "sed")
    assert (code, "Did you mean seed?" in err) == (2, True)


def test_what_a_stronger_layer_hides_is_said(
    anima: Anima, user: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write_text("seed = 9\n", encoding="utf-8")
    assert f"Here {project} counts all the same: seed = 9" in anima("config", "set", "seed", "4")[2]
    monkeypatch.setenv("ANIMA_SEED", "7")
    assert "Here $ANIMA_SEED counts" in anima("config", "unset", "--project", "seed")[2]


def test_a_broken_file_stops_no_command_that_mends_it(
    anima: Anima, user: Path, project: Path
) -> None:
    user.write_text("seed = 1\ntop_p = = 3\n", encoding="utf-8")
    for command in (["show"], ["set", "seed", "2"], ["unset", "seed"]):
        code, out, err = anima("config", *command)
        assert (code, out) == (2, "")
        assert f"{user}, line 2: this is not valid TOML" in err
    assert anima("config", "path")[1] == f"{user}\n"
    code, _, err = anima("config", "set", "--project", "seed", "2")
    assert code == 0
    assert f"Something else is still wrong: {user}, line 2" in err
    assert user.read_text(encoding="utf-8") == "seed = 1\ntop_p = = 3\n"
