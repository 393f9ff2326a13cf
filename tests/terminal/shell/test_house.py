import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from anima import cli
from anima.home import Home
from anima.terminal import health
from anima.trunk import conformance

from .conftest import Anima

Lived = dict[str, str]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(anima: Anima, *arguments: str) -> list[tuple[str, str]]:
    """What a doctor has to say against this machine, and that its exit code fits that."""
    code, out, _ = anima("doctor", "--json", *arguments)
    found = json.loads(out)
    wrong = [(each["subject"], each["text"]) for each in found["findings"] if not each["ok"]]
    assert (code, found["ok"]) == ((1, False) if wrong else (0, True))
    return wrong


def test_a_whole_machine_is_well(anima: Anima, lived: Lived) -> None:
    assert problems(anima) == []
    code, out, err = anima("doctor", "--device", "cpu", "--threads", "1")
    assert (code, err) == (0, "All is well.\n")
    lines = {line[4:].partition(":")[0]: line for line in out.splitlines()}
    assert all(line.startswith("ok  ") for line in lines.values())
    assert "torch " in lines["packages"]
    assert "cpu (" in lines["device"]
    assert "engine fast (reference for what is no Llama), 1 of " in lines["device"]
    assert "anima models pull smollm2" in lines["model"]
    assert {"persona bob", "persona default"} < set(lines)


def test_all_that_is_wrong_is_found_and_nothing_is_changed(
    anima: Anima, home: Home, lived: Lived, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (home.persona("bob") / "HEAD.json").write_text('{"schema": 9}', encoding="utf-8")
    (home.dreams / "ghost").mkdir(parents=True)
    Path(os.environ["ANIMA_CONFIG"]).write_text("sed = 1\ntop_p = 3\n", encoding="utf-8")
    model = home.models / "smollm2"
    model.mkdir(parents=True)
    (model / "anima.json").write_text("{", encoding="utf-8")
    monkeypatch.setenv("EDITOR", "/no/such/editor --wait")
    before = sorted(tmp_path.rglob("*"))
    found = problems(anima)
    assert [subject for subject, _ in found] == [
        "settings", "settings", "model", "persona bob", "dreams", "editor",
    ]  # fmt: skip
    texts = [text for _, text in found]
    for text, says in zip(
        texts,
        ("line 1: ", "line 2: ", "anima models pull", "Update Anima", "ghost", "/no/such/editor"),
        strict=True,
    ):
        assert says in text
    assert sorted(tmp_path.rglob("*")) == before


def test_a_memory_that_is_damaged_is_found_with_what_mends_it(
    anima: Anima, home: Home, lived: Lived
) -> None:
    anima("memory", "put", "Ada lives in Rome.", "--persona", "bob")
    assert problems(anima) == []
    assert "ok  memory of bob: whole, 1 record\n" in anima("doctor")[1]
    ledger = home.persona("bob") / "memory.sqlite"
    ledger.write_bytes(ledger.read_bytes().replace(b"Ada lives", b"Eve lives"))
    ((subject, text),) = problems(anima)
    assert (subject, "broken at record 1" in text) == ("memory of bob", True)
    ledger.write_bytes(b"no ledger")
    ((_, text),) = problems(anima)
    assert text.startswith(f"{ledger} is damaged (file is not a database). anima memory repair")


def test_a_model_whose_bytes_changed_is_found(anima: Anima, home: Home, lived: Lived) -> None:
    from anima.trunk.manifest import SCHEMA

    folder = home.models / "smollm2"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"changed")
    manifest = {
        "schema": SCHEMA, "model": "smollm2", "source": {}, "fingerprint": "",
        "files": {"weights": {"size": 7, "sha256": "0" * 64}},
    }  # fmt: skip
    (folder / "anima.json").write_text(json.dumps(manifest), encoding="utf-8")
    ((subject, text),) = problems(anima)
    assert (subject, "another sha256" in text, "--force" in text) == ("model", True, True)


def test_a_device_that_is_not_there_and_too_many_threads_are_found(anima: Anima) -> None:
    if not (wrong := problems(anima, "--device", "mps")):
        pytest.skip("this machine has that device")
    assert wrong[0][0] == "device"
    ((subject, text),) = problems(anima, "--device", "cpu", "--threads", "4000")
    assert (subject, "anima config set threads" in text) == ("threads", True)


def test_a_package_that_is_missing_or_too_old_is_named_with_what_to_install(
    anima: Anima, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = ["rich>=9999", "no-such-package>=1", "never-needed; extra == 'test'"]
    monkeypatch.setattr(health.metadata, "requires", lambda name: stated)
    old, missing = (text for _, text in problems(anima))
    assert "is here, not >=9999: pip install 'rich>=9999'" in old
    assert missing == "no-such-package is missing: pip install 'no-such-package>=1'"


def test_a_torch_that_cannot_be_loaded_is_a_finding_and_no_end(
    anima: Anima, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    ((subject, text),) = problems(anima)
    assert (subject, "install it anew" in text) == ("device", True)


def test_the_execution_that_a_model_would_use_is_said_with_the_reason(
    anima: Anima, tmp_path: Path
) -> None:
    llama = str(tiny.save(tmp_path / "llama"))
    for flags, says in (
        ((), "fast execution, weights in float32, as the folder has no packed ones"),
        (("--dtype", "bfloat16"), "reference execution: the fast execution keeps its residual"),
        (("--engine", "reference"), "reference execution, as set"),
    ):
        code, out, _ = anima("doctor", "--device", "cpu", "--model", llama, *flags)
        assert code == 0
        assert f"execution: {llama}: {says}" in out


def test_a_check_runs_a_random_model_and_the_users_own(anima: Anima, tmp_path: Path) -> None:
    llama = str(tiny.save(tmp_path / "llama"))
    code, out, err = anima("doctor", "--check", "--device", "cpu", "--model", llama)
    assert code == 0
    assert err.endswith("All is well.\n")
    lines = [line for line in out.splitlines() if "check: " in line]
    for each in ("random Llama, reference", "random Llama, fast", f"{llama}, fast, float32"):
        found = [line for line in lines if line.startswith(f"ok  check: {each}: ")]
        assert len(found) == len(conformance.CHECKS)
    assert "72 of 72 tokens as transformers generates them" in lines[0]


def test_a_check_that_fails_is_marked_and_is_the_exit_code(
    anima: Anima, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = conformance.Check(name="greedy text", passed=False, figure="3 of 72 tokens")
    monkeypatch.setattr(conformance, "CHECKS", (lambda case: wrong,))
    found = problems(anima, "--check", "--device", "cpu")
    assert found == [
        ("check", f"random Llama, {each}: greedy text, 3 of 72 tokens")
        for each in ("reference", "fast")
    ]
    _, out, _ = anima("doctor", "--check", "--device", "cpu")
    assert "ok  check: only a random model was checked: smollm2 is not here yet" in out


def test_a_full_disk_and_a_place_that_cannot_be_written_are_found(
    anima: Anima, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.root.parent.joinpath("file").touch()
    monkeypatch.setattr(health, "_LITTLE", 1 << 80)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    subjects = [subject for subject, _ in problems(anima)]
    assert subjects == ["files", "files", "files", "space"]


def test_a_wrong_flag_is_an_error_and_no_finding(anima: Anima) -> None:
    code, _, err = anima("doctor", "--device", "tpu")
    assert (code, "--device" in err) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_names_the_program(anima: Anima, shell: str) -> None:
    code, out, err = anima("completion", shell)
    assert (code, err) == (0, "")
    assert f"_ANIMA_COMPLETE={shell}_complete" in out
    assert "anima" in out


def test_help_says_how_to_install_it_and_an_unknown_shell_is_refused(anima: Anima) -> None:
    out = anima("completion", "--help")[1]
    for line in ("~/.bashrc", "~/.zshrc", "completions/anima.fish"):
        assert line in out
    assert anima("completion", "tcsh")[0] == 2


def completed(anima: Anima, monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    """What the program offers bash for the last word of a line."""
    words = line.split(" ")
    monkeypatch.setenv("_ANIMA_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    _, out, err = anima()
    assert err == ""
    return [each.partition(",")[2] for each in out.splitlines() if each]


def test_commands_flags_and_values_are_completed(
    anima: Anima, lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    anima("sessions", "rename", lived["fox"], "fox")
    anima("sessions", "rename", lived["undone"], "two words")

    def offered(line: str) -> list[str]:
        return completed(anima, monkeypatch, line)

    assert offered("anima se") == ["sessions"]
    assert offered("anima sessions re") == ["rename"]
    assert offered("anima --pers") == ["--persona"]
    assert offered("anima --persona ") == ["bob", "default"]
    assert offered("anima --device c") == ["cpu", "cuda"]
    assert offered("anima --model smol") == ["smollm2"]
    assert offered("anima --model ./x") == ["./x"]
    assert offered("anima sessions show ") == ["fox", lived["undone"], lived["fox"]]
    assert offered("anima --resume fo") == ["fox"]
    assert offered("anima sessions show --persona bob ") == [lived["other"]]
    assert offered("anima --persona bob sessions show ") == [lived["other"]]
    assert offered("anima persona rm b") == ["bob"]
    assert offered("anima config set top") == ["top_p", "top_k"]
    assert offered("anima config set color ") == ["auto", "always", "never"]
    assert offered("anima config set persona ") == ["bob", "default"]
    assert offered("anima config set seed ") == []


def test_where_anything_is_amiss_completion_is_quiet(
    anima: Anima, home: Home, lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.persona("default") / "sessions" / "names.json").write_text("{", encoding="utf-8")
    assert completed(anima, monkeypatch, "anima sessions show ") == [lived["undone"], lived["fox"]]
    Path(os.environ["ANIMA_CONFIG"]).write_text("seed = = 1", encoding="utf-8")
    assert completed(anima, monkeypatch, "anima sessions show ") == []
    assert completed(anima, monkeypatch, "anima --persona ../x sessions show ") == []
    assert completed(anima, monkeypatch, "anima nonsense sub ")[0] == "completion"
    assert completed(anima, monkeypatch, "anima --pers") == ["--persona"]


def test_completion_imports_nothing_heavy() -> None:
    code = (
        "import sys; from anima.cli import main; main([]);"
        "heavy = {'torch', 'transformers', 'numpy', 'rich', 'prompt_toolkit', 'gguf'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    asked = {
        "_ANIMA_COMPLETE": "bash_complete",
        "COMP_WORDS": "anima sessions show ",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_explains_itself_in_the_width_of_a_screen(anima: Anima) -> None:
    import click

    def check(command: click.Command, path: tuple[str, ...]) -> None:
        code, out, err = anima(*path, "-h")
        assert (code, err) == (0, "")
        assert max(map(len, out.splitlines())) <= 80, path
        assert "..." not in out.partition("Commands:")[2], path
        if isinstance(command, click.Group):
            for name, each in command.commands.items():
                check(each, (*path, name))

    check(cli.cli, ())
