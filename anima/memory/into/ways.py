"""In which ways recalled lines reach the model, as a setting says; knows words and numbers alone."""

from dataclasses import dataclass
from typing import Final

from anima.errors import UsageError

QUOTE, BIAS, KNN, OVERLAY = "quote", "bias", "knn", "overlay"
WAYS: Final = (QUOTE, BIAS, KNN, OVERLAY)
"""The ways: a quoted block, a bias on the logits, a kNN-LM mixture, an overlay on the last layer."""


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The ways in force; `strength` scales all but the quoted block, and 0 turns them off."""

    names: tuple[str, ...] = (QUOTE,)
    strength: float = 1.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in WAYS]
        if unknown or not self.names:
            wrong = unknown[0] if unknown else ""
            raise UsageError(
                f"There is no way {wrong!r} of memory into the model: choose among "
                f"{', '.join(WAYS)}, several joined by +."
            )
        if not 0 <= self.strength <= 4:
            raise UsageError(f"A strength of {self.strength:g} cannot be: choose one from 0 to 4.")

    @property
    def quoted(self) -> bool:
        return QUOTE in self.names

    @property
    def inner(self) -> tuple[str, ...]:
        """The ways beside the quoted block that do anything."""
        return tuple(name for name in self.names if name != QUOTE) if self.strength else ()


def ways_of(words: str, strength: float = 1.0) -> Ways:
    """The ways that a setting such as `quote+bias` names; raises UsageError for what is none."""
    names = {name.strip() for name in words.split("+")}
    order = [*WAYS, *sorted(names - set(WAYS))]
    return Ways(names=tuple(name for name in order if name in names), strength=strength)
