"""Fetches the labels that Neuronpedia has for an SAE of the hub; knows its files and no tensor.

They lie in a public bucket as gzipped JSON lines, in numbered batches; the site's own endpoint
for them has been closed and points there. An SAE's name on Neuronpedia is in its cfg.json, as
sae-lens's registry gives it: "llama3.1-8b/15-llamascope-res-32k".
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

from anima.errors import DownloadError, FeatureError
from anima.features.labels import FeatureLabel, Labels

BUCKET = "https://neuronpedia-datasets.s3.us-east-1.amazonaws.com/v1"
_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_NOT_THERE = (403, 404)  # a bucket that may not be listed says 403 for a file it does not have


def name_of(folder: Path) -> str:
    """An SAE's name on Neuronpedia; raises FeatureError where its cfg.json gives none."""
    path = folder / "cfg.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        name = {**config, **(config.get("metadata") or {})}.get("neuronpedia_id")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise FeatureError(f"{path} cannot be read: {error}.") from error
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise FeatureError(
            f"{path} names no page of Neuronpedia, so there are no labels to fetch: make them with "
            "`anima features label`."
        )
    return name


def fetch_labels(
    name: str,
    *,
    timeout: float = 20.0,
    bucket: str = BUCKET,
    say: Callable[[str], None] = lambda message: None,
) -> dict[int, str]:
    """The description of every feature that has one, by feature.

    `timeout` is in seconds, for each batch. Raises DownloadError where the bucket cannot be reached,
    breaks off or has nothing of this name.
    """
    found: dict[int, str] = {}
    number = 0
    while True:
        url = f"{bucket}/{quote(name)}/explanations/batch-{number}.jsonl.gz"
        content = _fetched(url, name, timeout)
        if content is None:
            break
        for feature, description in _described(content, url).items():
            found.setdefault(feature, description)
        number += 1
        say(f"{len(found):,} labels of {name} fetched")
    if not found:
        raise DownloadError(
            f"Neuronpedia has no labels of {name} ({bucket}): make them with `anima features label`."
        )
    return found


def _fetched(url: str, name: str, timeout: float) -> bytes | None:
    """What is there, or None where nothing is."""
    try:
        with urlopen(url, timeout=timeout) as answer:
            content: bytes = answer.read()
            return content
    except HTTPError as error:
        if error.code in _NOT_THERE:
            return None
        raise DownloadError(
            f"{url} answered {error.code} {error.reason}: try again later."
        ) from error
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise DownloadError(
            f"The labels of {name} could not be fetched from Neuronpedia ({reason}). Look at the "
            "network and try again, or make labels here with `anima features label`."
        ) from error


def _described(content: bytes, url: str) -> dict[int, str]:
    try:
        lines = gzip.decompress(content).decode("utf-8").splitlines()
        found: dict[int, str] = {}
        for line in lines:
            read = json.loads(line) if line.strip() else {}
            description = " ".join(str(read.get("description") or "").split())
            if description:
                found.setdefault(int(read["index"]), description)
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise DownloadError(f"{url} is not what it should be: {error}. Try again later.") from error
    return found


def described(labels: Labels, descriptions: Mapping[int, str]) -> Labels:
    """Labels with Neuronpedia's descriptions in their place, but for those a person wrote."""
    made = {one.feature: one for one in labels}
    for feature, description in descriptions.items():
        before = made.get(feature)
        if before is None:
            before = FeatureLabel(feature=feature, label="", density=0.0, maximum=0.0)
        if not before.edited:
            made[feature] = replace(before, label=description)
    return Labels(made.values())
