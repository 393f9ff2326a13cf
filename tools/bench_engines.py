"""Anima, transformers and llama.cpp as things to be timed: fed with ids, then made to decode."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anima.home import Home
from tools.bench_table import seconds

DECODED = 64
PROMPT_TOKENS = 256
TEXT = (
    "A river begins as rain on a hillside. The water gathers in small streams, finds the lowest "
    "path, and carries stones and soil with it. Over thousands of years it cuts a valley. "
)
Timed = tuple[Callable[[], float], Callable[[], float]]
"""Prefill of a prompt and decode after it, in tokens a second."""


def load(home: Home, threads: int, engine: str) -> tuple[Any, list[int]]:
    import torch

    from anima.trunk import loader

    torch.set_num_threads(threads)
    loaded = loader.load("smollm2", home, device="cpu", dtype="float32", engine=engine)
    return loaded, prompt_of(loaded, PROMPT_TOKENS)


def prompt_of(loaded: Any, tokens: int) -> list[int]:
    """Ids of a text so long."""
    once = loaded.tokenizer.encode(TEXT)
    repeated = loaded.tokenizer.encode(TEXT * (tokens // len(once) + 2))
    ids: list[int] = repeated[:tokens]
    return ids


def read_and_write(trunk: Any) -> Callable[[], Any]:
    """A tap in the middle that reads the stream against a direction and pushes along it."""
    import torch

    direction = torch.nn.functional.normalize(torch.randn(trunk.info.width), dim=0)
    direction = direction.to(trunk.info.device)

    def tap(h: torch.Tensor) -> torch.Tensor:
        against = direction.to(h.dtype)
        return 0.01 * (h @ against)[..., None] * against

    return lambda: {trunk.info.layers // 2: (tap,)}


def decoding(
    trunk: Any, cache: Any, logits: Any, tokens: int, taps: Callable[[], Any] = dict
) -> float:
    """Tokens a second of greedy decoding after logits `[V]`, the first token not counted."""
    import torch

    from anima.trunk.generation import decode
    from anima.trunk.sampler import pick
    from anima.trunk.settings import Sampling

    greedy, generator = Sampling(temperature=0), torch.Generator()
    picks = decode(
        trunk, cache, logits, choose=lambda scores, _: pick(scores, greedy, generator),
        end_ids=(), limit=tokens + 1, taps=taps,
    )  # fmt: skip
    next(picks)
    return tokens / seconds(lambda: list(picks))


def anima(trunk: Any, ids: list[int], taps: Callable[[], Any] = dict) -> Timed:
    import torch

    prompt = torch.tensor([ids])

    def prefill() -> float:
        cache = trunk.cache()
        # The logits are taken over, so that a device has finished when the clock is read.
        return len(ids) / seconds(lambda: trunk.forward(prompt, cache, taps=taps()).logits.cpu())

    def decode() -> float:
        cache = trunk.cache()
        logits = trunk.forward(prompt, cache).logits[0, -1]
        return decoding(trunk, cache, logits, DECODED, taps)

    return prefill, decode


def transformers(model: Any, ids: list[int]) -> Timed:
    import torch

    prompt = torch.tensor([ids]).to(model.device)
    times: list[float] = []

    def note(*_: Any) -> torch.Tensor:
        times.append(time.perf_counter())
        return torch.zeros(1, dtype=torch.bool, device=prompt.device)

    def prefill() -> float:
        with torch.no_grad():
            return len(ids) / seconds(lambda: model(prompt, logits_to_keep=1).logits.cpu())

    def decode() -> float:
        times.clear()
        model.generate(
            prompt, max_new_tokens=DECODED + 1, min_new_tokens=DECODED + 1, do_sample=False,
            pad_token_id=0, stopping_criteria=[note],
        )  # fmt: skip
        return DECODED / (times[-1] - times[0])

    return prefill, decode


def open_llama_cpp(gguf: Path, threads: int, window: int) -> Any:
    from llama_cpp import Llama

    return Llama(
        model_path=str(gguf), n_ctx=window, n_threads=threads, n_threads_batch=threads,
        verbose=False,
    )  # fmt: skip


def llama_cpp(model: Any, ids: list[int]) -> Timed:
    def prefill() -> float:
        model.reset()
        return len(ids) / seconds(lambda: model.eval(ids))

    def decode() -> float:
        model.reset()
        model.eval(ids)
        return llama_cpp_decoding(model, DECODED)

    return prefill, decode


def llama_cpp_decoding(model: Any, tokens: int) -> float:
    """Tokens a second of greedy decoding after what was evaluated last."""

    def run() -> None:
        for _ in range(tokens):
            model.eval([model.sample(temp=0.0)])

    return tokens / seconds(run)
