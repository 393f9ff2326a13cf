"""Puts an SAE on the model at hand: opened by any of its names, measured, looked at once.

It knows features and the loaded model, and neither modes nor sessions. What does not fit is said
and leaves the chat as it is.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anima.errors import FeatureError
from anima.home import Home, make_folder, write_atomically

if TYPE_CHECKING:
    from anima.context import ChatFormat
    from anima.features.opening import Opened
    from anima.features.sae import Sae
    from anima.features.statistics import FeatureStatistics
    from anima.trunk.loader import Loaded


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """An SAE on its model; `read_only` says why nothing is steered by it, "" where it may be."""

    sae: "Sae"
    statistics: "FeatureStatistics"
    folder: Path
    read_only: str = ""


def fitted(
    opened: "Opened",
    loaded: "Loaded",
    format: "ChatFormat",
    home: Home,
    *,
    say: Callable[[str], None] = lambda message: None,
) -> Fitted:
    """An SAE with its statistics, measured here where none lie beside it, and the first look.

    The look costs one short call of the model and is kept by model and SAE in the cache. Raises
    FeatureError for an SAE of another width or depth.
    """
    from anima.features.sae import check_fits

    info = loaded.trunk.info
    sae = opened.sae.to(info.device)
    check_fits(sae, model=info.model, width=info.width, layers=info.layers)
    statistics = opened.statistics
    if statistics is None:
        say(f"{sae.name} comes without statistics: its features are measured on a few texts")
        statistics = _measured(sae, loaded, format)
    why = _looked(sae, loaded, format, home)
    return Fitted(sae=sae, statistics=statistics, folder=opened.folder, read_only=why)


def _looked(sae: "Sae", loaded: "Loaded", format: "ChatFormat", home: Home) -> str:
    """What is wrong with the SAE on this model, "" for nothing; kept, for neither changes."""
    from anima.features import sanity
    from anima.prism.mode import mark_of

    info = loaded.trunk.info
    path = home.cache / "looks" / f"{info.fingerprint[:16]}-{mark_of(sae)}-{sae.layer}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return str(kept["why"])
    except (OSError, ValueError, KeyError, TypeError):
        # Not looked at before, or not readable: a look is cheap.
        found = sanity.check(sae, loaded.trunk, sanity.probe(loaded.tokenizer, format))
    make_folder(path.parent)
    figures = {"sae": sae.name, "l0": found.l0, "fvu": found.fvu, "why": found.why}
    write_atomically(path, json.dumps(figures).encode())
    return found.why


def _measured(sae: "Sae", loaded: "Loaded", format: "ChatFormat") -> "FeatureStatistics":
    """Statistics on the texts that come with Anima: few tokens, enough for scales and a norm."""
    from anima.features.statistics import measure
    from anima.prism.contrast import Reader
    from anima.runtime.modes import SHIPPED, shipped_contrast
    from anima.runtime.opening import prefix

    reader = Reader(
        trunk=loaded.trunk, encoder=loaded.tokenizer, format=format, prefix=prefix(None)
    )
    texts = [t for n in SHIPPED for t in (*shipped_contrast(n).like, *shipped_contrast(n).unlike)]
    import torch

    together = torch.cat(reader.residuals(texts, sae.layer))
    lengths = together.norm(dim=-1)
    # The first token of a text may be an attention sink, a hundred times as long as any other.
    usual = together[lengths < 4 * lengths.median()]
    return measure(sae, torch.split(usual, 1024))


def published(model: str, cache: Path) -> str | None:
    """The name under which a catalog model's published SAE opens, where it was fetched before."""
    from anima.trunk import catalog

    entry = catalog.CATALOG.get(model)
    if entry is None or entry.sae is None:
        return None
    name = f"{entry.sae.release}:{entry.sae.id}"
    from anima.features.opening import fetched

    return name if fetched(name, cache=cache) else None


def explained(error: FeatureError) -> str:
    """What to say where an SAE cannot be used and the chat goes on without."""
    return f"There are no features: {error}"
