"""How the shell gets at a persona's memory: its flags, its secret, its times; knows no command.

At start this module imports click and the errors, nothing else.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anima.errors import MemoryLocked, UsageError
from anima.terminal import flags

if TYPE_CHECKING:
    from anima.config import Settings
    from anima.home import Home
    from anima.memory import Memory, Secret
    from anima.runtime.remembering import Door
    from anima.terminal.screen import Screen

T = TypeVar("T")

NEW_PASSPHRASE = "ANIMA_MEMORY_NEW_PASSPHRASE"

existing_file = click.Path(exists=True, dir_okay=False, allow_dash=True)
new_file = click.Path(dir_okay=False, allow_dash=True)
key_file = click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="The key file of an encrypted memory.",
)
line = click.argument("line", metavar="LINE")


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of every command over a memory: whose, where, and what unlocks it."""
    for flag in (flags.home, flags.persona, key_file):
        function = flag(function)
    return click.pass_context(function)


def surroundings(ctx: click.Context) -> "tuple[Home, Settings, Screen]":
    """As in `flags`, for a persona that is there; the default one need not be yet."""
    from anima.persona.moving import existing

    home, settings, screen = flags.surroundings(ctx)
    if settings.persona != "default":
        existing(home, settings.persona)
    return home, settings, screen


@contextlib.contextmanager
def reading(ctx: click.Context, key_file: str | None) -> "Iterator[tuple[Screen, Memory]]":
    """The persona's memory, to be read."""
    from anima.runtime import remembering

    home, settings, screen = surroundings(ctx)

    def opened(secret: "Secret | None") -> "contextlib.AbstractContextManager[Memory]":
        return remembering.reading(home, settings, clock=local_now, secret=secret, say=screen.note)

    with unlocked(opened, key_file) as memory:
        yield screen, memory


@contextlib.contextmanager
def writing(ctx: click.Context, key_file: str | None) -> "Iterator[tuple[Screen, Door]]":
    """The persona's memory, to be written to; BusyError while a chat has it open."""
    from anima.runtime import remembering

    home, settings, screen = surroundings(ctx)

    def opened(secret: "Secret | None") -> "contextlib.AbstractContextManager[Door]":
        return remembering.writing(home, settings, clock=local_now, secret=secret, say=screen.note)

    with unlocked(opened, key_file) as door:
        yield screen, door


@contextlib.contextmanager
def unlocked(
    opened: "Callable[[Secret | None], contextlib.AbstractContextManager[T]]",
    key_file: str | None,
) -> Iterator[T]:
    """What opens with the secret that was given; a person at a terminal is asked where it must be."""
    from anima.memory import Secret

    given = given_secret(key_file)
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(opened(given))
        except MemoryLocked:
            if given is not None or not may_ask():
                raise
            passphrase = _asked("Passphrase of the memory: ")
            if not passphrase:
                raise
            found = stack.enter_context(opened(Secret(passphrase=passphrase)))
        yield found


def given_secret(key_file: str | None) -> "Secret | None":
    """The secret of a flag or a variable, None where neither was given."""
    from anima.runtime.remembering import secret_of

    return secret_of(os.environ, None if key_file is None else Path(key_file))


def new_secret(new_key_file: str | None, key_file: str | None, variable: str) -> "Secret":
    """What a memory is to be encrypted with: a new key file, one that is there, or a passphrase.

    A passphrase is in the variable, or is asked for twice. Raises UsageError where none can be had.
    """
    from anima.memory import Secret, read_key_file, write_key_file

    if new_key_file is not None and key_file is not None:
        raise UsageError("A new key file and one that is there are two keys: give one of them.")
    if new_key_file is not None:
        return write_key_file(Path(new_key_file).absolute())
    if key_file is not None:
        return read_key_file(Path(key_file))
    if passphrase := os.environ.get(variable):
        return Secret(passphrase=passphrase)
    if not may_ask():
        raise UsageError(
            f"There is nobody to ask for a passphrase: give a key file, or set {variable}."
        )
    passphrase = _asked("New passphrase: ")
    if passphrase != _asked("The same again: "):
        raise UsageError("The two passphrases differ, so nothing was changed. Try again.")
    return Secret(passphrase=passphrase)


def may_ask() -> bool:
    """Whether a person sits at a terminal; what is piped in is no answer."""
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _asked(question: str) -> str:
    """What a person types unseen; nothing where they end the input instead."""
    from getpass import getpass

    try:
        return getpass(question)
    except EOFError:
        return ""


def local_now() -> datetime:
    return datetime.now().astimezone()


def moment(text: str | None, flag: str, screen: "Screen") -> datetime | None:
    """The time of a flag; one without a zone is of this machine, which is said.

    Raises UsageError for what is no time.
    """
    from anima.memory.exchange import moment_of

    found, local = moment_of(text, flag)
    if local and found is not None:
        screen.note(f"{flag} has no zone, so it is taken as {found.isoformat()}.")
    return found


def numbered(line: str) -> int | str:
    """A line as `Memory.find` takes it: a number, with or without #, or an anchor."""
    digits = line.removeprefix("#")
    # An anchor of sixteen digits can be all decimal; no memory has so many lines.
    return int(digits) if digits.isdecimal() and len(digits) < 16 else line


@contextlib.contextmanager
def opened_file(name: str) -> "Iterator[tuple[Any, str]]":
    """A file that was named, or stdin for `-`, as bytes, and what to call it in a message."""
    from anima.home import storage

    if name == "-":
        yield sys.stdin.buffer, "stdin"
        return
    with storage(Path(name), remedy="Name a file that can be read."):
        file = Path(name).open("rb")  # noqa: SIM115
    with file:
        yield file, name
