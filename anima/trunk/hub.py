"""Models of the hub: where its own cache holds one whole, and fetching it; loads no weights."""

import json
from collections.abc import Callable
from pathlib import Path

from anima.errors import ModelError

_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model"]
_INDEX = "model.safetensors.index.json"


def cached(repository: str) -> Path | None:
    """The folder of a model in the hub's cache, None where it is absent or not all there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if is_whole(folder) else None


def is_whole(folder: Path) -> bool:
    """Whether every file of weights is there: an interrupted download leaves a folder with less."""
    if not (folder / "config.json").is_file():
        return False
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return all((folder / shard).is_file() for shard in set(index["weight_map"].values()))
    except FileNotFoundError:
        return any(folder.glob("*.safetensors"))
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def fetch(name: str, repository: str, say: Callable[[str], None]) -> Path:
    """The folder of a hub model, downloaded where the hub's cache does not hold it whole.

    Raises ModelError that names the model, the cause and what to do.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    found = cached(repository)
    if found is not None:
        return found
    say(f"Fetching {repository} from its hub …")
    try:
        return Path(snapshot_download(repository, allow_patterns=_WANTED))
    except GatedRepoError as error:
        raise ModelError(
            f"{name}: {repository} asks you to accept its licence first. Do that on its page, then "
            "run `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"{name}: there is no model {repository} on the hub, or it is private. Check the "
            "name, or run `hf auth login`."
        ) from error
    # The hub's client lets network errors of several libraries through, all of them OSError.
    except (OSError, ValueError) as error:
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"{name}: {repository} could not be fetched, and it is not in the local cache "
            f"({cause[0]}). Check the connection and HF_HUB_OFFLINE, or give the folder of a "
            "downloaded model: --model PATH."
        ) from error
