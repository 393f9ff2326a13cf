"""The settings in force and where each comes from; knows files and variables, not what they steer.

Layers, weakest first: defaults, the user's file, the project's `anima.toml`, ANIMA_* variables,
flags. A flag that was not given is None.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from anima.errors import ConfigError, UsageError
from anima.home import Home

PROJECT_FILE = "anima.toml"
_NOT_SETTINGS = {"ANIMA_HOME", "ANIMA_CACHE", "ANIMA_CONFIG", "ANIMA_DEBUG", "ANIMA_TEST_CACHE"}


def _setting(
    default: Any, help: str, *, choices: tuple[str, ...] = (), low: float | None = None
) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices, "low": low})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, validated once; None means that the model or the persona decides."""

    persona: str = _setting("default", "whose life this is")
    model: str = _setting("smollm2", "a catalog name, a folder or a hub id")
    device: str = _setting("auto", "where the model runs", choices=("auto", "cpu", "cuda", "mps"))
    dtype: str = _setting(
        "auto", "the model's number format", choices=("auto", "float32", "bfloat16", "float16")
    )
    engine: str = _setting("auto", "how the model is executed", choices=("auto", "reference"))
    threads: int = _setting(0, "CPU threads, 0 for all cores", low=0)
    window: int | None = _setting(None, "tokens of context, at most the model's own", low=64)
    system: str | None = _setting(None, "a text for the model, after its self-description")
    max_tokens: int = _setting(512, "longest reply, in tokens", low=1)
    seed: int | None = _setting(None, "seed of the session's first reply", low=0)
    temperature: float | None = _setting(None, "0 is greedy; higher is more varied", low=0)
    top_p: float | None = _setting(None, "smallest set of tokens with this probability", low=0)
    top_k: int | None = _setting(None, "at most so many candidates, 0 for all", low=0)
    min_p: float | None = _setting(None, "drop tokens below this share of the best one's", low=0)
    repetition_penalty: float | None = _setting(None, "above 1 discourages repeating", low=0)
    color: str = _setting("auto", "colours on the screen", choices=("auto", "always", "never"))


NAMES = tuple(item.name for item in fields(Settings))


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The settings and, by name, the origin of each that is not a default."""

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def load(
    home: Home,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    folder: Path | None = None,
) -> Configuration:
    """Merge the layers; `folder` is where the project's file is looked for, upwards from there.

    Raises ConfigError naming the file or variable, UsageError for a flag.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers: list[tuple[str, Mapping[str, object]]] = [(str(home.config), _file(home.config))]
    project = _project_file(folder or Path.cwd())
    if project is not None:
        layers.append((str(project), _file(project)))
    for origin, layer in layers:
        for name, value in layer.items():
            values[name] = checked(name, value, origin, ConfigError)
            origins[name] = origin
    for name, value in environ.items():
        if name.startswith("ANIMA_") and name not in _NOT_SETTINGS:
            setting = name.removeprefix("ANIMA_").lower()
            values[setting] = checked(setting, value, f"${name}", ConfigError)
            origins[setting] = f"${name}"
    for name, flag in flags.items():
        if flag is not None:
            values[name] = checked(name, flag, f"--{name.replace('_', '-')}", UsageError)
            origins[name] = f"--{name.replace('_', '-')}"
    return Configuration(settings=Settings(**values), origins=MappingProxyType(origins))


def checked(name: str, value: object, origin: str, error: type[UsageError]) -> Any:
    """One value of a setting, converted to its type; raises `error` naming value and origin."""
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(NAMES)}."
        raise error(f"{origin}: there is no setting {name!r}.{hint}")
    declared = Settings.__dataclass_fields__[name]
    kind = declared.type.__name__ if isinstance(declared.type, type) else str(declared.type)
    try:
        converted = _converted(kind, value)
    except ValueError as cause:
        raise error(f"{origin}: {name} must be {_spoken(kind)}, not {value!r}.") from cause
    choices = declared.metadata["choices"]
    if choices and converted not in choices:
        raise error(f"{origin}: {name} {value!r} cannot be: choose {', '.join(choices)}.")
    low = declared.metadata["low"]
    if low is not None and converted is not None and converted < low:
        raise error(f"{origin}: {name} {value!r} is too small: the least is {low}.")
    return converted


def _converted(kind: str, value: object) -> object:
    wanted = kind.removesuffix(" | None")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(kind)
    if wanted == "str":
        if not isinstance(value, str):
            raise ValueError(kind)
        return value
    if wanted == "int":
        number = float(value)
        if number != int(number):
            raise ValueError(kind)
        return int(value)
    return float(value)


def _spoken(kind: str) -> str:
    words = {"str": "a text", "int": "a whole number", "float": "a number"}
    return words[kind.removesuffix(" | None")]


def _file(path: Path) -> Mapping[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Mend or remove it.") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}. Mend that line, or remove the file."
        ) from error


def _project_file(folder: Path) -> Path | None:
    for place in (folder, *folder.parents):
        if (place / PROJECT_FILE).is_file():
            return place / PROJECT_FILE
    return None
