"""The line of facts below the prompt; knows what to say of a runtime, and draws nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anima.terminal.turns import percent

if TYPE_CHECKING:
    from anima.runtime.loop import Runtime

Fact = tuple[str, str]
"""What a value is called, or nothing where it speaks for itself, and the value."""

_GAP = " · "


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


def _settings(changed: Mapping[str, float]) -> list[Fact]:
    return [(name, f"{value:g}") for name, value in changed.items()]


def line(found: Sequence[Fact], width: int) -> str:
    """As many of the facts as fit into a line, from the first on."""
    text = ""
    for label, value in found:
        fact = f"{label} {value}" if label else value
        longer = f"{text}{_GAP}{fact}" if text else fact
        if len(longer) > width:
            break
        text = longer
    return text
