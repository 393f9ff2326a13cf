"""A runtime of the tiny model with a real memory: what the tests of memory in a turn share."""

from datetime import UTC, datetime, timedelta

import tiny
from runtime_rig import wake


class Ticking:
    """A clock that gains a second whenever it is read."""

    def __init__(self):
        self.now = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


def awake(remembering, shelf=None, **settings):
    """A runtime in a window that holds a few turns of byte tokens; None is without a memory."""
    settings = {"race": "off", "max_tokens": 6, **settings}
    return wake(shelf, loaded=tiny.loaded(window=4096), remembering=remembering, **settings)


def told(memory, *texts, role="user"):
    """Lines of another day, in whole sentences."""
    for text in texts:
        memory.put(None, text, {"session": "earlier", "turn": 1}, role=role)


def block(runtime):
    """What the last turn quoted, "" for nothing."""
    segments = runtime.last["segments"]
    return "".join(each["text"] for each in segments if each["role"] == "memory")


def said(memory):
    return [(line.role, line.text) for line in reversed(memory.peek(20))]
