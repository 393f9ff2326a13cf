"""One text answered under two settings; knows windows and replies, and changes nothing."""

import re
from collections.abc import Mapping, Sequence

from anima.errors import StateError, UsageError
from anima.events import Replied
from anima.terminal import turns
from anima.terminal.command import Host
from anima.terminal.layout import side_by_side

WIDE = 100
"""Columns from which on the two stand beside each other, but where features are shown with them."""

_LIST = re.compile(r"\s*([\w-]+=[^\s,=]*(?:,[\w-]+=[^\s,=]*)*)(?:\s+|$)")
_EXAMPLE = "/compare temperature=0 temperature=1.2,top_p=0.8 What is a fox?"


def parsed(argument: str) -> tuple[list[dict[str, float]], str]:
    """The two lists of settings, the first empty where only one is given, and the text after them.

    Raises UsageError for what is no number, and where there is no list.
    """
    lists: list[dict[str, float]] = []
    while len(lists) < 2 and (found := _LIST.match(argument)):
        pairs = (pair.split("=") for pair in found.group(1).split(","))
        lists.append({name: _number(name, value) for name, value in pairs})
        argument = argument[found.end() :]
    if not lists:
        raise UsageError(f"Say under which settings to compare, such as: {_EXAMPLE}")
    return ([{}, *lists] if len(lists) == 1 else lists), argument.strip()


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"{name} takes a number, not {value!r}, such as: {_EXAMPLE}") from error


def compare(host: Host, sides: Sequence[Mapping[str, float]], text: str | None) -> None:
    """Answer a text, the last one where none is given, under each of the two settings."""
    runtime = host.runtime
    if text is None and runtime.last is None:
        raise StateError(f"There is no message to compare with yet; give one: {_EXAMPLE}")
    seed = runtime.settings()["seed"] if text or not runtime.last else runtime.last["seed"]
    # Both are made before one is run, so that a value that cannot be is refused at once.
    previews = [
        runtime.preview(text, **{"seed": int(seed or 0), **_whole(side)})  # type: ignore[arg-type]
        for side in sides
    ]
    labels = [f"{letter}: {_spoken(side)}" for letter, side in zip("AB", sides, strict=True)]
    if host.width < WIDE or host.from_inside:
        for label, events in zip(labels, previews, strict=True):
            host.screen.say(label)
            replied = host.stream(events)
            if replied is None or replied.finish == "stopped":
                return
        return
    host.screen.note("Answering twice; both appear when they are through …")
    replies = [host.collect(previews[0])]
    if replies[0] is not None and replies[0].finish != "stopped":
        replies.append(host.collect(previews[1]))
    _show(host, labels, [reply for reply in replies if reply is not None])


def _whole(side: Mapping[str, float]) -> dict[str, float]:
    return {name: int(value) if name == "seed" else value for name, value in side.items()}


def _spoken(side: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in side.items()) or "as it is now"


def _show(host: Host, labels: Sequence[str], replies: Sequence[Replied]) -> None:
    texts = [
        f"{label}\n\n{reply.text.strip()}\n\n{_figures(reply)}"
        for label, reply in zip(labels, replies, strict=False)
    ]
    lines = side_by_side(texts[0], texts[1], host.width) if len(texts) == 2 else texts
    host.screen.say("\n".join(lines))


def _figures(reply: Replied) -> str:
    return "\n".join(filter(None, [turns.ended(reply), turns.figures(reply)]))
