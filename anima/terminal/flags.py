"""The flags that several commands share, and what they decide; starts nothing.

At start this module imports click and the errors, nothing else.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from anima.terminal import completion

if TYPE_CHECKING:
    from anima.config import Settings
    from anima.home import Home
    from anima.terminal.screen import Screen


_ALSO = {"ls": "list", "remove": "rm", "delete": "rm"}
"""Words that mean a command where a group has that one, and none of their own."""


class Commands(click.Group):
    """A group whose unknown words name the nearest command, and the way to send a text."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and _ALSO.get(args[0]) in self.commands:
            args = [_ALSO[args[0]], *args[1:]]
        unknown = args and args[0] not in self.commands and not args[0].startswith("-")
        if unknown and not ctx.resilient_parsing:  # a shell that completes wants no error
            raise click.UsageError(_no_command(args[0], sorted(self.commands), ctx), ctx)
        return super().resolve_command(ctx, args)


def _no_command(word: str, known: Sequence[str], ctx: click.Context) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, 1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}."
    text = "" if ctx.parent else " To send a text: anima -p TEXT."
    return f"There is no command {word!r}.{hint}{text}"


@dataclass(kw_only=True)
class Given:
    """The flags that were given, before a subcommand or after it: the later one counts."""

    home: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def _flag(*names: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A flag that goes into `Given` and not into the function's arguments."""

    def remember(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
        given = ctx.find_root().ensure_object(Given)
        if value is None:
            return
        if parameter.name == "home":
            given.home = str(value)
        elif parameter.name is not None:
            given.settings[parameter.name] = value

    return click.option(*names, expose_value=False, callback=remember, **options)


def _stacked(*flags: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for flag in reversed(flags):
            function = flag(function)
        return function

    return decorate


home = _flag(
    "--home",
    metavar="FOLDER",
    help="Where everything that is lived is kept.",
    shell_complete=completion.folders,
)
persona = _flag(
    "--persona", metavar="NAME", help="Whose life this is.", shell_complete=completion.personas
)
json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")
model = _flag(
    "--model",
    metavar="MODEL",
    help="A catalog name, a folder or a hub id.",
    shell_complete=completion.models,
)
running = _stacked(
    model,
    _flag(
        "--device",
        metavar="auto|cpu|cuda|mps",
        help="Where the model runs.",
        shell_complete=completion.values("device"),
    ),
    _flag(
        "--dtype",
        metavar="auto|float32|bfloat16|float16",
        help="Its number format.",
        shell_complete=completion.values("dtype"),
    ),
    _flag(
        "--engine",
        metavar="auto|reference|fast",
        help="How the model is executed.",
        shell_complete=completion.values("engine"),
    ),
    _flag(
        "--quantize",
        metavar="auto|int4|int8|none",
        help="Bits of its linear layers.",
        shell_complete=completion.values("quantize"),
    ),
    _flag("--threads", type=int, metavar="N", help="CPU threads, 0 for all cores."),
)
replying = _stacked(
    _flag("--seed", type=int, metavar="N", help="The seed of the first reply."),
    _flag(
        "--max-tokens", type=int, metavar="N", help="The longest reply, in tokens; 512 by default."
    ),
    _flag("--temperature", type=float, metavar="T", help="0 is greedy; higher is more varied."),
    _flag("--system", metavar="TEXT", help="A text that the model reads first."),
    _flag(
        "--mode",
        metavar="MODE",
        help="How it speaks: a mode, off or auto.",
        shell_complete=completion.modes,
    ),
    _flag(
        "--cot",
        flag_value="on",
        is_flag=True,
        default=None,
        help="Show a reasoning step first, then features as it speaks.",
    ),
    _flag(
        "--control",
        metavar="off|placebo|shuffled|zombie",
        help="An experiment's control in place of what steers.",
        shell_complete=completion.values("control"),
    ),
)


def surroundings(ctx: click.Context) -> "tuple[Home, Settings, Screen]":
    """Where the files are, the settings in force, and the screen; raises UsageError early."""
    from anima import config
    from anima.home import find_home
    from anima.terminal.screen import standard_screen

    given = ctx.find_root().ensure_object(Given)
    home = find_home(given.home, os.environ)
    settings = config.load(home, os.environ, given.settings).settings
    home.persona(settings.persona)
    return home, settings, standard_screen(settings.color)


def _fetch_encoder(home: "Home", settings: "Settings", screen: "Screen") -> None:
    """Get what the memory makes vectors with; without it the memory goes by words, which is said."""
    from anima.errors import AnimaError, Interrupted

    if settings.memory == "off" or settings.encoder == "none":
        return
    from anima.encoding import fetch_encoder

    try:
        fetch_encoder(settings.encoder, home, say=screen.note)
    except Interrupted:
        raise
    except AnimaError as error:
        screen.note(f"The memory goes by words alone: {error}")


def fetch_if_missing(home: "Home", settings: "Settings", screen: "Screen") -> None:
    """Get the model while nothing else is on the screen; raises UsageError for an unknown one."""
    from anima.errors import ModelError
    from anima.trunk import store
    from anima.trunk.catalog import HubModel

    found = store.ensure(home, settings.model, say=screen.note)
    _fetch_encoder(home, settings, screen)
    if not isinstance(found, HubModel):
        return
    try:
        store.path(home, settings.model)
    except ModelError:
        from anima.trunk import hub

        hub.fetch(settings.model, found.id, screen.note)
