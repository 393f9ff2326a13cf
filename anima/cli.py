"""The command line: flags and subcommands, and the one place where an error becomes an exit code.

Exit codes: 0 done; 1 it failed, as the message says; 2 the command line or a setting is wrong;
130 stopped by Ctrl-C; 128 and the signal's number for a closed pipe (141), SIGTERM (143) and
SIGHUP (129). At start this module imports click and the errors, nothing else: the rest is
imported by the command that needs it.
"""

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from anima.errors import AnimaError, Interrupted, UsageError
from anima.terminal import completion, flags
from anima.terminal.shell import (
    evaluation,
    features,
    house,
    memory,
    models,
    modes,
    personas,
    sessions,
    settings,
)
from anima.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from anima.config import Settings
    from anima.home import Home
    from anima.memory.crypto import Secret
    from anima.runtime.loop import Runtime
    from anima.terminal.screen import Screen

_CLOSED_PIPE = 141

_OURS = {
    r"is not a valid integer( range)?": "is no whole number",
    r"is not a valid float": "is no number",
    r"is not in the range x>=(\S+)\.": r"is too small: it goes from \1 up.",
}


@click.group(
    cls=flags.Commands,
    invoke_without_command=True,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.option("-p", "--prompt", metavar="TEXT", help="Answer this once and leave.")
@click.option(
    "--output",
    type=click.Choice(["text", "json", "jsonl"]),
    default="text",
    help="How to print one answer: as text, as one JSON object, or as one per event.",
)
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on in the latest session.")
@click.option(
    "-r",
    "--resume",
    metavar="SESSION",
    help="Go on in this session: its name, id, or the beginning of its id.",
    shell_complete=completion.sessions,
)
@click.option("--ephemeral", is_flag=True, help="Keep nothing of what is said.")
@click.option("--think", is_flag=True, help="Plan, draft and check before the one answer.")
@flags.persona
@flags.running
@flags.replying
@flags.home
@click.option("--interactive", is_flag=True, help="Chat; the default at a terminal.")
@click.option("--stream", is_flag=True, help="Show the answer as it comes; the default.")
@click.version_option(__version__, message="anima %(version)s")
@click.pass_context
def cli(
    ctx: click.Context,
    prompt: str | None,
    output: Any,
    go_on: bool,
    resume: str | None,
    ephemeral: bool,
    think: bool,
    interactive: bool,
    stream: bool,
) -> int:
    """Talk with a frozen language model that goes on living between sessions.

    \b
    anima                     chat at the terminal
    anima -p "What is a fox?" answer once
    cat notes.txt | anima -p "Shorten this."
    """
    if ctx.invoked_subcommand is not None:
        if prompt is not None or go_on or resume or ephemeral or think or output != "text":
            raise UsageError(
                "--prompt, --output, --continue, --resume, --ephemeral and --think do not go with "
                f"'{ctx.invoked_subcommand}': leave them out."
            )
        return 0
    if go_on and resume:
        raise UsageError("--continue and --resume choose two sessions: give one of them.")
    session = "continue" if go_on else resume
    return _talk(ctx, prompt, output, session=session, ephemeral=ephemeral, think=think)


def _talk(
    ctx: click.Context,
    prompt: str | None,
    output: Any,
    *,
    session: str | None,
    ephemeral: bool,
    think: bool,
) -> int:
    """One answer where a prompt was given or piped in, else the chat."""
    from anima.terminal import oneshot
    from anima.terminal.signals import Signals

    home, settings, screen = flags.surroundings(ctx)
    _check_mode(home, settings)
    if session is not None and session != "continue":
        session = _found_session(home, settings.persona, session)
    stdin = None if sys.stdin is None or not oneshot.piped(sys.stdin.buffer) else sys.stdin.buffer
    if prompt is None and stdin is None:
        if output != "text":
            raise UsageError(
                f"--output {output} is for one answer: give -p TEXT or pipe a text in."
            )
        if think:
            raise UsageError(
                "--think is for one answer: give -p TEXT or pipe a text in; in the chat it is "
                "/think TEXT."
            )
        return _chat(home, settings, screen, session=session, ephemeral=ephemeral)
    text = oneshot.read_prompt(prompt, stdin, screen)
    flags.fetch_if_missing(home, settings, screen)
    secret = _secret(home, settings)
    load = _loader(home, settings, session=session, ephemeral=ephemeral, secret=secret)
    with Signals() as signals:
        cot = settings.cot == "on"
        return oneshot.answer(load, text, screen, signals, output=output, cot=cot, think=think)


def _check_mode(home: "Home", settings: "Settings") -> None:
    """Raise SteeringError for a mode that is not there, before a model is loaded in vain."""
    from anima.runtime.places import shelf_of

    if settings.mode in (None, "off", "auto"):
        return
    shelf = shelf_of(settings.model, home)
    for name in str(settings.mode).split("+"):
        shelf.load(name.strip())


def _found_session(home: "Home", persona: str, session: str) -> str:
    """The session's id; StateError, with those there are, before a model is loaded in vain."""
    from anima.persona import names

    return names.find_session(home, persona, session)


def _check_free(persona: "Path") -> None:
    """Raise BusyError before somebody begins to type where nothing can be kept."""
    from anima.persona import lock

    if persona.is_dir():
        with lock.hold(persona, persona.name):
            pass


def _chat(
    home: "Home",
    settings: "Settings",
    screen: "Screen",
    *,
    session: str | None,
    ephemeral: bool,
) -> int:
    from anima.terminal.chat import Chat
    from anima.terminal.screen import wants_color
    from anima.terminal.signals import Signals
    from anima.terminal.waking import Waking

    if not ephemeral:
        _check_free(home.persona(settings.persona))
    flags.fetch_if_missing(home, settings, screen)
    secret = _secret(home, settings)
    load = _loader(home, settings, session=session, ephemeral=ephemeral, secret=secret)
    with Signals() as signals:
        return Chat(
            Waking(load),
            screen,
            signals,
            home=home,
            persona=settings.persona,
            greeting=_greeting(settings, ephemeral=ephemeral),
            kept=not ephemeral,
            facts=settings.toolbar == "auto",
            cot=settings.cot == "on",
            color=wants_color(settings.color, sys.stdout, os.environ),
        ).run()


def _greeting(settings: "Settings", *, ephemeral: bool) -> str:
    """What this is, what to type, how to leave."""
    kept = "nothing of this is kept" if ephemeral else "everything is kept"
    return (
        f"Anima, a language model that lives on this machine ({settings.model}, "
        f"persona {settings.persona}).\n"
        "Type a message and press Enter, such as: What is the capital of France?\n"
        f"/help shows what else you can do. Ctrl-D leaves, and {kept}."
    )


def _secret(home: "Home", settings: "Settings") -> "Secret | None":
    """What opens the persona's memory, asked for before a model is loaded; None for one in clear.

    Raises MemoryLocked, in the same words whatever was wrong.
    """
    folder = home.persona(settings.persona)
    if settings.memory == "off" or not any(folder.glob("memory.*")):
        return None
    from anima.runtime import remembering
    from anima.terminal.shell import memory_door

    with memory_door.unlocked(lambda given: remembering.tried(folder, given), None) as secret:
        return secret


def _loader(
    home: "Home",
    settings: "Settings",
    *,
    session: str | None,
    ephemeral: bool,
    secret: "Secret | None",
) -> "Callable[[Callable[[str], None]], Runtime]":
    from dataclasses import asdict

    given = {name: value for name, value in asdict(settings).items() if value is not None}

    def load(say: Callable[[str], None]) -> "Runtime":
        import anima

        return anima.open(
            home=home.root, session=session, ephemeral=ephemeral, secret=secret, say=say, **given
        )

    return load


for _command in (
    models.models,
    personas.persona,
    sessions.sessions,
    sessions.replay,
    modes.mode,
    features.features,
    memory.memory,
    settings.config,
    evaluation.evaluate,
    house.paths,
    house.doctor,
    house.completion,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; nothing that goes wrong shows a traceback.

    ANIMA_DEBUG=1 lets the traceback of an unexpected error through.
    """
    if arguments is not None:
        return _code_of(arguments)
    code = _code_of(sys.argv[1:])
    _leave_at_once(code)
    return code


def _code_of(arguments: Sequence[str]) -> int:
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_output()
        return _CLOSED_PIPE
    except KeyboardInterrupt:
        _end_line()
        return Interrupted.exit_code
    return code


def _run(arguments: Sequence[str]) -> int:
    """Run a command line; all errors but a closed pipe and Ctrl-C become a message and a code."""
    if not (os.environ.get("ANIMA_DEBUG") or sys.warnoptions):
        warnings.simplefilter("ignore")  # a library's advice to programmers is not for this reader
    try:
        if asked := os.environ.get(completion.VARIABLE):
            return completion.answer(cli, asked)
        with cli.make_context("anima", list(arguments)) as ctx:
            return cli.invoke(ctx) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        return Interrupted.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        return _fail(f"{_in_words(error)}\n{_help_for(error)}", error.exit_code)
    except AnimaError as error:
        if isinstance(error, Interrupted):
            _end_line()
        return _fail(str(error), error.exit_code)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:
        if os.environ.get("ANIMA_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"this is a bug: {what}. ANIMA_DEBUG=1 shows where it happened.", 1)


def _in_words(error: click.ClickException) -> str:
    """What click says, without the words of programmers."""
    text = error.format_message()
    for theirs, ours in _OURS.items():
        text = re.sub(theirs, ours, text)
    return text


def _help_for(error: click.ClickException) -> str:
    """Where to read on: the help of the very command that was meant."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"{ctx.command_path if ctx else 'anima'} --help shows what there is."


def _fail(message: str, code: int) -> int:
    """Say what went wrong, in whatever is left of the screen."""
    from anima.terminal.layout import fitted
    from anima.terminal.screen import shown

    with contextlib.suppress(OSError, AttributeError):  # stderr is closed, or there is none
        click.echo(fitted(f"anima: {shown(message)}", sys.stderr), err=True)
    return code


def _end_line() -> None:
    """Go below the ^C that a terminal shows."""
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo(err=True)


def _abandon_output() -> None:
    """Let the interpreter flush its last output into nothing, where the reader has gone."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_at_once(code: int) -> None:
    """End the process here where a model was loaded, or still is in a thread that cannot be ended.

    Taking torch apart takes a second, and has nothing left to save: what is on disk is whole.
    """
    if "torch" not in sys.modules:
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
