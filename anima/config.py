"""The settings in force and where each comes from; knows files and variables, not what they steer.

Layers, weakest first: defaults, the user's file, the project's `anima.toml`, ANIMA_* variables,
flags. A flag that was not given is None.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

from anima.errors import ConfigError, UsageError
from anima.home import Home

PROJECT_FILE = "anima.toml"
_NOT_SETTINGS = {
    "ANIMA_HOME", "ANIMA_CACHE", "ANIMA_CONFIG", "ANIMA_DEBUG", "ANIMA_TEST_CACHE",
    "ANIMA_MEMORY_PASSPHRASE", "ANIMA_MEMORY_NEW_PASSPHRASE", "ANIMA_MEMORY_KEY_FILE",
}  # fmt: skip


_WAYS = ("quote", "bias", "knn", "overlay")


def _setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Any:
    limits = {"low": low, "high": high}
    return field(default=default, metadata={"help": help, "choices": choices, **limits})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, validated once; None means that the model or the persona decides."""

    persona: str = _setting("default", "whose life this is")
    model: str = _setting("smollm2", "a catalog name, a folder or a hub id")
    device: str = _setting("auto", "where the model runs", choices=("auto", "cpu", "cuda", "mps"))
    dtype: str = _setting(
        "auto", "the model's number format", choices=("auto", "float32", "bfloat16", "float16")
    )
    engine: str = _setting(
        "auto", "how the model is executed", choices=("auto", "reference", "fast")
    )
    quantize: str = _setting(
        "auto", "bits of its linear layers", choices=("auto", "int4", "int8", "none")
    )
    threads: int = _setting(0, "CPU threads, 0 for all cores", low=0)
    window: int | None = _setting(None, "tokens of context, at most the model's own", low=64)
    system: str | None = _setting(None, "a text for the model, after its self-description")
    max_tokens: int = _setting(512, "longest reply, in tokens", low=1)
    seed: int | None = _setting(None, "seed of the session's first reply", low=0)
    temperature: float | None = _setting(None, "0 is greedy; higher is more varied", low=0, high=10)
    top_p: float | None = _setting(
        None, "smallest set of tokens with this probability", low=0.01, high=1
    )
    top_k: int | None = _setting(
        None, "at most so many candidates, 0 for all", low=0, high=1_000_000
    )
    min_p: float | None = _setting(
        None, "drop tokens below this share of the best one's", low=0, high=1
    )
    repetition_penalty: float | None = _setting(
        None, "above 1 discourages all words of the conversation", low=0.5, high=5
    )
    repeat_guard: float | None = _setting(
        None, "keeps it from repeating its own words; 0 is off", low=0, high=4
    )
    litany_guard: float | None = _setting(
        None, "keeps long replies from ending in litanies; 0 is off", low=0, high=4
    )
    sae: str | None = _setting(
        None, "an SAE's folder, or RELEASE:ID of sae-lens; else the model's own"
    )
    mode: str | None = _setting(
        None, "a mode of the Prism, off or auto; else as the persona left it"
    )
    on_switch: str = _setting(
        "keep", "keys and values of before a switch of mode", choices=("keep", "recompute")
    )
    norm_budget: float = _setting(
        0.5, "longest sum of all pushes, as a share of the residual norm", low=0.01, high=1
    )
    control: str = _setting(
        "none",
        "an experiment's control in place of what steers",
        choices=("none", "off", "zombie", "placebo", "shuffled"),
    )
    cot: str = _setting(
        "off", "a reasoning step before each answer, and features as it speaks",
        choices=("off", "on"),
    )  # fmt: skip
    memory: str = _setting("on", "remember across sessions, and recall", choices=("on", "off"))
    ledger: str = _setting(
        "sqlite", "what a new memory is kept in", choices=("sqlite", "lmdb", "duckdb", "json")
    )
    encoder: str = _setting(
        "minilm", "what makes vectors of texts, for a new memory; none goes by words",
        choices=("minilm", "bge", "trunk", "none"),
    )  # fmt: skip
    recall_lines: int = _setting(3, "most lines recalled for a turn", low=1, high=20)
    concert: str = _setting(
        "default", "how recalled lines are ranked; seed is the seed's own formula",
        choices=("default", "seed"),
    )  # fmt: skip
    race: str = _setting(
        "rules", "what decides whether a line is new, known or replaces another",
        choices=("rules", "likelihood", "off"),
    )  # fmt: skip
    memory_into: str = _setting(
        "quote", "how recalled lines reach the model: quote, bias, knn, overlay, joined by +",
        choices=tuple("+".join(ways) for n in range(1, 5) for ways in combinations(_WAYS, n)),
    )  # fmt: skip
    memory_strength: float = _setting(
        1.0, "how strongly bias, knn and overlay act; 0 turns them off", low=0, high=4
    )
    color: str = _setting("auto", "colours on the screen", choices=("auto", "always", "never"))
    toolbar: str = _setting("auto", "the line of facts below the prompt", choices=("auto", "off"))


NAMES = tuple(item.name for item in fields(Settings))


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The settings and, by name, the origin of each that is not a default."""

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class _Given:
    """One value of a file or a variable: its origin, and the place in it for a message."""

    name: str
    value: object
    origin: str
    place: str


def load(
    home: Home,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    folder: Path | None = None,
) -> Configuration:
    """Merge the layers; `folder` is where the project's file is looked for, upwards from there.

    Raises ConfigError naming the file and its line or the variable, UsageError for a flag.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in _layers(home, environ, folder):
        for given in layer():
            values[given.name] = checked(given.name, given.value, given.place, ConfigError)
            origins[given.name] = given.origin
    for name, flag in flags.items():
        if flag is not None:
            values[name] = checked(name, flag, f"--{name.replace('_', '-')}", UsageError)
            origins[name] = f"--{name.replace('_', '-')}"
    return Configuration(settings=Settings(**values), origins=MappingProxyType(origins))


def faults(
    home: Home, environ: Mapping[str, str], *, folder: Path | None = None
) -> list[ConfigError]:
    """Everything that is wrong in the files and variables, where `load` names the first only."""
    found = []
    for layer in _layers(home, environ, folder):
        try:
            everything = list(layer())
        except ConfigError as error:
            found.append(error)
            continue
        for given in everything:
            try:
                checked(given.name, given.value, given.place, ConfigError)
            except ConfigError as error:
                found.append(error)
    return found


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
    except (ValueError, OverflowError) as cause:
        raise error(f"{origin}: {name} must be {_spoken(kind)}, not {value!r}.") from cause
    choices = declared.metadata["choices"]
    if choices and converted not in choices:
        raise error(f"{origin}: {name} {value!r} cannot be: choose {', '.join(choices)}.")
    low, high = declared.metadata["low"], declared.metadata["high"]
    if low is not None and converted < low:
        raise error(f"{origin}: {name} {value!r} is too small: the least is {low}.")
    if high is not None and converted > high:
        raise error(f"{origin}: {name} {value!r} is too large: the most is {high}.")
    return converted


def _converted(kind: str, value: object) -> object:
    wanted = kind.removesuffix(" | None")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(kind)
    if wanted == "str":
        if not isinstance(value, str):
            raise ValueError(kind)
        return value
    number = float(value)
    if not math.isfinite(number) or (wanted == "int" and number != int(number)):
        raise ValueError(kind)
    return int(value) if wanted == "int" else number


def _spoken(kind: str) -> str:
    words = {"str": "a text", "int": "a whole number", "float": "a number"}
    return words[kind.removesuffix(" | None")]


def read_file(path: Path) -> tuple[str, Mapping[str, object]]:
    """A settings file as it is and as what it says; both empty where there is none.

    Raises ConfigError that names the file and the line.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return "", {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Mend or remove it.") from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        stated = re.search(r"at line (\d+)", str(error))
        line = int(stated.group(1)) if stated else max(1, len(text.splitlines()))
        raise ConfigError(
            f"{path}, line {line}: this is not valid TOML ({error}). Mend that line, or remove "
            "the file."
        ) from error


def project_file(folder: Path) -> Path | None:
    """The settings file of the project that a folder is in, None where there is none."""
    for place in (folder, *folder.parents):
        if (place / PROJECT_FILE).is_file():
            return place / PROJECT_FILE
    return None


def _layers(
    home: Home, environ: Mapping[str, str], folder: Path | None
) -> list[Callable[[], Iterator[_Given]]]:
    """What reads each layer below the flags, weakest first."""
    project = project_file(folder or Path.cwd())
    paths = [home.config] if project is None else [home.config, project]
    return [*(partial(_from_file, path) for path in paths), partial(_from_variables, environ)]


def _from_file(path: Path) -> Iterator[_Given]:
    text, found = read_file(path)
    for name, value in found.items():
        yield _Given(name=name, value=value, origin=str(path), place=_place(path, text, name))


def _from_variables(environ: Mapping[str, str]) -> Iterator[_Given]:
    for name, value in environ.items():
        if name.startswith("ANIMA_") and name not in _NOT_SETTINGS:
            setting = name.removeprefix("ANIMA_").lower()
            yield _Given(name=setting, value=value, origin=f"${name}", place=f"${name}")


def _place(path: Path, text: str, name: str) -> str:
    """Where a name is set. The parser keeps no places, so its line is looked for."""
    line = re.compile(rf"""\s*\[?\s*["']?{re.escape(name)}["']?\s*[]=.]""")
    numbers = (number for number, each in enumerate(text.splitlines(), 1) if line.match(each))
    number = next(numbers, None)
    return str(path) if number is None else f"{path}, line {number}"
