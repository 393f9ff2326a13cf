import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from anima import cli
from anima.errors import CorruptStateError

Shown = pytest.CaptureFixture[str]


class Stdin(io.StringIO):
    """A keyboard nobody types on, or a pipe."""

    def __init__(self, text: bytes = b"", *, terminal: bool) -> None:
        super().__init__()
        self.buffer = io.BytesIO(text)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture(autouse=True)
def nothing_piped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(terminal=False))


def test_help_is_within_a_screens_width_and_names_every_command(capsys: Shown) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for name in ("models", "persona", "sessions", "replay", "paths", "--continue", "--output"):
        assert name in out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from anima.cli import main; main(['--help']);"
        "heavy = {'torch', 'transformers', 'numpy', 'rich', 'prompt_toolkit', 'gguf', 'platformdirs'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(capsys: Shown) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("anima ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--promt", "hi"], "--prompt"),
        (["modles"], "'models'"),
        (["models", "lst"], "'list'"),
        (["models", "pull", "--frce", "x"], "--force"),
        (["--output", "yaml", "-p", "hi"], "'jsonl'"),
        (["models", "pull"], "NAME"),
        (["--model", "smollm", "-p", "hi"], "smollm2"),
        (["--device", "cuda0", "-p", "hi"], "cuda"),
        (["--threads", "many", "-p", "hi"], "'many' is no whole number"),
        (["--temperature", "hot", "-p", "hi"], "'hot' is no number"),
        (["memory", "query", "x", "-k", "0"], "anima memory query --help shows"),
        (["memory", "query", "x", "-k", "many"], "'many' is no whole number."),
        (["memory", "qery", "x"], "anima memory --help shows"),
        (["--threads", "-1", "-p", "hi"], "--threads"),
        (["--persona", "../else", "-p", "hi"], "'../else'"),
        (["-p", ""], "no prompt"),
        ([], "no prompt"),
        (["--continue", "--resume", "2026", "-p", "hi"], "one of them"),
        (["-p", "hi", "models", "list"], "'models'"),
        (["What is a fox?"], "anima -p TEXT"),
        (["models", "rm", "/tmp", "--yes"], "does not delete it"),
    ],
)
def test_a_wrong_command_line_is_exit_2_and_names_the_way(
    arguments: list[str], named: str, capsys: Shown
) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("anima: ")
    assert named in err
    assert "Traceback" not in err


def test_structured_output_wants_one_prompt(capsys: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(terminal=True))
    monkeypatch.setattr("anima.terminal.oneshot.piped", lambda stdin: False)
    assert cli.main(["--output", "json"]) == 2
    assert "--output json is for one answer" in capsys.readouterr().err


def test_a_wrong_variable_is_named(capsys: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMA_THREADS", "many")
    assert cli.main(["-p", "hi"]) == 2
    assert "ANIMA_THREADS" in capsys.readouterr().err


def test_a_broken_settings_file_is_named_with_its_line(capsys: Shown) -> None:
    Path(os.environ["ANIMA_CONFIG"]).write_text("model = \n", encoding="utf-8")
    assert cli.main(["paths"]) == 2
    err = capsys.readouterr().err
    assert os.environ["ANIMA_CONFIG"] in err
    assert "line 1" in err


def test_paths_are_those_in_force_and_a_flag_works_on_both_sides(
    capsys: Shown, tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere"
    for arguments in (
        ["--home", str(place), "paths", "--json"],
        ["paths", "--json", "--home", str(place)],
    ):
        assert cli.main(arguments) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["home"] == str(place)
        assert found["personas"] == str(place / "checkpoints" / "personas")
        assert found["cache"] == os.environ["ANIMA_CACHE"]
    assert cli.main(["paths"]) == 0
    assert f"home      {os.environ['ANIMA_HOME']}\n" in capsys.readouterr().out


def test_models_are_listed_for_people_and_for_scripts(capsys: Shown) -> None:
    assert cli.main(["models", "list"]) == 0
    assert "\nsmollm2 " in capsys.readouterr().out
    assert cli.main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["smollm2"]["state"] == "absent"
    assert rows["llama-3.1-8b"]["state"] == "remote"


def test_the_path_of_a_model_that_is_not_here_says_how_to_get_it(capsys: Shown) -> None:
    assert cli.main(["models", "path", "smollm2"]) == 1
    assert "anima models pull smollm2" in capsys.readouterr().err


def test_removing_what_is_not_here_is_no_error(capsys: Shown) -> None:
    assert cli.main(["models", "rm", "smollm2"]) == 0
    assert "nothing to remove" in capsys.readouterr().err


def test_removing_asks_and_where_nobody_can_answer_wants_a_yes(
    capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.environ["ANIMA_CACHE"]) / "models" / "smollm2"
    folder.mkdir(parents=True)
    (folder / "anima.json").write_text("damaged", encoding="utf-8")
    assert cli.main(["models", "rm", "smollm2"]) == 2
    assert "add --yes" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Stdin(terminal=True))
    monkeypatch.setattr("click.confirm", lambda question, err: False)
    assert cli.main(["models", "rm", "smollm2"]) == 0
    assert "Nothing was removed" in capsys.readouterr().err
    assert folder.exists()
    assert cli.main(["models", "rm", "smollm2", "--yes"]) == 0
    assert not folder.exists()


def test_a_home_without_personas(capsys: Shown) -> None:
    assert cli.main(["persona", "list"]) == 0
    out, err = capsys.readouterr()
    assert (out, "no persona" in err) == ("", True)
    assert cli.main(["persona", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert cli.main(["sessions", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_replaying_a_session_that_is_not_there(capsys: Shown) -> None:
    assert cli.main(["replay", "2026"]) == 1
    assert "no session '2026'" in capsys.readouterr().err


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Lets `anima paths` fail with an error of one's choice."""

    def with_error(error: BaseException) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("anima.terminal.reports.paths", fail)

    return with_error


def test_an_unexpected_error_is_one_line_and_the_way_to_the_rest(failing, capsys: Shown) -> None:
    failing(ZeroDivisionError("division\nby zero"))
    assert cli.main(["paths"]) == 1
    assert capsys.readouterr().err == (
        "anima: this is a bug: ZeroDivisionError: division. ANIMA_DEBUG=1 shows where it happened.\n"
    )


def test_anima_debug_lets_an_unexpected_error_through(
    failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIMA_DEBUG", "1")
    failing(ZeroDivisionError("division"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["paths"])


def test_an_error_of_anima_is_its_message_and_code_without_escapes(failing, capsys: Shown) -> None:
    failing(CorruptStateError("The file \x1b[31mX is damaged: move it away."))
    assert cli.main(["paths"]) == 1
    assert capsys.readouterr().err == "anima: The file [31mX is damaged: move it away.\n"


def test_ctrl_c_anywhere_is_130_and_quiet(failing, capsys: Shown) -> None:
    failing(KeyboardInterrupt())
    assert cli.main(["paths"]) == 130
    assert capsys.readouterr() == ("", "")


@contextlib.contextmanager
def anima(
    *arguments: str, stdin: int = subprocess.DEVNULL
) -> Iterator[tuple[Any, BinaryIO, BinaryIO]]:
    """The program itself in a process of its own, with its stdout and stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", "anima", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield process, process.stdout, process.stderr


def run(*arguments: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "anima", *arguments], input=stdin, capture_output=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def listed_turns() -> list[int]:
    """How many turns each session has that a new process finds on disk."""
    return [row["turns"] for row in json.loads(run("sessions", "list", "--json")[1])]


def test_a_closed_pipe_is_quiet_and_exits_as_a_shell_says_it() -> None:
    with anima("paths") as (process, out, err):
        out.close()
        assert process.wait(30) == 141
        assert err.read() == b""


def test_a_full_disk_behind_stdout_is_said() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "anima", "paths"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_hub_that_cannot_be_reached_is_said_before_a_chat_opens() -> None:
    code, out, err = run("--model", "nobody/nothing", "-p", "hi")
    assert (code, out) == (1, b"")
    assert b"nobody/nothing" in err
    assert b"--model PATH" in err
    assert b"Traceback" not in err


# The real model: what a person would try first.


@pytest.fixture
def real(smollm2_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMA_CACHE", str(smollm2_cache))


@pytest.mark.slow
@pytest.mark.usefixtures("real")
def test_one_question_one_answer_and_its_replay() -> None:
    code, out, err = run("-p", "What is the capital of France?", "--seed", "1")
    assert (code, err) == (0, b"")
    assert b"Paris" in out
    (session,) = json.loads(run("sessions", "list", "--json")[1])
    assert (session["turns"], session["first_text"]) == (1, "What is the capital of France?")
    code, out, err = run("replay", session["id"], "--json")
    assert json.loads(out) == {
        "turn": 1, "matched": True, "difference": None, "mode": None,
    }  # fmt: skip
    assert (code, err) == (0, b"")


@pytest.mark.slow
@pytest.mark.usefixtures("real")
def test_json_of_a_piped_prompt() -> None:
    code, out, err = run(
        "--output", "json", "--seed", "1", "--max-tokens", "4", stdin=b"Say hello.\xff"
    )
    turn = json.loads(out)
    assert code == 0
    assert b"not all valid UTF-8" in err
    assert (turn["persona"], turn["turn"], turn["seed"], turn["mode"]) == ("default", 1, 1, "off")
    assert 1 <= turn["tokens"]["reply"] <= 4
    assert turn["tokens"]["prompt"] > 4


@pytest.mark.slow
@pytest.mark.usefixtures("real")
def test_a_reader_that_takes_one_byte_and_goes() -> None:
    with anima("-p", "Count from one to fifty.", "--seed", "1") as (process, out, err):
        assert out.read(1)
        out.close()
        assert process.wait(300) == 141
        assert err.read() == b""
    assert listed_turns() == [1]


@pytest.mark.slow
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_keeps_the_partial(number: signal.Signals, code: int) -> None:
    with anima("-p", "Count from one to fifty.", "--seed", "1") as (process, out, err):
        assert out.read(1)
        for _ in range(3):
            process.send_signal(number)
        assert process.wait(300) == code
        assert b"Traceback" not in err.read()
    assert listed_turns() == [1]
