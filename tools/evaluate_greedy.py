"""Compares Anima's greedy decoding with `transformers.generate`, token for token, on one model.

    python -m tools.evaluate_greedy --prompts 20 --tokens 200

A difference counts where the reference's two best logits are more than 1e-3 apart: below that, two
correct kernels may order them differently. Knows nothing of personas.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from anima.home import Home, find_home

if TYPE_CHECKING:
    from torch import Tensor

MARGIN = 1e-3
PROMPTS = (
    "What is the capital of France?",
    "Write a short story about a lighthouse keeper.",
    "Explain how a bicycle stays upright.",
    "def fibonacci(n):",
    "List three uses of salt.",
    "Who was Ada Lovelace?",
    "Translate 'good morning' into Spanish.",
    "What is 17 times 23?",
    "Give me a recipe for pancakes.",
    "Why is the sky blue?",
    "Describe the room you are in.",
    "How do I learn to play the piano?",
    "Write a poem about the sea.",
    "What happened in 1969?",
    "Summarise the plot of Hamlet.",
    "1, 1, 2, 3, 5, 8,",
    "Tell me a joke about cats.",
    "What should I pack for a week in the mountains?",
    "Explain photosynthesis to a child.",
    "Wie spät ist es?",
)


@dataclass(kw_only=True)
class Outcome:
    """How many prompts were compared, how many tokens, and where they differed."""

    compared: int = 0
    tokens: int = 0
    near_ties: int = 0
    differences: list[str] = field(default_factory=list)


def compare(
    home: Home, *, prompts: int, tokens: int, model: str = "smollm2", engine: str = "fast"
) -> Outcome:
    """Decode each prompt in an execution and by `generate`, on the same weights in float32."""
    import torch

    from anima.trunk import loader
    from anima.trunk.generation import decode
    from anima.trunk.reference import ReferenceTrunk
    from anima.trunk.sampler import pick
    from anima.trunk.settings import Sampling

    load = partial(loader.load, model, home, device="cpu", dtype="float32", quantize="none")
    loaded = load(engine=engine)
    reference = load(engine="reference").trunk
    assert isinstance(reference, ReferenceTrunk)
    bare = reference.model
    outcome = Outcome()
    greedy, generator = Sampling(temperature=0), torch.Generator()
    for prompt in PROMPTS[:prompts]:
        ids = torch.tensor([loaded.tokenizer.encode_literal(_chat(prompt))])
        expected, margins = _generated(bare, ids, tokens)
        cache = loaded.trunk.cache()
        logits = loaded.trunk.forward(ids, cache).logits[0, -1]
        ours = [
            chosen.id
            for chosen in decode(
                loaded.trunk, cache, logits,
                choose=lambda row, _: pick(row, greedy, generator), end_ids=(), limit=tokens,
            )
        ]  # fmt: skip
        outcome.compared += 1
        outcome.tokens += len(ours)
        _judge(outcome, prompt, ours, expected, margins)
    return outcome


def _judge(
    outcome: Outcome,
    prompt: str,
    ours: Sequence[int],
    expected: Sequence[int],
    margins: Sequence[float],
) -> None:
    for place, (mine, theirs) in enumerate(zip(ours, expected, strict=True)):
        if mine == theirs:
            continue
        if margins[place] <= MARGIN:
            outcome.near_ties += 1
        else:
            outcome.differences.append(f"{prompt!r}, token {place + 1}: {mine} instead of {theirs}")
        return  # what follows another token is another text


def _chat(prompt: str) -> str:
    return (
        "<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n"
        f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    )


def _generated(model: Any, ids: "Tensor", tokens: int) -> tuple[list[int], list[float]]:
    """What `generate` says, and at each token how far its two best logits are apart."""
    out = model.generate(
        ids, max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    best = [logits[0].topk(2).values for logits in out.logits]
    margins = [float(first - second) for first, second in best]
    return out.sequences[0, ids.shape[1] :].tolist(), margins


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--engine", choices=("reference", "fast"), default="fast")
    options = parser.parse_args(arguments)
    home = find_home(None, os.environ)
    outcome = compare(home, prompts=options.prompts, tokens=options.tokens, engine=options.engine)
    print(f"{outcome.compared} prompts, {outcome.tokens} tokens")
    print(f"differences: {len(outcome.differences)}; near ties (≤ {MARGIN}): {outcome.near_ties}")
    for line in outcome.differences:
        print(f"  {line}")
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    sys.exit(main())
