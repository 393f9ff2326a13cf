"""The sampling settings and their ranges, without torch; knows not how a token is drawn."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from anima.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn; temperature 0 is greedy, the other defaults change nothing."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repeat_guard: float = 0.0
    litany_guard: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            low, high = RANGES[name]
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError(
                    f"{name} {value:g} is out of range: it goes from {low:g} to {high:g}."
                )

    def changed(self, values: Mapping[str, float]) -> "Sampling":
        """A copy with some fields changed; raises UsageError for an unknown name or a bad value."""
        known: dict[str, Any] = {check_name(name): value for name, value in values.items()}
        if math.isfinite(known.get("top_k", math.nan)):
            known["top_k"] = int(known["top_k"])
        return replace(self, **known)


RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 10),
    "top_p": (0.01, 1),
    "top_k": (0, 1_000_000),
    "min_p": (0, 1),
    "repetition_penalty": (0.5, 5),
    "repeat_guard": (0, 4),
    "litany_guard": (0, 4),
}

NAMES = tuple(field.name for field in fields(Sampling))


def check_name(name: str) -> str:
    """The name itself if it is a sampling setting; otherwise UsageError naming the nearest."""
    if name in NAMES:
        return name
    near = difflib.get_close_matches(name, NAMES, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"There is no sampling setting {name!r}.{hint} There are: {', '.join(NAMES)}.")


def whole(name: str, value: float, least: int) -> int:
    """The value of a setting that is a whole number from `least` up; UsageError for another."""
    if not math.isfinite(value) or value != int(value) or value < least:
        raise UsageError(f"{name} {value:g} cannot be: it is a whole number from {least} up.")
    return int(value)
