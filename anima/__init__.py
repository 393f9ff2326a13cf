"""Anima: a frozen language model with a life between sessions.

`anima.open()` wakes a persona; everything heavy is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from anima.version import __version__

if TYPE_CHECKING:
    from anima.errors import (
        AnimaError,
        BusyError,
        ConfigError,
        ContextError,
        CorruptModelError,
        CorruptStateError,
        DownloadError,
        FeatureError,
        Interrupted,
        ModelError,
        NewerVersionError,
        StateError,
        SteeringError,
        StorageError,
        UsageError,
    )
    from anima.events import (
        Event,
        ModeChanged,
        Notice,
        Perceived,
        Persisted,
        Recomputed,
        Replied,
        Steered,
        Token,
    )
    from anima.runtime.loop import Runtime
    from anima.runtime.opening import open

__all__ = [
    "AnimaError",
    "BusyError",
    "ConfigError",
    "ContextError",
    "CorruptModelError",
    "CorruptStateError",
    "DownloadError",
    "Event",
    "FeatureError",
    "Interrupted",
    "ModeChanged",
    "ModelError",
    "NewerVersionError",
    "Notice",
    "Perceived",
    "Persisted",
    "Recomputed",
    "Replied",
    "Runtime",
    "StateError",
    "Steered",
    "SteeringError",
    "StorageError",
    "Token",
    "UsageError",
    "__version__",
    "open",
]

_ROOMS = {"open": "anima.runtime.opening", "Runtime": "anima.runtime.loop"}
_EVENTS = {
    "Event",
    "ModeChanged",
    "Notice",
    "Perceived",
    "Persisted",
    "Recomputed",
    "Replied",
    "Steered",
    "Token",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'anima' has no attribute {name!r}")
    room = _ROOMS.get(name) or ("anima.events" if name in _EVENTS else "anima.errors")
    return getattr(import_module(room), name)


def __dir__() -> list[str]:
    return __all__
