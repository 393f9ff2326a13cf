"""`anima config`: what is set and where, and setting it.

At start this module imports click and the errors, nothing else.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from anima.errors import AnimaError, UsageError
from anima.terminal import completion, flags

if TYPE_CHECKING:
    from anima.home import Home
    from anima.terminal.screen import Screen

_project = click.option(
    "--project", is_flag=True, help="In the anima.toml of the folder you are in, for work there."
)
_setting = click.argument("name", shell_complete=completion.settings)


@click.group(cls=flags.Commands)
def config() -> None:
    """Show and change the settings.

    Each layer wins over those before it: the defaults, your own file, the anima.toml of the folder
    you are in or one above, ANIMA_* variables, flags.
    """


@config.command("show")
@flags.json
@flags.persona
@flags.running
@flags.replying
@flags.home
@click.pass_context
def config_show(ctx: click.Context, as_json: bool) -> None:
    """Show every setting, and where it comes from."""
    from dataclasses import asdict

    from anima import config as layers
    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    given = ctx.find_root().ensure_object(flags.Given).settings
    found = layers.load(home, os.environ, given)
    rows = {
        name: {"value": value, "origin": found.origins.get(name, "default")}
        for name, value in asdict(found.settings).items()
    }
    if as_json:
        reports.print_json(screen, rows)
        return
    helps = {name: layers.Settings.__dataclass_fields__[name].metadata["help"] for name in rows}
    reports.settings(screen, rows, helps)


@config.command("set")
@_setting
@click.argument("value", shell_complete=completion.values())
@_project
@flags.home
@click.pass_context
def config_set(ctx: click.Context, name: str, value: str, project: bool) -> None:
    """Set a value in your settings file.

    Comments and all else in the file stay. A value that begins with a dash comes after two of
    them: anima config set -- system "- be brief"
    """
    from anima import config as layers
    from anima import config_file

    home, screen = _place(ctx)
    name = name.replace("-", "_")
    converted = layers.checked(name, value, f"anima config set {name}", UsageError)
    _check_meaning(home, name, converted)
    path = _path(home, project=project)
    config_file.put(path, name, converted)
    screen.note(f"{name} = {converted} in {path}")
    _say_what_counts(home, screen, name, path)


@config.command("unset")
@_setting
@_project
@flags.home
@click.pass_context
def config_unset(ctx: click.Context, name: str, project: bool) -> None:
    """Take a value out of your settings file."""
    from anima import config_file

    home, screen = _place(ctx)
    path = _path(home, project=project)
    if not config_file.take_out(path, name) and not config_file.take_out(
        path, name.replace("-", "_")
    ):
        _check_known(name)
        screen.note(f"{name} is not set in {path}: there is nothing to take out.")
        return
    screen.note(f"{name} is out of {path}")
    _say_what_counts(home, screen, name.replace("-", "_"), path)


@config.command("path")
@_project
@flags.home
@click.pass_context
def config_path(ctx: click.Context, project: bool) -> None:
    """Print which file is your settings file."""
    home, screen = _place(ctx)
    screen.data(str(_path(home, project=project)))


def _place(ctx: click.Context) -> "tuple[Home, Screen]":
    """Home and screen without the settings: what is to be mended may be broken."""
    from anima.home import find_home
    from anima.terminal.screen import standard_screen

    given = ctx.find_root().ensure_object(flags.Given)
    return find_home(given.home, os.environ), standard_screen()


def _path(home: "Home", *, project: bool) -> Path:
    from anima import config as layers

    if not project:
        return home.config
    return layers.project_file(Path.cwd()) or Path.cwd() / layers.PROJECT_FILE


def _check_known(name: str) -> None:
    """Raise UsageError that names the nearest setting."""
    from anima import config as layers

    if name.replace("-", "_") not in layers.NAMES:
        layers.checked(name, "", f"anima config unset {name}", UsageError)


def _check_meaning(home: "Home", name: str, value: object) -> None:
    """Raise UsageError for a text that no persona and no model can be called."""
    from anima.trunk import catalog

    if name == "persona":
        home.persona(str(value))
    if name == "model":
        catalog.resolve(str(value))


def _say_what_counts(home: "Home", screen: "Screen", name: str, path: Path) -> None:
    """Say where a stronger layer hides what was just written, and what else is wrong."""
    from anima import config as layers

    try:
        found = layers.load(home, os.environ, {})
    except AnimaError as error:
        screen.error(f"Something else is still wrong: {error}")
        return
    origin = found.origins.get(name, "the default")
    if origin not in (str(path), "the default"):
        value = getattr(found.settings, name)
        screen.note(f"Here {origin} counts all the same: {name} = {value}")
