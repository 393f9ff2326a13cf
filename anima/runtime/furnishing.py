"""Finds what comes with a model: its SAE, its modes, the classifier of `auto`.

It knows the folders that Anima ships and a person's own, and no turn.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from anima.errors import FeatureError
from anima.home import Home
from anima.prism.force import Ground
from anima.prism.organ import PrismOrgan
from anima.prism.shelf import Shelf
from anima.runtime.places import shelf_of, shipped_for, switcher_of

if TYPE_CHECKING:
    from anima import config
    from anima.context import ChatFormat
    from anima.features.labels import Labels
    from anima.prism.switching import Switcher
    from anima.runtime.prism import Book
    from anima.trunk.loader import Loaded


@dataclass(frozen=True, kw_only=True, eq=False)
class Furniture:
    """What was found for a model; `read_only` says why nothing is steered by its SAE, "" for yes.

    `notices` say what could not be used.
    """

    shelf: Shelf
    book: "Book | None" = None
    switcher: "Switcher | None" = None
    read_only: str = ""
    notices: tuple[str, ...] = ()


def furnish(model: str, home: Home, *, book: bool = True) -> Furniture:
    """What there is for a model by its name; raises SteeringError for files that are damaged.

    `book` False leaves its SAE closed.
    """
    from anima.prism.switching import read_switcher

    folder = shipped_for(model)
    switcher = switcher_of(model, home)
    return Furniture(
        shelf=shelf_of(model, home),
        book=None if folder is None or not book else _book(folder / "sae"),
        switcher=None if switcher is None else read_switcher(switcher),
    )


def furnish_for(
    loaded: "Loaded",
    format: "ChatFormat",
    settings: "config.Settings",
    home: Home,
    say: Callable[[str], None] = lambda message: None,
) -> Furniture:
    """What there is for a loaded model, its SAE looked at: the one set, the shipped, the published.

    An SAE that cannot be used is said in `notices`, and the model goes without. Raises
    SteeringError for a classifier of texts that is damaged.
    """
    from anima.features.opening import open_sae
    from anima.runtime import fitting
    from anima.runtime.prism import Book

    found = furnish(settings.model, home, book=False)
    shipped = shipped_for(settings.model)
    name = settings.sae or fitting.published(settings.model, home.cache)
    if settings.sae is None and shipped is not None and (shipped / "sae" / "cfg.json").is_file():
        name = str(shipped / "sae")
    if name is None:
        return found
    try:
        opened = open_sae(name, cache=home.cache)
        fit = fitting.fitted(opened, loaded, format, home, say=say)
    except FeatureError as error:
        return replace(found, notices=(fitting.explained(error),))
    book = Book(
        sae=fit.sae, norm=fit.statistics.norm, scales=fit.statistics, names=_Names(fit.folder)
    )
    notices = (fit.read_only,) if fit.read_only else ()
    return replace(found, book=book, read_only=fit.read_only, notices=notices)


def prism_organ(
    furniture: Furniture, loaded: "Loaded", format: "ChatFormat", settings: "config.Settings"
) -> PrismOrgan:
    """The organ over what was found, under these settings."""
    from anima.prism.contrast import Reader

    book, info, chooser = furniture.book, loaded.trunk.info, None
    if furniture.switcher is not None and furniture.switcher.fingerprint == info.fingerprint:
        reader = Reader(trunk=loaded.trunk, encoder=loaded.tokenizer, format=format)
        chooser = furniture.switcher.on(reader)
    ground = Ground(
        info=info,
        sae=None if book is None else book.sae,
        norm=None if book is None else book.norm,
        live=() if book is None else book.live,
        budget=settings.norm_budget,
        control=settings.control,  # type: ignore[arg-type]
        device=info.device,
        read_only=furniture.read_only,
    )
    return PrismOrgan(
        ground, furniture.shelf, chooser=chooser,
        on_switch=settings.on_switch,  # type: ignore[arg-type]
    )  # fmt: skip


def _book(folder: Path) -> "Book | None":
    """The SAE of a folder with its statistics and labels; None where there is none."""
    from anima.features.sae import CONFIG, load_folder
    from anima.features.statistics import load_statistics
    from anima.runtime.prism import Book

    if not (folder / CONFIG).is_file():
        return None
    statistics = load_statistics(folder)
    return Book(
        sae=load_folder(folder), norm=statistics.norm, scales=statistics, names=_Names(folder)
    )


@dataclass(frozen=True)
class _Names:
    """The labels of a folder's features, read when the first is asked for."""

    folder: Path

    @cached_property
    def _labels(self) -> "Labels":
        from anima.features.labels import read_labels

        return read_labels(self.folder)

    def label(self, feature: int) -> str:
        return self._labels.label(feature)

    def find(self, text: str) -> list[int]:
        return self._labels.find(text)
