"""The execution for devices at a model's full shape, with random weights, against its bandwidth.

python -m tools.bench --rows device --shape llama-3-8b --device cuda
"""

import gc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from tools import bench_engines
from tools.bench_engines import DECODED, PROMPT_TOKENS
from tools.bench_table import Row, row, seconds, taking_turns

SHAPES: dict[str, dict[str, Any]] = {
    "llama-3-8b": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
    },
    "toy": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512,
        "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
    },
}  # fmt: skip
_BUFFER = {"cuda": 4 << 30, "mps": 1 << 30, "cpu": 64 << 20}
"""Bytes read to measure the bandwidth: many times the device's caches."""


def device_rows(shape: str, device: str, repetitions: int) -> list[Row]:
    """Bandwidth, decode and prefill at batch 1, with a tap, and plain `generate` for comparison."""
    trunk = _random_trunk(shape, device)
    ids = [index % 500 for index in range(PROMPT_TOKENS)]
    prefill, decode = bench_engines.anima(trunk, ids)
    tapped = bench_engines.anima(trunk, ids, bench_engines.read_and_write(trunk))[1]
    alone = partial(_forwards, trunk, ids)
    model = _transformers_model(shape, device)
    their_prefill, their_decode = bench_engines.transformers(model, ids)
    rows = taking_turns(
        {
            ("decode", "anima"): decode, ("decode", "anima, tapped"): tapped,
            ("decode", "anima, no token chosen"): alone,
            ("decode", "transformers"): their_decode,
            ("prefill", "anima"): prefill, ("prefill", "transformers"): their_prefill,
        },
        repetitions, "tokens/s",
    )  # fmt: skip
    read = row("bandwidth, read", "the device", _bandwidth(device, repetitions, 1), "GB/s")
    copied = row("bandwidth, copy", "the device", _bandwidth(device, repetitions, 2), "GB/s")
    needed = _bytes_per_token(trunk)
    # The larger of the two is the stricter bound.
    bound = max(read.median, copied.median) * 1e9 / needed
    shares = [_share(each, bound) for each in rows if each.what == "decode"]
    return [read, copied, row("bytes per token", "the shape", [needed / 1e9], "GB"), *rows, *shares]


def _share(of: Row, bound: float) -> Row:
    """A speed as a share of what the bandwidth allows."""
    scale = 100 / bound
    return replace(
        of, what="decode, share of the bandwidth bound", median=of.median * scale,
        least=of.least * scale, most=of.most * scale, unit="%",
    )  # fmt: skip


def _random_trunk(name: str, device: str) -> Any:
    import torch

    from anima.trunk.fast_loading import fast_info
    from anima.trunk.fast_shape import shape_of
    from anima.trunk.static import StaticTrunk
    from anima.trunk.static_weights import random_weights

    shape = shape_of({"architectures": ["LlamaForCausalLM"], **SHAPES[name]})
    weights = random_weights(shape, torch.device(device), torch.bfloat16)
    info = replace(
        fast_info(shape, name=name, fingerprint="random", quantize="none"),
        device=device, dtype="bfloat16",
    )  # fmt: skip

    def reference() -> Any:
        raise SystemExit("random weights are for timing: there is nothing to differentiate")

    return StaticTrunk(weights, shape, info, reference=reference)


def _transformers_model(name: str, device: str) -> Any:
    """The same shape as plain transformers runs it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {key: value for key, value in SHAPES[name].items() if key != "rope_theta"}
    rope = {"rope_type": "default", "rope_theta": SHAPES[name]["rope_theta"]}
    config = LlamaConfig(**settings, rope_parameters=rope, tie_word_embeddings=False)
    gc.collect()
    with torch.device(device):
        model = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
    return model.eval().requires_grad_(False)


def _forwards(trunk: Any, ids: list[int]) -> float:
    """Decode tokens/s where the next token is given, so that nothing waits for the choice."""
    import torch

    cache, token = trunk.cache(), torch.tensor([[7]])
    trunk.forward(torch.tensor([ids]), cache)
    trunk.forward(token, cache).logits.cpu()

    def run() -> None:
        for _ in range(DECODED):
            step = trunk.forward(token, cache)
        step.logits.cpu()

    return DECODED / seconds(run)


def _bytes_per_token(trunk: Any) -> int:
    """Weights, and the keys and values at the middle of what is decoded, in 16 bits."""
    info = trunk.info
    head_width = trunk.cache().room(1).keys_values.shape[-1]
    held = PROMPT_TOKENS + DECODED // 2
    cache = 2 * info.layers * info.key_value_heads * head_width * held * 2
    return int(trunk.bytes_per_token + cache)


def _bandwidth(device: str, repetitions: int, passes: int) -> list[float]:
    """GB/s of reading a large buffer into a sum (1 pass) or of copying it (2: read and write)."""
    import torch

    source = torch.ones(_BUFFER[device] // 4, device=device)
    target = torch.empty_like(source) if passes == 2 else None
    wait = _waiting(device)

    def once() -> None:
        source.sum() if target is None else target.copy_(source)
        wait()

    once()
    size = passes * source.numel() * source.element_size()
    return [size / seconds(once) / 1e9 for _ in range(max(5, repetitions))]


def _waiting(device: str) -> Callable[[], None]:
    import torch

    waits: dict[str, Callable[[], None]] = {
        "cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize,
    }  # fmt: skip
    return waits.get(device, lambda: None)
