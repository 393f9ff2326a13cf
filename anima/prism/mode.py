"""A mode: pushes, sampling settings and where they come from, as one readable TOML file.

It knows pushes and files, and neither how a mode is found nor when it is in force.
"""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anima.errors import SteeringError, UsageError
from anima.home import write_atomically
from anima.prism.fields import Fields
from anima.trunk.settings import NAMES as SAMPLING
from anima.trunk.settings import Sampling

if TYPE_CHECKING:
    from anima.features.sae import Sae
    from anima.steering.push import Push
    from anima.trunk.interface import TrunkInfo

SCHEMA = 1
STRONGEST = 4.0
"""The largest overall strength of a mode; 1 is as it was calibrated."""

RESERVED = ("off", "auto", "none", "default")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_MODE = (
    "schema", "name", "description", "model", "fingerprint", "sae", "sae_mark", "layer", "norm",
    "strength", "sampling", "calibration", "feature", "vector",
)  # fmt: skip
_FEATURE = ("feature", "operation", "strength", "label", "above")
_VECTOR = ("name", "operation", "strength", "values", "above")
_CALIBRATION = ("kl_p95", "kl_mean", "prompts", "tokens")
_DIGITS = 6  # of a vector's values: float32 has seven


@dataclass(frozen=True, kw_only=True)
class FeaturePush:
    """A push on an SAE feature; `strength` and `above` as in `anima.steering.Push`."""

    feature: int
    operation: str
    strength: float
    label: str = ""
    above: float = 0.0


@dataclass(frozen=True, kw_only=True)
class VectorPush:
    """A push along a dense direction of the residual stream, `values` `[d]` of any length."""

    name: str
    operation: str
    strength: float
    values: tuple[float, ...]
    above: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was measured at strength 1: KL(steered ‖ base) in nats over so many greedy tokens."""

    kl_p95: float
    kl_mean: float
    prompts: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One mode of one model. `strength` scales all of it; 1 is as it was calibrated.

    `norm` is the mean ‖h‖ of content tokens at `layer`; `fingerprint` and `sae_mark` tell weights
    apart ("" where unknown). Raises SteeringError for values that cannot be.
    """

    name: str
    description: str
    model: str
    layer: int
    norm: float
    fingerprint: str = ""
    sae: str = ""
    sae_mark: str = ""
    strength: float = 1.0
    features: tuple[FeaturePush, ...] = ()
    vectors: tuple[VectorPush, ...] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_strength(self.name, self.strength)
        if not (math.isfinite(self.norm) and self.norm > 0):
            raise SteeringError(f"Mode {self.name}: norm {self.norm:g} must be finite and above 0.")
        if self.layer < 0:
            raise SteeringError(f"Mode {self.name}: layer {self.layer} cannot be.")
        if self.features and not self.sae:
            raise SteeringError(f"Mode {self.name} pushes features and names no SAE: add `sae`.")
        Sampling().changed(self.sampling)

    def pushes(self, strength: float | None = None) -> tuple["Push", ...]:
        """Its pushes at an overall strength (its own by default); none at 0.

        What adds or clamps is multiplied; an ablation is, up to all of it; a cap stays where it is.
        """
        from anima.steering.push import Push

        overall = self.strength if strength is None else check_strength(self.name, strength)
        if overall == 0:
            return ()
        made: list[Push] = []
        for each in self.features:
            made.append(
                Push(
                    feature=each.feature, above=each.above,
                    label=each.label or f"feature {each.feature}",
                    **_operation(each, overall),
                )
            )  # fmt: skip
        for vector in self.vectors:
            import torch

            made.append(
                Push(
                    direction=torch.tensor(vector.values), above=vector.above, label=vector.name,
                    **_operation(vector, overall),
                )
            )  # fmt: skip
        return tuple(made)

    @property
    def digest(self) -> str:
        """A hash of all that acts; equal for modes that do the same."""
        acting = {
            k: v for k, v in document(self).items() if k not in ("description", "calibration")
        }
        content = json.dumps(acting, sort_keys=True).encode()
        return hashlib.blake2b(content, digest_size=8).hexdigest()


def _operation(push: FeaturePush | VectorPush, overall: float) -> dict[str, Any]:
    strength = push.strength
    if push.operation == "ablate":
        strength = min(1.0, strength * overall)
    elif push.operation != "cap":
        strength = strength * overall
    return {"operation": push.operation, "strength": strength}


def check_name(name: str) -> str:
    """The name itself if it can name a mode; SteeringError otherwise."""
    if name in RESERVED or not _NAME.fullmatch(name):
        raise SteeringError(
            f"{name!r} cannot name a mode: use small letters, digits, '-' and '_', begin with a "
            f"letter, at most 32, and not {', '.join(RESERVED)}."
        )
    return name


def check_strength(name: str, strength: float) -> float:
    """An overall strength itself if it can be; SteeringError otherwise."""
    if not (math.isfinite(strength) and 0 <= strength <= STRONGEST):
        raise SteeringError(
            f"Mode {name}: strength {strength:g} is out of range: it goes from 0 to {STRONGEST:g}, "
            "and 1 is as calibrated."
        )
    return strength


def mark_of(sae: "Sae") -> str:
    """A short hash of an SAE's decoder, every 64th row: features of another one are others."""
    rows = sae.decoder[::64].detach().float().cpu().contiguous().numpy()
    return hashlib.blake2b(rows.tobytes(), digest_size=8).hexdigest()


def check_fits(mode: Mode, info: "TrunkInfo", sae: "Sae | None") -> None:
    """Raise SteeringError where a mode was made for another model or SAE than these."""
    if mode.fingerprint and mode.fingerprint != info.fingerprint:
        raise SteeringError(
            f"Mode {mode.name} was made for {mode.model}, and this is {info.model} with other "
            f"weights: build it here with `anima mode build {mode.name}`."
        )
    if mode.layer >= info.layers:
        raise SteeringError(
            f"Mode {mode.name} acts on layer {mode.layer}, and {info.model} has layers 0 to "
            f"{info.layers - 1}."
        )
    for vector in mode.vectors:
        if len(vector.values) != info.width:
            raise SteeringError(
                f"Mode {mode.name}: vector {vector.name!r} is {len(vector.values)} wide, and "
                f"{info.model} is {info.width}: it was made on another model."
            )
    if mode.features:
        _check_sae(mode, sae)


def _check_sae(mode: Mode, sae: "Sae | None") -> None:
    if sae is None:
        raise SteeringError(
            f"Mode {mode.name} pushes features of the SAE {mode.sae}, which is not loaded: "
            "choose another mode, or a model with that SAE."
        )
    if sae.name != mode.sae or (mode.sae_mark and mode.sae_mark != mark_of(sae)):
        raise SteeringError(
            f"Mode {mode.name} was made for the SAE {mode.sae}, and the one here is {sae.name} "
            f"with other weights: build it anew with `anima mode build {mode.name}`."
        )
    if sae.layer != mode.layer:
        raise SteeringError(
            f"Mode {mode.name} acts on layer {mode.layer}, and its SAE reads layer {sae.layer}."
        )
    for push in mode.features:
        if not 0 <= push.feature < sae.n_features:
            raise SteeringError(
                f"Mode {mode.name}: feature {push.feature} does not exist; {sae.name} has features "
                f"0 to {sae.n_features - 1}."
            )


def document(mode: Mode) -> dict[str, Any]:
    """The mode as JSON: what its file says, and what a session record holds."""
    made: dict[str, Any] = {"schema": SCHEMA}
    for name in ("name", "description", "model", "fingerprint", "sae", "sae_mark", "layer"):
        made[name] = getattr(mode, name)
    made |= {"norm": mode.norm, "strength": mode.strength, "sampling": dict(mode.sampling)}
    made["calibration"] = asdict(mode.calibration) if mode.calibration else {}
    made["feature"] = [_spare(asdict(each)) for each in mode.features]
    made["vector"] = [
        {**_spare(asdict(each)), "values": list(each.values)} for each in mode.vectors
    ]
    return made


def _spare(push: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in push.items() if name != "above" or value}


def mode_of(values: Mapping[str, Any], place: str) -> Mode:
    """The inverse of `document`; SteeringError names `place` and what is wrong there."""
    _check_schema(values, place)
    said = Fields(values, place, _MODE)
    sampling = said.table("sampling", SAMPLING)
    fields: dict[str, Any] = {name: said.text(name) for name in ("name", "description", "model")}
    fields |= {name: said.text(name, "") for name in ("fingerprint", "sae", "sae_mark")}
    fields |= {
        "layer": said.whole("layer"),
        "norm": said.number("norm"),
        "strength": said.number("strength", 1.0),
        "sampling": {name: sampling.number(name) for name in sampling},
        "calibration": _calibration(said.table("calibration", _CALIBRATION)),
        "features": tuple(map(_feature, said.tables("feature", _FEATURE))),
        "vectors": tuple(map(_vector, said.tables("vector", _VECTOR))),
    }
    try:
        mode = Mode(**fields)
        mode.pushes(1.0)
    except (SteeringError, UsageError) as error:
        raise SteeringError(f"{place}: {error}") from error
    return mode


def _check_schema(values: Mapping[str, Any], place: str) -> None:
    if "schema" not in values:
        raise SteeringError(
            f"{place} does not say in which format it is: write `schema = {SCHEMA}` in its first "
            "line."
        )
    schema = values["schema"]
    if type(schema) is not int or schema < 1:
        raise SteeringError(
            f"{place}: schema {schema!r} is no version of the format: write `schema = {SCHEMA}`."
        )
    if schema != SCHEMA:
        raise SteeringError(
            f"{place} was written by a newer Anima: its schema is {schema}, and this one reads "
            f"{SCHEMA}. Update Anima."
        )


def _feature(said: Fields) -> FeaturePush:
    return FeaturePush(
        feature=said.whole("feature"), operation=said.text("operation", "clamp"),
        strength=said.number("strength"), label=said.text("label", ""),
        above=said.number("above", 0.0),
    )  # fmt: skip


def _vector(said: Fields) -> VectorPush:
    return VectorPush(
        name=said.text("name"), operation=said.text("operation", "add"),
        strength=said.number("strength"), above=said.number("above", 0.0),
        values=said.numbers("values"),
    )  # fmt: skip


def _calibration(said: Fields) -> Calibration | None:
    if not [*said]:
        return None
    return Calibration(
        kl_p95=said.number("kl_p95"), kl_mean=said.number("kl_mean"),
        prompts=said.whole("prompts"), tokens=said.whole("tokens"),
    )  # fmt: skip


def read_mode(path: Path) -> Mode:
    """Open a mode's file; SteeringError names the file and what is wrong."""
    try:
        return mode_of(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError as error:
        raise SteeringError(f"There is no mode at {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SteeringError(f"{path} cannot be read: {error}.") from error
    except ValueError as error:  # TOMLDecodeError, or more digits than Python reads
        raise SteeringError(f"{path} is not valid TOML: {error}. Mend that line.") from error


def write_mode(path: Path, mode: Mode) -> None:
    """Write a mode's file, all of it or nothing; raises StorageError."""
    write_atomically(path, toml(mode).encode())


def toml(mode: Mode) -> str:
    """A mode's file as text."""
    import tomlkit

    values = document(mode)
    rows = {name: values.pop(name) for name in ("feature", "vector", "sampling", "calibration")}
    text = tomlkit.dumps(values)
    for name in ("sampling", "calibration"):
        if rows[name]:
            text += "\n" + tomlkit.dumps({name: rows[name]})
    for name in ("feature", "vector"):
        for row in rows[name]:
            text += f"\n[[{name}]]\n" + tomlkit.dumps(row)
    return _COMMENT + text


_COMMENT = """\
# A mode of speaking. Strengths are fractions of the residual norm; `strength` scales all of them.
# Operations: add, clamp, min_clamp, ablate, cap, negative_clamp.
"""


def values_of(row: Sequence[float]) -> tuple[float, ...]:
    """A vector's values as they are kept: six digits, so that a file reads back as written."""
    return tuple(float(f"{value:.{_DIGITS}g}") for value in row)
