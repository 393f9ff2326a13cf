"""Where the SAEs are that come with Anima; knows folders and nothing of what is in them."""

from pathlib import Path

from anima.home import shipped_models


def shipped(model: str) -> Path | None:
    """The folder of the SAE shipped for a model of the catalog, or None."""
    if not model or Path(model).name != model:
        return None
    models = shipped_models()
    folder = None if models is None else models / model / "sae"
    return folder if folder is not None and (folder / "cfg.json").is_file() else None
