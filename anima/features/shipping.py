"""Makes a trained SAE ready to ship: threshold set, weights rounded, figures measured, card written.

Knows an SAE, rows and texts; where they came from it is told.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from anima.context import Tokens
from anima.errors import FeatureError
from anima.features.choosing import MOST_RISE, Candidate
from anima.features.fidelity import Fidelity, Loss, curve, fidelity, loss
from anima.features.sae import CONFIG, WEIGHTS, Sae, load_folder
from anima.features.statistics import FeatureStatistics, measure
from anima.features.training import Recipe
from anima.home import make_folder, write_atomically
from anima.trunk.interface import Trunk

NOTES = "notes.md"
CURVE = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0)
"""The multiples of the threshold at which the L0–FVU curve is taken."""
_BATCH = 4096
_REMEDY = "Choose another place with --out."


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All that was measured of the weights as shipped, after rounding."""

    held: Fidelity
    parts: Mapping[str, Fidelity]
    curve: Sequence[Fidelity]
    loss: Loss
    statistics: FeatureStatistics
    seen: int

    @property
    def dead(self) -> float:
        """The share of features that were not active once on all tokens there are."""
        return float((~self.statistics.live).float().mean())


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where texts came from: conversations and content tokens kept of them, by part."""

    name: str
    sha256: str
    train: int
    held: int


@dataclass(frozen=True, kw_only=True)
class Story:
    """What the card tells beside the figures; `notes` are what a person wrote, by section."""

    model: str
    fingerprint: str
    sources: Sequence[Source]
    candidates: Sequence[Candidate]
    recipe: Recipe
    steps: int
    command: str
    versions: Mapping[str, str]
    notes: Mapping[str, str] = field(default_factory=dict)


def notes_in(folder: Path) -> dict[str, str]:
    """What a person wrote for the card in `notes.md`, by section; raises FeatureError."""
    path = folder / NOTES
    if not path.exists():
        return {}
    try:
        sections = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    except (OSError, UnicodeDecodeError) as error:
        raise FeatureError(f"{path} cannot be read: {error}.") from error
    pairs = (section.partition("\n") for section in sections)
    return {title.strip(): text.strip() for title, _, text in pairs}


def write_sae(sae: Sae, folder: Path) -> Sae:
    """Write an SAE in sae-lens's folder format, its matrices in float16; returns what was written."""
    make_folder(folder)
    config = {
        "architecture": sae.architecture, "d_in": sae.width, "d_sae": sae.n_features,
        "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": sae.subtract_decoder_bias,
        "normalize_activations": sae.normalisation, "reshape_activations": "none",
        "metadata": {
            "anima_name": sae.name, "model_name": sae.model, "l0": sae.l0, "prepend_bos": False,
            "hook_name": f"blocks.{sae.layer}.hook_resid_post",
            "hf_hook_name": f"model.layers.{sae.layer}", "sae_lens_version": "6.54.12",
        },
    }  # fmt: skip
    tensors = {
        "W_enc": sae.encoder.half(), "W_dec": sae.decoder.half(), "b_dec": sae.decoder_bias,
        **sae.biases,
    }  # fmt: skip
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    write_atomically(folder / WEIGHTS, content, remedy=_REMEDY)
    text = json.dumps(config, indent=1) + "\n"
    write_atomically(folder / CONFIG, text.encode(), remedy=_REMEDY)
    return load_folder(folder)


def figures(
    sae: Sae,
    held: Mapping[str, Tensor],
    train: Sequence[Tensor],
    trunk: Trunk,
    pieces: Sequence[Tokens],
) -> Figures:
    """Measure an SAE on held-out rows by source, on the rows it was trained on, and on texts."""
    parts = {name: fidelity(sae, torch.split(rows, _BATCH)) for name, rows in held.items()}
    together = torch.cat(list(held.values()))
    every = (batch for rows in (together, *train) for batch in torch.split(rows, _BATCH))
    statistics = measure(sae, every)
    return Figures(
        held=fidelity(sae, torch.split(together, _BATCH)),
        parts=parts,
        curve=curve(sae, torch.split(together[:50_000], _BATCH), CURVE),
        loss=loss(sae, trunk, pieces),
        statistics=statistics,
        seen=statistics.tokens,
    )


def card(sae: Sae, story: Story, found: Figures) -> str:
    """The model card, every figure of it measured, and below each section what a person noted."""
    sections = {
        "Figures": _measured(found),
        "The layer": _layers(story.candidates),
        "Data": _data(story.sources),
        "Training": _table(("setting", "value"), _settings(story)),
        "To repeat": [f"    {story.command}"],
    }
    lines = _head(sae, story)
    for title, section in sections.items():
        lines += [f"## {title}", "", *section, ""]
        if note := story.notes.get(title):
            lines += [note, ""]
    for title, note in story.notes.items():
        if title not in sections:
            lines += [f"## {title}", "", note, ""]
    return "\n".join(lines)


def _head(sae: Sae, story: Story) -> list[str]:
    size = f"{sae.n_features:,} features over a stream of width {sae.width}"
    return [
        f"# {sae.name}",
        "",
        f"A sparse autoencoder ({size}) of the residual stream leaving layer {sae.layer} "
        f"(counted from 0) of `{story.model}`, weights {story.fingerprint[:16]}. BatchTopK, saved "
        "as JumpReLU in sae-lens's folder format; the two matrices are stored in float16, and "
        "every figure below was measured after that rounding.",
        "",
        "It reads content tokens only: what the person and the assistant said, never the system "
        "text, the chat template's own tokens or the first token of a text.",
        "",
    ]


def _measured(found: Figures) -> list[str]:
    return [
        *_table(("what", "value", "measured on"), _rows(found)),
        "",
        "FVU is Σ‖h − ĥ‖² / Σ‖h − mean‖². The rise in NLL is what the model loses per predicted "
        "content token when the layer's content tokens are replaced by their reconstruction (± "
        "one standard error over texts). Dead: not active once on all the tokens there are, "
        "held-out and trained on together."
        + (" Where none is, none is on any text that contains these tokens." * (not found.dead)),
        "",
        *_table(
            ("held-out source", "tokens", "mean L0", "FVU"),
            [
                (name, f"{part.tokens:,}", f"{part.l0:.1f}", f"{part.fvu:.3f}")
                for name, part in found.parts.items()
            ],
        ),
        "",
        "### L0 against FVU",
        "",
        f"The threshold multiplied, on {found.curve[0].tokens:,} held-out tokens.",
        "",
        *_table(
            ("threshold ×", "mean L0", "FVU"),
            [
                (f"{factor:g}", f"{point.l0:.1f}", f"{point.fvu:.3f}")
                for factor, point in zip(CURVE, found.curve, strict=True)
            ],
        ),
    ]


def _data(sources: Sequence[Source]) -> list[str]:
    return [
        "One conversation in twenty, by a hash of its text, is held out of the training.",
        "",
        *_table(
            ("source", "content tokens trained on", "held out", "sha256"),
            [(one.name, f"{one.train:,}", f"{one.held:,}", f"`{one.sha256}`") for one in sources],
        ),
    ]


def _rows(found: Figures) -> list[tuple[str, ...]]:
    held = f"{found.held.tokens:,} held-out tokens"
    texts = f"{found.loss.tokens:,} held-out tokens in {found.loss.texts} texts"
    return [
        ("mean L0", f"{found.held.l0:.1f}", held),
        ("FVU", f"{found.held.fvu:.3f}", held),
        ("rise in NLL", f"{found.loss.rise:.3f} ± {found.loss.spread:.3f} nats", texts),
        ("NLL as it is → replaced", f"{found.loss.clean:.3f} → {found.loss.replaced:.3f}", texts),
        ("dead features", f"{found.dead:.1%}", f"{found.seen:,} tokens"),
        ("mean ‖h‖", f"{found.statistics.norm:.1f}", f"{found.seen:,} tokens"),
    ]


def _layers(candidates: Sequence[Candidate]) -> list[str]:
    if not candidates:
        return ["The layer was given, not chosen."]
    told = (
        "A small SAE on each depth, threshold set to the same L0. Output score: amplify "
        "a feature to ten times its maximum and see whether the tokens it promises follow "
        f"(shares of {candidates[0].scored} features drawn at random, density .01 % to 2 %). "
        "Chosen: the largest share at .01 or more among the layers whose rise in NLL is at most "
        f"{MOST_RISE:g} nats."
    )
    return [
        told,
        "",
        *_table(
            ("layer", "L0", "FVU", "rise in NLL", "score ≥ .01", "score ≥ .1"),
            [
                (
                    str(one.layer), f"{one.l0:.1f}", f"{one.fvu:.3f}",
                    f"{one.loss.rise:.3f} ± {one.loss.spread:.3f}", f"{one.weak:.1%}",
                    f"{one.strong:.1%}",
                )
                for one in candidates
            ],
        ),
    ]  # fmt: skip


def _settings(story: Story) -> list[tuple[str, ...]]:
    recipe = story.recipe
    return [
        ("features, k", f"{recipe.features:,}, {recipe.k:g}"),
        ("samples", f"{story.steps * recipe.batch:,} ({story.steps:,} steps of {recipe.batch:,})"),
        ("learning rate", f"{recipe.rate:g} (Adam; {recipe.warm_up:.0%} warm-up, linear to zero "
                          f"over the last {recipe.decay:.0%})"),
        ("input", "scaled to a mean norm of √d, folded into the weights; decoder bias begins at "
                  "the mean"),
        ("dead features", f"auxiliary loss after {recipe.dead_after:,} samples without firing, on "
                          f"{recipe.auxiliary_rows} rows of a batch"),
        ("seed", str(recipe.seed)),
        *((name, version) for name, version in story.versions.items()),
    ]  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    ruled = ["---"] * len(head)
    return ["| " + " | ".join(row) + " |" for row in (head, ruled, *rows)]
