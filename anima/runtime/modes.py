"""Makes modes for a loaded model: the workshop over what is there, one mode or all that ship.

It knows the model's template and the shipped texts, and neither screens nor sessions.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anima.context import ChatFormat, jinja_render
from anima.errors import SteeringError
from anima.home import shipped_models
from anima.prism.build import CALIBRATION, Built, build
from anima.prism.contrast import Contrast, Reader, read_contrast
from anima.prism.mode import Mode
from anima.prism.switching import Switcher, train_switcher
from anima.prism.workshop import Workshop
from anima.runtime.opening import end_ids, prefix

if TYPE_CHECKING:
    from anima.prism.measuring import Score
    from anima.runtime.prism import Book
    from anima.trunk.loader import Loaded

SHIPPED: Mapping[str, str] = {
    "anima": "Warm and personal: speaks as someone, to someone.",
    "system": "Dry and factual: short statements; fantasy is suppressed.",
    "dream": "Creative and sensuous: images, comparisons, things that live.",
}
"""The modes whose contrast texts come with Anima, and what each is."""

_SUPPRESSING = ("system",)
_NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)  # a template that prints the date prints this one


def open_workshop(loaded: "Loaded", book: "Book | None", *, layer: int | None = None) -> Workshop:
    """The workshop for a model: at its SAE's layer, or at `layer` (by default half-way) without.

    The texts are read after the core that every conversation begins with.
    """
    render = jinja_render(loaded.chat_template, loaded.special_tokens, lambda: _NOON)
    format = ChatFormat.of(render)
    reader = Reader(
        trunk=loaded.trunk, encoder=loaded.tokenizer, format=format, prefix=prefix(None)
    )
    info = loaded.trunk.info
    if book is not None:
        if layer not in (None, book.sae.layer):
            raise SteeringError(
                f"Layer {layer} is not the one of {book.sae.name}, {book.sae.layer}: leave it out."
            )
        return Workshop(
            reader=reader, info=info, end_ids=end_ids(loaded, format), layer=book.sae.layer,
            norm=book.norm, sae=book.sae, statistics=book.scales,
        )  # fmt: skip
    chosen = info.layers // 2 if layer is None else layer
    if not 0 <= chosen < info.layers:
        raise SteeringError(f"Layer {chosen} does not exist: {info.model} has {info.layers}.")
    return Workshop(
        reader=reader, info=info, end_ids=end_ids(loaded, format), layer=chosen,
        norm=mean_norm(reader, chosen),
    )  # fmt: skip


def mean_norm(reader: Reader, layer: int) -> float:
    """The mean ‖h‖ at a layer over the tokens of a few neutral texts."""
    import torch

    rows = torch.cat(reader.residuals(CALIBRATION, layer))
    # The first token of a text may be an attention sink, a hundred times as long as any other.
    return float(rows.norm(dim=-1).median())


def shipped_contrast(name: str) -> Contrast:
    """The two kinds of text that a shipped mode is made from; SteeringError for another name."""
    place = shipped_models()
    if name not in SHIPPED or place is None:
        raise SteeringError(f"No texts come with Anima for {name!r}: {', '.join(SHIPPED)} have.")
    folder = place / "contrast"
    return read_contrast(folder / f"{name}.like.txt", folder / f"{name}.unlike.txt")


def build_shipped(
    workshop: Workshop,
    name: str,
    *,
    score: "Score | None" = None,
    say: Callable[[str], None] = lambda message: None,
) -> Built:
    """One of the shipped modes, made for this model from its texts."""
    return build(
        workshop, shipped_contrast(name), name=name, description=SHIPPED[name],
        suppress=name in _SUPPRESSING, score=score, say=say,
    )  # fmt: skip


def labelled(mode: Mode, book: "Book | None") -> Mode:
    """A mode whose features bear the labels that they have now."""
    if book is None:
        return mode
    pushes = (
        replace(push, label=book.names.label(push.feature) or push.label) for push in mode.features
    )
    return replace(mode, features=tuple(pushes))


def build_switcher(workshop: Workshop) -> Switcher:
    """The classifier of `auto` for this model, from the texts that come with Anima."""
    reader = Reader(
        trunk=workshop.reader.trunk, encoder=workshop.reader.encoder, format=workshop.reader.format
    )
    return train_switcher(
        reader, switching_texts(), workshop.layer, fingerprint=workshop.info.fingerprint
    )


def switching_texts() -> dict[str, list[str]]:
    """What users say that calls for each shipped mode, as it comes with Anima."""
    place = shipped_models()
    if place is None:
        raise SteeringError("No texts came with this Anima to train `auto` on: install it anew.")
    return {name: _texts(place / "switching" / f"{name}.txt") for name in SHIPPED}


def _texts(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SteeringError(f"{path} cannot be read: {error}.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
