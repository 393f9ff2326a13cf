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
        ChainBroken,
        ConfigError,
        ContextError,
        CorruptModelError,
        CorruptStateError,
        DownloadError,
        FeatureError,
        HeadMoved,
        Interrupted,
        MemoryLocked,
        ModelError,
        NewerVersionError,
        StateError,
        SteeringError,
        StorageError,
        TailMissing,
        UsageError,
    )
    from anima.events import (
        Event,
        ModeChanged,
        Notice,
        Perceived,
        Persisted,
        Recalled,
        Recomputed,
        Remembered,
        Replied,
        Steered,
        Thinking,
        Thought,
        Token,
    )
    from anima.runtime.loop import Runtime
    from anima.runtime.opening import open

__all__ = [
    "AnimaError",
    "BusyError",
    "ChainBroken",
    "ConfigError",
    "ContextError",
    "CorruptModelError",
    "CorruptStateError",
    "DownloadError",
    "Event",
    "FeatureError",
    "HeadMoved",
    "Interrupted",
    "MemoryLocked",
    "ModeChanged",
    "ModelError",
    "NewerVersionError",
    "Notice",
    "Perceived",
    "Persisted",
    "Recalled",
    "Recomputed",
    "Remembered",
    "Replied",
    "Runtime",
    "StateError",
    "Steered",
    "SteeringError",
    "StorageError",
    "TailMissing",
    "Thinking",
    "Thought",
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
    "Recalled",
    "Recomputed",
    "Remembered",
    "Replied",
    "Steered",
    "Thinking",
    "Thought",
    "Token",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'anima' has no attribute {name!r}")
    room = _ROOMS.get(name) or ("anima.events" if name in _EVENTS else "anima.errors")
    return getattr(import_module(room), name)


def __dir__() -> list[str]:
    return __all__
