"""What a shell may complete: personas, sessions, models, settings; knows no shell and says nothing.

At start this module imports click and the errors, nothing else, and what it runs is quick: whoever
presses Tab waits for it. Where anything is amiss there is nothing to complete.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import click

from anima.errors import AnimaError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from anima.home import Home

VARIABLE = "_ANIMA_COMPLETE"
"""Set by the shell's script; its value says what the shell wants."""

SHELLS = ("bash", "zsh", "fish")

Items = list["CompletionItem"]
Completer = Callable[[click.Context, click.Parameter, str], Items]
T = TypeVar("T")

_NEWEST = 30


def script(root: click.Command, shell: str) -> str:
    """What the shell has to read so that it completes `anima`."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    return found(root, {}, "anima", VARIABLE).source()


def answer(root: click.Command, instruction: str) -> int:
    """Tell the shell what could stand at the cursor; returns the exit code."""
    from click.shell_completion import shell_complete

    return shell_complete(root, {}, "anima", VARIABLE, instruction)


def personas(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The personas of the home in force."""

    def found() -> list[str]:
        from anima.persona.store import personas as known

        return known(_home(ctx))

    return _items(_quietly(found, []), incomplete)


def sessions(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The sessions of the persona in force: by name, and by id, the newest of them."""

    def found() -> list[tuple[str, str]]:
        from anima.persona.names import read
        from anima.persona.session import ids

        folder = _home(ctx).persona(_persona(ctx))
        there = ids(folder)[::-1]
        nameless: dict[str, str] = {}
        names = _quietly(lambda: read(folder), nameless)
        # What a shell would take apart, it cannot complete.
        named = [(names[each], each) for each in there if names.get(each, " ").isalnum()]
        return [*named, *((each, names.get(each, "")) for each in there)]

    nothing: list[tuple[str, str]] = []
    matching = [item for item in _quietly(found, nothing) if item[0].startswith(incomplete)]
    return _items(matching[:_NEWEST], incomplete)


def models(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The models known by name; a path is completed as one."""
    from click.shell_completion import CompletionItem

    from anima.trunk.catalog import CATALOG

    if incomplete.startswith((".", "~", "/")):
        return [CompletionItem(incomplete, type="dir")]
    return _items([(entry.name, entry.remark) for entry in CATALOG.values()], incomplete)


def folders(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """A folder, which the shell itself completes best."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def named_modes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The modes of the model in force."""

    def found() -> list[tuple[str, str]]:
        from anima.runtime.places import shelf_of

        return list(shelf_of(_model(ctx), _home(ctx)).names().items())

    nothing: list[tuple[str, str]] = []
    return _items(_quietly(found, nothing), incomplete)


def modes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The modes that can be put in force: named ones, off and auto."""
    fixed = [("off", "nothing is pushed"), ("auto", "what you write chooses")]
    return [*named_modes(ctx, parameter, incomplete), *_items(fixed, incomplete)]


def settings(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The names of the settings."""
    from anima.config import Settings

    declared = Settings.__dataclass_fields__.values()
    return _items([(item.name, item.metadata["help"]) for item in declared], incomplete)


def values(name: str | None = None) -> Completer:
    """What a setting can be, where that is one of a few; None is the setting named before it."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
        from anima.config import Settings

        chosen = name or str(ctx.params.get("name"))
        if chosen in ("persona", "model"):
            return {"persona": personas, "model": models}[chosen](ctx, parameter, incomplete)
        declared = Settings.__dataclass_fields__.get(chosen)
        return _items([] if declared is None else declared.metadata["choices"], incomplete)

    return complete


def _items(found: Iterable[str | tuple[str, str]], incomplete: str) -> Items:
    """What begins as the word does, each with a help text where there is one."""
    from click.shell_completion import CompletionItem

    pairs = [(each, "") if isinstance(each, str) else each for each in found]
    return [
        CompletionItem(word, help=help or None)
        for word, help in pairs
        if word.startswith(incomplete)
    ]


def _home(ctx: click.Context) -> "Home":
    from anima.home import find_home
    from anima.terminal.flags import Given

    return find_home(ctx.find_root().ensure_object(Given).home, os.environ)


def _persona(ctx: click.Context) -> str:
    return str(_setting(ctx, "persona"))


def _model(ctx: click.Context) -> str:
    return str(_setting(ctx, "model"))


def _setting(ctx: click.Context, name: str) -> object:
    """A setting as the flags before the cursor have it, else as it is in force."""
    from anima import config
    from anima.terminal.flags import Given

    given = ctx.find_root().ensure_object(Given).settings.get(name)
    return given or getattr(config.load(_home(ctx), os.environ, {}).settings, name)


def _quietly(look: Callable[[], T], otherwise: T) -> T:
    with contextlib.suppress(AnimaError, OSError):
        return look()
    return otherwise
