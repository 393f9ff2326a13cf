"""Lets a model talk to itself: questions it makes up, or is given, and its own answers to them.

What it says is what its features will be read on, so they are trained on it as well. Knows token
ids and a chat format, no persona.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from anima.context import ChatFormat, Context, Segment
from anima.errors import StorageError
from anima.home import append_durably
from anima.trunk.loader import Loaded


@dataclass(frozen=True, kw_only=True)
class Talk:
    """How it talks: rows at once, tokens of a question and of an answer, and how it draws."""

    rows: int = 64
    question: int = 60
    answer: int = 160
    temperature: float = 0.8
    top_k: int = 50
    seed: int = 0


def talk(
    loaded: Loaded,
    format: ChatFormat,
    prefix: Sequence[Segment],
    path: Path,
    *,
    given: Sequence[str],
    batches: int,
    settings: Talk,
    report: Callable[[int, int], None] = lambda batch, batches: None,
) -> None:
    """Append `batches` × `rows` exchanges to a JSON-lines file, going on where it ends.

    Every other batch answers the next of the `given` questions, the others the model's own: it
    continues an opened user turn. Deterministic under the seed, batch by batch.
    """
    done, offset = _written(path, settings.rows)
    for batch in range(done, batches):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + batch)
        if batch % 2:
            start = (batch // 2) * settings.rows
            asked = [given[(start + row) % len(given)] for row in range(settings.rows)]
        else:
            asked = _questions(loaded, format, prefix, settings, generator)
        exchanges = list(_answers(loaded, format, prefix, asked, settings, generator))
        lines = "".join(json.dumps({"turns": turns}) + "\n" for turns in exchanges).encode()
        append_durably(path, lines, offset=offset)
        offset += len(lines)
        report(batch + 1, batches)


def _written(path: Path, rows: int) -> tuple[int, int]:
    """How many whole batches a file holds, and where they end."""
    try:
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
    whole = len([line for line in lines if line.endswith(b"\n")]) // rows
    return whole, sum(len(line) for line in lines[: whole * rows])


def _questions(
    loaded: Loaded,
    format: ChatFormat,
    prefix: Sequence[Segment],
    settings: Talk,
    generator: torch.Generator,
) -> list[str]:
    head = Context.begin(loaded.tokenizer, format, prefix).head.ids
    rows = sample(
        loaded, [head] * settings.rows, settings.question, settings, generator, temperature=1.0
    )
    return [loaded.tokenizer.decode(ids).strip() or "Hello." for ids in rows]


def _answers(
    loaded: Loaded,
    format: ChatFormat,
    prefix: Sequence[Segment],
    asked: Sequence[str],
    settings: Talk,
    generator: torch.Generator,
) -> Iterator[list[str]]:
    start = Context.begin(loaded.tokenizer, format, prefix)
    prompts = [start.ask([Segment(role="user", text=text)]).tokens().ids for text in asked]
    replies = sample(
        loaded, prompts, settings.answer, settings, generator, temperature=settings.temperature
    )
    for text, ids in zip(asked, replies, strict=True):
        yield [text, loaded.tokenizer.decode(ids).strip() or "..."]


def sample(
    loaded: Loaded,
    prompts: Sequence[Sequence[int]],
    limit: int,
    settings: Talk,
    generator: torch.Generator,
    *,
    temperature: float,
) -> list[list[int]]:
    """Continuations of ragged prompts, all rows drawn at once from one generator by top-k."""
    widest = max(len(prompt) for prompt in prompts)
    padding = [widest - len(prompt) for prompt in prompts]
    ids = torch.tensor([[0] * n + list(prompt) for n, prompt in zip(padding, prompts, strict=True)])
    cache = loaded.trunk.cache(len(prompts), padding=padding)
    ends = torch.tensor(sorted(loaded.end_ids))
    running = torch.ones(len(prompts), dtype=torch.bool)
    drawn: list[Tensor] = []
    kept: list[Tensor] = []
    for _ in range(limit):
        logits = loaded.trunk.forward(ids, cache).logits[:, -1].float().cpu()
        best = (logits / temperature).topk(settings.top_k)
        choice = torch.multinomial(best.values.softmax(-1), 1, generator=generator)
        token = best.indices.gather(1, choice)[:, 0]
        running = running & ~torch.isin(token, ends)
        if not running.any():
            break
        drawn.append(token)
        kept.append(running)
        ids = torch.where(running, token, 0)[:, None]
    if not drawn:
        return [[] for _ in prompts]
    tokens, alive = torch.stack(drawn, 1), torch.stack(kept, 1)
    return [row[keep].tolist() for row, keep in zip(tokens, alive, strict=True)]
