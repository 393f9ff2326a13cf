"""What the README shows was run: its table, its commands, its code, its picture."""

import html
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tools.readme import PICTURE, README, ROOT, talk, with_table

TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
INSTALLS = [
    line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines() if "pip" in line
]
COMMANDS = [
    line.partition("#")[0].strip()
    for kind, block in BLOCKS
    if kind == "sh"
    for line in block.splitlines()
    if line not in INSTALLS
]


def test_the_command_table_is_the_registrys():
    assert with_table(TEXT) == TEXT, "run: python -m tools.readme"


def test_the_two_commands_are_one_line_each_and_ci_runs_the_second():
    first, second, *_ = INSTALLS
    assert first == "pip install -e . && anima"
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert second in script


def test_every_block_is_of_a_kind_that_is_run_here():
    assert {kind for kind, _ in BLOCKS} <= {"sh", "python"}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shown_runs(command, smollm2_cache, tmp_path):
    environ = {
        **os.environ,
        "ANIMA_CACHE": str(smollm2_cache),
        "ANIMA_MAX_TOKENS": "8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    run = lambda line: subprocess.run(  # noqa: E731
        ["bash", "-euo", "pipefail", "-c", line], cwd=ROOT, env=environ, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert run("anima -p 'Hello' --persona default").returncode == 0
    if "SESSION" in command:
        session = run(
            'anima sessions list --json | grep -o \'"id": *"[^"]*\' | head -1 | cut -d\'"\' -f4'
        )
        command = command.replace("SESSION", session.stdout.strip())
    done = run(_short(command, tmp_path))
    if command in ("anima", "anima --continue"):
        # Without a terminal and a text there is nothing to answer, and that is said.
        assert done.returncode == 2, done.stderr
        return
    assert done.returncode == 0, done.stdout + done.stderr


def _short(command, folder):
    """The same command at smoke size, its files elsewhere."""
    words = shlex.split(command)
    if "tools.bench" in command:
        return f"python -m tools.bench --repetitions 1 --lines 1000 --json {folder / 'bench.json'}"
    if "tools.evaluate_greedy" in command:
        return f"{command} --prompts 1 --tokens 8"
    if "tools.evaluate_numerics" in command:
        return "python -m tools.evaluate_numerics --tokens 64"
    return command if words[0] != "pytest" else "true"


@pytest.mark.slow
def test_the_code_shown_runs(smollm2_cache, monkeypatch, capsys):
    monkeypatch.setenv("ANIMA_CACHE", str(smollm2_cache))
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(compile(code, "README.md", "exec"), {})
    assert "Paris" in capsys.readouterr().out


@pytest.mark.slow
def test_the_picture_shows_what_the_chat_says_today(smollm2_cache, monkeypatch):
    monkeypatch.setenv("ANIMA_CACHE", str(smollm2_cache))
    terminal = talk()
    seen = terminal.text
    terminal.close()
    picture = PICTURE.read_text(encoding="utf-8").replace("&#160;", " ")
    drawn = html.unescape("".join(re.findall(r"<text[^>]*>(.*?)</text>", picture)))
    for line in seen.splitlines():
        if "tokens/s" in line:  # the speed is this machine's and this minute's
            continue
        for word in line.split():
            assert word in drawn, f"run: python -m tools.readme ({line!r} is not in the picture)"
