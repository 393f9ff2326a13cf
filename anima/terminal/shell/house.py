"""`anima paths`, `anima doctor` and `anima completion`: where and how Anima stands on this machine.

At start this module imports click and the errors, nothing else.
"""

import os

import click

from anima.terminal import completion as words
from anima.terminal import flags


@click.command()
@flags.json
@flags.home
@click.pass_context
def paths(ctx: click.Context, as_json: bool) -> None:
    """Print the folders that Anima uses."""
    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    reports.paths(screen, home, as_json=as_json)


@click.command()
@click.option(
    "--check", is_flag=True, help="Run the model too: does it here what it must do anywhere?"
)
@flags.json
@flags.persona
@flags.running
@flags.home
@click.pass_context
def doctor(ctx: click.Context, check: bool, as_json: bool) -> int:
    """Check that all is in order here.

    Where something is not, it says what to do; it changes nothing. The exit code is 0 where all is well, else 1.
    """
    from anima.home import find_home
    from anima.terminal import health, reports
    from anima.terminal.screen import standard_screen

    given = ctx.find_root().ensure_object(flags.Given)
    home = find_home(given.home, os.environ)
    findings = health.examine(home, os.environ, given.settings, check=check)
    return reports.health(standard_screen(), findings, as_json=as_json)


@click.command()
@click.argument("shell", type=click.Choice(words.SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Let your shell complete commands and names.

    It prints a script for the shell: commands, flags, personas, sessions, models and settings.

    Once, in one line, then open a new shell:

    \b
    bash  echo 'eval "$(anima completion bash)"' >> ~/.bashrc
    zsh   echo 'eval "$(anima completion zsh)"' >> ~/.zshrc
    fish  anima completion fish > ~/.config/fish/completions/anima.fish
    """
    click.echo(words.script(ctx.find_root().command, shell))
