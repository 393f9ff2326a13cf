"""One door to every SAE: shipped with Anima, a folder, or a release that sae-lens knows.

Knows names and folders; whether the SAE fits a model is asked elsewhere.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anima.errors import FeatureError
from anima.features import statistics
from anima.features.sae import CONFIG, Sae, load_folder
from anima.features.shelf import shipped
from anima.features.statistics import FeatureStatistics, load_statistics
from anima.home import make_folder


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An SAE with what lies beside its weights, and the folder of it all."""

    sae: Sae
    statistics: FeatureStatistics | None
    folder: Path


def open_sae(
    name: str,
    *,
    cache: Path,
    device: str = "cpu",
    fetch: Callable[[str, str, Path], None] | None = None,
) -> Opened:
    """Open an SAE by the name of its model, by its folder, or as RELEASE:ID of sae-lens.

    Releases are fetched once through sae-lens and kept under `cache` in its own folder format.
    Raises FeatureError for what cannot be found, fetched or read.
    """
    folder = shipped(name)
    if folder is None and name and Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
    if folder is None:
        folder = _fetched(name, cache, fetch or from_release)
    sae = load_folder(folder, device=device)
    figures = load_statistics(folder) if (folder / statistics.FILE).exists() else None
    if figures is not None:
        sae = replace(sae, typical_norm=figures.norm)
    return Opened(sae=sae, statistics=figures, folder=folder)


def fetched(name: str, *, cache: Path) -> Path | None:
    """Where RELEASE:ID of sae-lens was fetched to before, None where it was not."""
    release, _, number = name.partition(":")
    folder = cache / "saes" / _safe(release) / _safe(number)
    return folder if (folder / CONFIG).is_file() else None


def _fetched(name: str, cache: Path, fetch: Callable[[str, str, Path], None]) -> Path:
    release, found, number = name.partition(":")
    if not found or not release or not number:
        raise FeatureError(
            f"There is no SAE {name!r}. Give a folder saved by sae-lens, or RELEASE:ID as sae-lens "
            "names them, for example llama_scope_lxr_8x:l15r_8x."
        )
    folder = cache / "saes" / _safe(release) / _safe(number)
    if (folder / CONFIG).is_file():
        return folder
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    make_folder(unfinished)
    try:
        fetch(release, number, unfinished)
        load_folder(unfinished)  # what cannot be read here is not kept
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def from_release(release: str, number: str, folder: Path) -> None:
    """Fetch an SAE through sae-lens and save it in its folder format.

    sae-lens knows each release's own format and folds its norms; it takes seconds to import and is
    imported here alone.
    """
    from anima.features.lens import SAE

    try:
        sae: Any = SAE.from_pretrained(release, number, device="cpu")
    except (ValueError, KeyError, OSError) as error:
        raise FeatureError(
            f"sae-lens could not fetch {number} of the release {release}: {error}. Look the names "
            "up at https://decoderesearch.github.io/SAELens, and see whether the hub can be reached."
        ) from error
    sae.save_model(folder)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).lstrip(".") or "-"
