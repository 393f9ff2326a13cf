"""Where a model's modes, SAE and classifier are: those that ship, and a person's own.

It knows the catalog and folders, opens nothing, and imports nothing heavy.
"""

from pathlib import Path

from anima.errors import UsageError
from anima.home import Home, shipped_models
from anima.prism.shelf import Shelf
from anima.trunk import catalog

SWITCHER = "switcher.safetensors"


def shelf_of(model: str, home: Home) -> Shelf:
    """The modes of a model by its name."""
    folder = shipped_for(model)
    return Shelf(own=home.modes(_name(model)), shipped=None if folder is None else folder / "modes")


def own_switcher(model: str, home: Home) -> Path:
    """Where a classifier of `auto` that was trained here is kept."""
    return home.modes(_name(model)) / SWITCHER


def switcher_of(model: str, home: Home) -> Path | None:
    """The classifier of `auto` for a model: one's own, else the shipped one, else None."""
    folder = shipped_for(model)
    shipped = [] if folder is None else [folder / SWITCHER]
    return next((p for p in (own_switcher(model, home), *shipped) if p.is_file()), None)


def shipped_for(model: str) -> Path | None:
    """The shipped folder of a catalog model; a folder or hub id of that name is another one."""
    shipped = shipped_models()
    if shipped is None or model not in catalog.CATALOG:
        return None
    return shipped / model


def _name(model: str) -> str:
    try:
        found = catalog.resolve(model)
    except UsageError:
        return model
    return found.path.name if isinstance(found, catalog.LocalModel) else model
