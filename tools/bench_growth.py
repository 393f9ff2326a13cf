"""How speed changes with the length of the context, and with the number of rows decoded at once."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from anima.home import Home
from tools import bench_engines
from tools.bench_engines import decoding, llama_cpp_decoding, prompt_of
from tools.bench_table import Row, seconds, taking_turns

CONTEXTS = (256, 1024, 2048, 4096, 8192)
ROWS = 16
_CHUNK = 512


def growth(
    home: Home, gguf: Path | None, threads: int, repetitions: int, contexts: Sequence[int],
    tokens: int,
) -> list[Row]:  # fmt: skip
    """Decode tokens/s of the `tokens` tokens that end at each length of context.

    The text before them is read once; each repetition takes back what the last one decoded.
    """
    loaded, _ = bench_engines.load(home, threads, "fast")
    llama = None if gguf is None else bench_engines.open_llama_cpp(gguf, threads, max(contexts))
    rows = []
    for context in contexts:
        ids = prompt_of(loaded, context - tokens - 2)
        what = f"decode at context {context}"
        measures = {(what, "anima"): _anima(loaded.trunk, ids, tokens)}
        if llama is not None:
            measures[(what, "llama.cpp")] = _llama_cpp(llama, ids, tokens)
        rows += taking_turns(measures, repetitions, "tokens/s")
    return rows


def _anima(trunk: Any, ids: list[int], tokens: int) -> Callable[[], float]:
    import torch

    cache, prompt = trunk.cache(), torch.tensor([ids])
    for chunk in torch.split(prompt, _CHUNK, 1):
        logits = trunk.forward(chunk, cache).logits[0, -1]

    def measure() -> float:
        cache.crop(len(ids))
        return decoding(trunk, cache, logits, tokens)

    return measure


def _llama_cpp(model: Any, ids: list[int], tokens: int) -> Callable[[], float]:
    """The same; llama.cpp takes back by its count of tokens, and one is read again for its logits."""
    model.reset()
    model.eval(ids)

    def measure() -> float:
        model.n_tokens = len(ids) - 1
        model.eval(ids[-1:])
        return llama_cpp_decoding(model, tokens)

    return measure


def batch(home: Home, threads: int, repetitions: int, rows: int, tokens: int) -> list[Row]:
    """Decode tokens/s of all rows together: many ragged prompts at once, and one alone.

    The prefill is taken off: what a run to the last token takes beyond one to the first.
    """
    from anima.trunk.generation import generate_batch

    loaded, _ = bench_engines.load(home, threads, "fast")
    prompts = [prompt_of(loaded, 16 + 2 * index) for index in range(rows)]

    def measure(count: int) -> float:
        run = partial(generate_batch, loaded.trunk, prompts[:count])
        short = seconds(lambda: run(limit=1))
        return count * (tokens - 1) / (seconds(lambda: run(limit=tokens)) - short)

    measures = {
        (f"batched decode, {rows} rows", whose): partial(measure, count)
        for whose, count in (("anima", rows), ("anima, one row alone", 1))
    }
    return taking_turns(measures, repetitions, "tokens/s")
