"""Where the SAEs are that come with Anima; knows folders and nothing of what is in them."""

from pathlib import Path

_PLACES = (
    Path(__file__).resolve().parent.parent / "checkpoints" / "models",  # in an installed wheel
    Path(__file__).resolve().parents[2] / "checkpoints" / "models",  # in a checkout
)


def shipped(model: str) -> Path | None:
    """The folder of the SAE shipped for a model of the catalog, or None."""
    if not model or Path(model).name != model:
        return None
    for place in _PLACES:
        folder = place / model / "sae"
        if (folder / "cfg.json").is_file():
            return folder
    return None
