"""Keys while a reply streams: Esc stops it, a line may act at once, all else waits for the prompt.

It knows keys and lines, and nothing of what they stop or do.
"""

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

PATIENCE = 0.1
"""Seconds after which an escape character is the Esc key, and not the beginning of another's."""

_DROPPED = frozenset((Keys.ControlD, Keys.CPRResponse))
"""Ctrl-D does nothing while a reply streams; the other is a terminal's late answer, not a key."""


Take = Callable[[str], bool]
"""Gets a line that was typed blind, and says whether it took it."""


@contextlib.contextmanager
def listening(
    input: Input, stop: Callable[[], None], take: Take = lambda line: False
) -> Iterator[None]:
    """Read keys in a thread meanwhile; `stop` is called there for each Esc and each Ctrl-C.

    `take` is asked there about each line that Enter ends; one not taken waits for the next prompt.
    """
    try:
        descriptor = input.fileno()
    except (OSError, ValueError, NotImplementedError):
        descriptor = None
    if descriptor is None or sys.platform == "win32":
        yield
        return
    ended, end = os.pipe()
    thread = threading.Thread(
        target=_listen,
        args=(input, descriptor, ended, stop, take),
        name="anima-listening",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        os.close(end)
        thread.join()
        os.close(ended)


def _listen(
    input: Input, descriptor: int, ended: int, stop: Callable[[], None], take: Take
) -> None:
    unsure = False
    line: list[KeyPress] = []
    while not input.closed:
        waiting = select.select([descriptor, ended], [], [], PATIENCE if unsure else None)[0]
        unsure = descriptor in waiting
        keys = input.read_keys() if unsure else input.flush_keys()
        stops, rest = sorted_out(keys)
        for key in rest:
            line.append(key)
            if key.key == Keys.ControlM:
                if not take(text_of(line[:-1]) or ""):
                    store_typeahead(input, line)
                line = []
        for _ in range(stops):
            stop()
        if ended in waiting:
            break
    store_typeahead(input, [*line, *sorted_out(input.flush_keys())[1]])


def text_of(keys: Sequence[KeyPress]) -> str | None:
    """What these keys write into an empty line; None where one of them does anything else."""
    text = ""
    for key in keys:
        if key.key == Keys.ControlH:
            text = text[:-1]
        elif key.key == Keys.BracketedPaste or not isinstance(key.key, Keys):
            text += key.data
        else:
            return None
    return text


def sorted_out(keys: Sequence[KeyPress]) -> tuple[int, list[KeyPress]]:
    """How many of the keys stop a reply, and those that wait for the next prompt.

    An Esc with a key right behind it is that key with Alt.
    """
    rest: list[KeyPress] = []
    for key, following in zip_longest(keys, keys[1:]):
        lone = key.key == Keys.Escape and (following is None or following.key == Keys.Escape)
        if lone or key.key == Keys.ControlC:
            continue
        if key.key not in _DROPPED:
            rest.append(key)
    dropped = sum(key.key in _DROPPED for key in keys)
    return len(keys) - len(rest) - dropped, rest
