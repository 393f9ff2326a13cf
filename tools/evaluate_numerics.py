"""Measures what packed weights cost: the decode path against the dequantised float32 model.

    python -m tools.evaluate_numerics [--tokens 20000] [--quantize int4|int8] [--text FILE]

Both read the same text, in pieces that begin with an empty context, the packed one token by token.
The text is Python's own language reference unless a file is given. Knows nothing of personas.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from anima.home import Home, find_home

PIECE = 500
"""Tokens of context at the end of a piece."""


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """How far the packed model is from the full one over so many tokens.

    `same_argmax` is a share; `nll_change` the relative change of the text's negative log
    likelihood; divergences KL(full‖packed) and `entropy_error` (mean absolute) are in nats.
    """

    tokens: int
    same_argmax: float
    nll: float
    nll_change: float
    divergence: float
    divergence_p99: float
    entropy_error: float


def measure(home: Home, text: str, *, tokens: int, quantize: str = "int4") -> Numerics:
    """Read the first tokens of a text with both; raises SystemExit where it has too few."""
    import torch

    from anima.trunk import loader

    full = loader.load("smollm2", home, device="cpu", engine="reference", quantize="none")
    packed = loader.load("smollm2", home, device="cpu", engine="fast", quantize=quantize).trunk
    ids = full.tokenizer.encode(text[: 8 * tokens])[: tokens + 1]
    if len(ids) <= tokens:
        raise SystemExit(f"The text has {len(ids)} tokens: {tokens + 1} are needed.")
    rows: list[torch.Tensor] = []
    for start in range(0, tokens, PIECE):
        piece = torch.tensor([ids[start : min(start + PIECE, tokens)]])
        following = torch.tensor(ids[start + 1 : start + 1 + piece.shape[1]])[:, None]
        trunk = full.trunk
        exact = trunk.forward(piece, trunk.cache(), logits_at="all").logits[0].log_softmax(-1)
        cache = packed.cache()
        found = torch.cat(
            [packed.forward(token[None, None], cache).logits[0] for token in piece[0]]
        ).log_softmax(-1)
        rows.append(
            torch.stack(
                (
                    (exact.argmax(-1) == found.argmax(-1)).float(),
                    -exact.gather(1, following)[:, 0],
                    -found.gather(1, following)[:, 0],
                    (exact.exp() * (exact - found)).sum(-1),
                    ((exact.exp() * exact).sum(-1) - (found.exp() * found).sum(-1)).abs(),
                )
            )
        )
    same, before, after, divergence, entropy = torch.cat(rows, 1).double()
    return Numerics(
        tokens=tokens,
        same_argmax=same.mean().item(),
        nll=before.mean().item(),
        nll_change=(after.mean() / before.mean() - 1).item(),
        divergence=divergence.mean().item(),
        divergence_p99=divergence.quantile(0.99).item(),
        entropy_error=entropy.mean().item(),
    )


def own_text() -> str:
    """Prose that every Python brings along: its language reference."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--quantize", choices=("int4", "int8"), default="int4")
    parser.add_argument("--text", type=Path)
    options = parser.parse_args(arguments)
    text = options.text.read_text(encoding="utf-8") if options.text else own_text()
    home = find_home(None, os.environ)
    numerics = measure(home, text, tokens=options.tokens, quantize=options.quantize)
    print(json.dumps(asdict(numerics), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
