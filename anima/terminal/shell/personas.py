"""`anima persona`: list, show, make, rename, copy, remove, export and import personas.

At start this module imports click and the errors, nothing else.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from anima.errors import StateError
from anima.terminal import asking, completion, flags

if TYPE_CHECKING:
    from anima.home import Home
    from anima.terminal.screen import Screen

_name = click.argument("name", shell_complete=completion.personas)


@click.group(cls=flags.Commands)
def persona() -> None:
    """The personas of this machine: each has a life of its own."""


@persona.command("list")
@flags.json
@flags.home
@click.pass_context
def persona_list(ctx: click.Context, as_json: bool) -> None:
    """Show every persona."""
    from anima.persona import personas
    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    reports.personas(screen, home, personas(home), as_json=as_json)


@persona.command("show")
@click.argument("name", required=False, shell_complete=completion.personas)
@flags.json
@flags.persona
@flags.home
@click.pass_context
def persona_show(ctx: click.Context, name: str | None, as_json: bool) -> int:
    """Show one persona; the one in force where none is named."""
    from anima.persona import upkeep
    from anima.terminal import reports

    home, settings, screen = flags.surroundings(ctx)
    found = upkeep.overview(home, name or settings.persona)
    reports.persona(screen, found, as_json=as_json)
    return 1 if found.faults else 0


@persona.command("new")
@click.argument("name")
@flags.home
@click.pass_context
def persona_new(ctx: click.Context, name: str) -> None:
    """Make a persona that has lived nothing yet."""
    from datetime import UTC, datetime

    from anima.persona import upkeep

    home, _, screen = flags.surroundings(ctx)
    screen.data(str(upkeep.new_persona(home, name, clock=lambda: datetime.now(UTC))))
    screen.note(f"anima --persona {name} talks with it.")


@persona.command("rename")
@click.argument("old", shell_complete=completion.personas)
@click.argument("new")
@flags.home
@click.pass_context
def persona_rename(ctx: click.Context, old: str, new: str) -> None:
    """Give a persona another name."""
    from anima.persona import moving

    home, settings, screen = flags.surroundings(ctx)
    moving.rename_persona(home, old, new)
    screen.note(f"{old} is now {new}.")
    if settings.persona == old != "default":
        screen.note(f"Your settings still ask for {old}: anima config set persona {new}")


@persona.command("copy")
@click.argument("source", shell_complete=completion.personas)
@click.argument("target")
@flags.home
@click.pass_context
def persona_copy(ctx: click.Context, source: str, target: str) -> None:
    """Make a second persona that has lived the same."""
    from anima.persona import moving

    home, _, screen = flags.surroundings(ctx)
    moving.copy_persona(home, source, target)
    screen.note(f"{target} is a copy of {source}. anima --persona {target} talks with it.")


@persona.command("rm")
@_name
@flags.yes
@flags.home
@click.pass_context
def persona_rm(ctx: click.Context, name: str, yes: bool) -> None:
    """Remove a persona for good, after a question.

    Its sessions and its dreams go with it.
    """
    from anima.persona import moving

    home, _, screen = flags.surroundings(ctx)
    question = (
        f"Remove {_described(home, name)}? It cannot be brought back; anima persona export {name} "
        "keeps it in a file."
    )
    if not asking.agreed(question, yes=yes):
        screen.note("Nothing was removed.")
        return
    moving.remove_persona(home, name)
    screen.note(f"Removed {name}.")


@persona.command("export")
@_name
@click.option(
    "-o", "--output", "file", type=click.Path(), metavar="FILE", help="Else NAME.anima.zip here."
)
@flags.yes
@flags.home
@click.pass_context
def persona_export(ctx: click.Context, name: str, file: str | None, yes: bool) -> None:
    """Put a whole persona into one file.

    It prints the file's name. It holds everything said, learned and dreamed, readable for whoever has the file.
    """
    from datetime import UTC, datetime

    from anima.persona import archive, inspection, moving
    from anima.terminal import reports

    home, _, screen = flags.surroundings(ctx)
    moving.existing(home, name)
    target = Path(file or f"{name}{archive.SUFFIX}").absolute()
    if not asking.may_write(target, yes=yes):
        screen.note("Nothing was written.")
        return
    found = archive.pack(home, name, target, now=datetime.now(UTC))
    for fault in inspection.inspect(home.persona(name)):
        screen.error(f"What was exported is not whole: {fault.error}")
    try:
        archive.look(target)
    except StateError as error:  # larger than an import takes unasked
        screen.error(f"To import it again takes a flag: {error}")
    screen.data(str(target))
    screen.note(
        f"{name}: {len(found.files)} files, {reports.size_in_words(target.stat().st_size)}."
    )


@persona.command("import")
@click.argument("file", type=click.Path())
@click.option("--as", "name", metavar="NAME", help="Call it so; else as it was called.")
@click.option("--max-size", type=int, metavar="MB", help="The most it may take when unpacked.")
@click.option("--max-ratio", type=float, metavar="N", help="How much larger than the file.")
@flags.yes
@flags.home
@click.pass_context
def persona_import(
    ctx: click.Context,
    file: str,
    name: str | None,
    max_size: int | None,
    max_ratio: float | None,
    yes: bool,
) -> None:
    """Make a persona out of an exported file.

    The file is checked first; nothing of it is run. Where a persona has the name already, a
    question is asked before that one is lost.
    """
    from dataclasses import replace

    from anima.persona import archive, personas

    home, _, screen = flags.surroundings(ctx)
    limits = archive.Limits()
    if max_size is not None:
        limits = replace(limits, total=max_size * 1_000_000)
    if max_ratio is not None:
        limits = replace(limits, ratio=max_ratio)
    path = Path(file).absolute()
    found = archive.look(path, limits)
    chosen = name or found.persona
    home.persona(chosen)
    taken = chosen in personas(home)
    if taken:
        question = (
            f"{chosen} is here already: {_described(home, chosen)}. Replace it for good? --as NAME "
            "keeps both."
        )
        if not asking.agreed(question, yes=yes):
            screen.note("Nothing was imported.")
            return
    for notice in archive.unpack(home, path, chosen, limits=limits, replace=taken):
        screen.error(notice)
    _welcome(home, chosen, screen)


def _welcome(home: "Home", name: str, screen: "Screen") -> None:
    from anima.persona import upkeep
    from anima.terminal.turns import count

    sessions = count(upkeep.overview(home, name).sessions, "session")
    screen.note(f"Imported {name} with {sessions}. anima --persona {name} talks with it.")


def _described(home: "Home", name: str) -> str:
    """What a persona is and holds, for a question; a damaged one too."""
    from anima.persona import upkeep
    from anima.terminal.reports import size_in_words
    from anima.terminal.turns import count

    found = upkeep.overview(home, name)
    parts = [count(found.sessions, "session"), count(found.turns, "turn")]
    parts += [f"{count(found.dreams, 'file')} of dreams"] if found.dreams else []
    parts += ["damaged"] if found.faults else []
    return f"persona {name} ({', '.join(parts)}; {size_in_words(found.bytes)})"
