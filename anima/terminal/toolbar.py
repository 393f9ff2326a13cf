"""The line of facts below the prompt; knows what to say of a runtime, and draws nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anima.terminal.turns import percent

if TYPE_CHECKING:
    from anima.runtime.loop import Runtime

Fact = tuple[str, str]
"""What a value is called, or nothing where it speaks for itself, and the value."""

_GAP = " · "
_LASTING = ("mode", "context")


def facts(runtime: "Runtime | None", persona: str, name: str | None) -> list[Fact]:
    """What holds for the next turn, the weightiest first; `name` is the session's, if it has one."""
    if runtime is None:
        return [("", persona), ("", "waking up…")]
    status = runtime.status()
    return [
        ("", runtime.persona),
        *([("", name)] if name else []),
        ("", status["model"]),
        ("mode", _mode(status)),
        ("context", f"{status['context_used']}/{status['context_window']}"),
        *_memory(status),
        *_settings(runtime.changed),
        *([("system", "on")] if runtime.system else []),
    ]


def _mode(status: Mapping[str, Any]) -> str:
    """The mode and the share of ‖h‖ in use: of the last turn, else at most what is asked for."""
    name = f"{status['mode']} (auto)" if status["auto"] else str(status["mode"])
    if not status["nominal"]:
        return name
    share = status["share"]
    return f"{name} ≤{percent(status['nominal'])}" if share is None else f"{name} {percent(share)}"


def _memory(status: Mapping[str, Any]) -> list[Fact]:
    found = status.get("memory")
    return [("memory", str(found["lines"]))] if found else []


def _settings(changed: Mapping[str, float]) -> list[Fact]:
    return [(name, f"{value:g}") for name, value in changed.items()]


def line(found: Sequence[Fact], width: int) -> str:
    """The facts in a line. What does not fit goes: settings first, then names, then all labels.

    Who it is, the mode and how full the context is stay longest.
    """
    left = list(found)
    while len(_joined(left)) > width and (place := _dispensable(left)) is not None:
        del left[place]
    if len(_joined(left)) > width:
        left = [("", value) for _, value in left]
    while left and len(_joined(left)) > width:
        left.pop()
    return _joined(left)


def _joined(facts: Sequence[Fact]) -> str:
    return _GAP.join(f"{label} {value}" if label else value for label, value in facts)


def _dispensable(facts: Sequence[Fact]) -> int | None:
    """The place of what can be done without most easily, from the end; None for nothing."""
    places = [at for at, (label, _) in enumerate(facts) if at and label not in _LASTING]
    return max(places, key=lambda at: (bool(facts[at][0]), at), default=None)
