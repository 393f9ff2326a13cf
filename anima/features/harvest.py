"""Runs a model over conversations and keeps its residual stream on disk, several layers at once.

Knows tokens, roles and files; what is made of the activations it does not know. One shard after
another, each complete or absent: a run that was killed goes on where it stopped, byte for byte.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from anima.context import Tokens
from anima.errors import CorruptStateError, UsageError
from anima.features.corpus import CONTENT
from anima.home import make_folder, write_atomically
from anima.trunk.reference import decoder_layers

SHARD_TOKENS = 32_768
"""Tokens that the model reads for one shard, templates included."""
BATCH_TOKENS = 8_192
"""Tokens of one forward call, padding included."""
_REMEDY = "Choose another place with --work."
OUTLIER = 4.0
"""A token whose norm is so many times the shard's median, in any layer kept, is left out.

Such tokens (the first of a text, above all) hold attention sinks of a norm a hundred times the
usual, which a reconstruction loss would be spent on.
"""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What one shard holds: token ids `[n]`, and per layer float16 `[n, d]`."""

    ids: np.ndarray
    layers: dict[int, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a harvest is: content tokens kept, and those left out for their norm."""

    shards: int
    kept: int
    left_out: int


def harvest(
    model: PreTrainedModel,
    pieces: Iterable[Tokens],
    folder: Path,
    *,
    layers: Sequence[int],
    tokens: int,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Keep the residual stream leaving each of `layers` on content tokens, up to `tokens` of them.

    Pieces must come in the same order at every call. Shards that are there are not made again.
    """
    for layer in layers:
        make_folder(folder / f"layer-{layer}")
    make_folder(folder / "tokens")
    kept = left_out = 0
    progress = Progress(shards=0, kept=0, left_out=0)
    for number, group in enumerate(_groups(pieces)):
        done = folder / "tokens" / f"{number:05d}.npy"
        content = sum(role in CONTENT for piece in group for role in piece.roles)
        if not done.exists():
            _write_shard(folder, number, _run(model, group, layers))
        held = len(np.load(done, mmap_mode="r"))
        kept, left_out = kept + held, left_out + content - held
        progress = Progress(shards=number + 1, kept=kept, left_out=left_out)
        report(progress)
        if kept >= tokens:
            break
    return progress


def claim(folder: Path, mark: Mapping[str, object]) -> None:
    """Say in `plan.json` what a folder's shards are of; raises UsageError where they are of else."""
    make_folder(folder)
    path = folder / "plan.json"
    wanted = json.loads(json.dumps(mark))
    if not path.exists():
        write_atomically(path, json.dumps(wanted, indent=1).encode(), remedy=_REMEDY)
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != wanted:
        raise UsageError(
            f"{folder} holds activations of another run ({found}). Delete it, or choose another "
            "place with --work."
        )


def opened(folder: Path, layer: int) -> list[np.ndarray]:
    """The shards of one layer, float16 `[n, d]` each, memory-mapped.

    Raises CorruptStateError where a shard's layer is missing.
    """
    shards = []
    for tokens in sorted((folder / "tokens").glob("*.npy")):
        path = folder / f"layer-{layer}" / tokens.name
        try:
            shards.append(np.load(path, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise CorruptStateError(
                f"{path} cannot be read: {error}. Delete {tokens} to have this shard made again."
            ) from error
    return shards


def arranged(pieces: Iterable[Tokens]) -> Iterator[list[Tokens]]:
    """Shard by shard, the pieces in the order in which a harvest of them keeps their tokens."""
    for group in _groups(pieces):
        yield [piece for batch in _batches(group) for piece in batch]


def _groups(pieces: Iterable[Tokens]) -> Iterator[list[Tokens]]:
    group: list[Tokens] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece)
        if size >= SHARD_TOKENS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _batches(group: Sequence[Tokens]) -> Iterator[list[Tokens]]:
    """Pieces of like length together, so that little is padded."""
    batch: list[Tokens] = []
    for piece in sorted(group, key=len):
        if batch and (len(batch) + 1) * len(piece) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


class _Deep(Exception):
    """Ends a forward call after the deepest layer wanted."""


def residuals(model: PreTrainedModel, ids: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
    """The residual stream `[B, q, d]` leaving each layer; what lies deeper is not computed."""
    seen: dict[int, Tensor] = {}
    deepest = max(layers)

    def keeper(layer: int) -> Callable[..., None]:
        def keep(module: nn.Module, arguments: object, output: Tensor | tuple[Tensor, ...]) -> None:
            seen[layer] = output if isinstance(output, Tensor) else output[0]
            if layer == deepest:
                raise _Deep

        return keep

    stack = decoder_layers(model)
    handles = [stack[layer].register_forward_hook(keeper(layer)) for layer in layers]
    try:
        with torch.no_grad():
            model.base_model(ids.to(model.device), use_cache=False)
    except _Deep:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _run(model: PreTrainedModel, group: Sequence[Tokens], layers: Sequence[int]) -> Shard:
    ids: list[Tensor] = []
    rows: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for batch in _batches(group):
        # Padding on the right is seen by no token before it: no mask, and the fast causal path.
        padded = torch.zeros((len(batch), len(batch[-1])), dtype=torch.long)
        content = torch.zeros_like(padded, dtype=torch.bool)
        for row, piece in enumerate(batch):
            padded[row, : len(piece)] = torch.tensor(piece.ids)
            content[row, : len(piece)] = torch.tensor([role in CONTENT for role in piece.roles])
        seen = residuals(model, padded, layers)
        ids.append(padded[content])
        for layer in layers:
            rows[layer].append(seen[layer][content.to(seen[layer].device)].cpu())
    together = {layer: torch.cat(found) for layer, found in rows.items()}
    usual = _usual(together.values())
    return Shard(
        ids=torch.cat(ids)[usual].numpy().astype(np.int32),
        layers={layer: h[usual].to(torch.float16).numpy() for layer, h in together.items()},
    )


def _usual(layers: Iterable[Tensor]) -> Tensor:
    """Which tokens `[n]` have a finite and usual norm in every layer."""
    norms = [h.float().norm(dim=-1) for h in layers]
    checks = [norm.isfinite() & (norm <= OUTLIER * norm.nanmedian()) for norm in norms]
    return torch.stack(checks).all(dim=0)


def _write_shard(folder: Path, number: int, shard: Shard) -> None:
    name = f"{number:05d}.npy"
    for layer, rows in shard.layers.items():
        _write(folder / f"layer-{layer}" / name, rows)
    # Last: a shard without its tokens is not there.
    _write(folder / "tokens" / name, shard.ids)


def _write(path: Path, rows: np.ndarray) -> None:
    content = io.BytesIO()
    np.save(content, rows)
    write_atomically(path, content.getvalue(), remedy=_REMEDY)
