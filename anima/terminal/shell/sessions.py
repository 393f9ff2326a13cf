"""`anima sessions`: list, search, show, rename, export and remove conversations; and `anima replay`.

At start this module imports click and the errors, nothing else.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anima.errors import StateError, UsageError
from anima.terminal import asking, completion, flags

if TYPE_CHECKING:
    from anima.config import Settings
    from anima.home import Home
    from anima.persona.transcript import Transcript
    from anima.terminal.screen import Screen

_one = click.argument("session", shell_complete=completion.sessions)
_one_or_latest = click.argument("session", required=False, shell_complete=completion.sessions)


@click.group(cls=flags.Commands)
def sessions() -> None:
    """The conversations of a persona.

    SESSION is a name, an id, or the beginning of an id.
    """


@sessions.command("list")
@flags.json
@flags.persona
@flags.home
@click.pass_context
def sessions_list(ctx: click.Context, as_json: bool) -> None:
    """Show the sessions, the newest first."""
    from dataclasses import asdict

    from anima import persona as personas
    from anima.terminal import reports

    home, settings, screen = _surroundings(ctx)
    rows = personas.sessions(home, settings.persona)
    names = _names(home, settings.persona, screen)
    if as_json:
        reports.print_json(screen, [asdict(row) | {"name": names.get(row.id)} for row in rows])
    elif rows:
        reports.sessions(screen, rows, names)
    else:
        screen.note(f"{settings.persona} has no session yet.")


@sessions.command("search")
@click.argument("words", nargs=-1, required=True)
@flags.json
@flags.persona
@flags.home
@click.pass_context
def sessions_search(ctx: click.Context, words: tuple[str, ...], as_json: bool) -> None:
    """Find what was said, by you or by Anima.

    All words have to be in one turn and its reply; upper and lower case are the same. Put words in
    quotes that belong together.
    """
    from anima.errors import AnimaError
    from anima.persona import personas
    from anima.persona import session as session_files
    from anima.persona.transcript import read_transcript, search
    from anima.terminal import reports

    if not any(word.strip() for word in words):
        raise UsageError("There is nothing to search for: the words are empty.")
    home, settings, screen = _surroundings(ctx)
    found = []
    for session in reversed(session_files.ids(home.persona(settings.persona))):
        try:
            transcript = read_transcript(home, settings.persona, session)
        except AnimaError as error:
            screen.error(str(error))
            continue
        if transcript.damaged:
            screen.error(transcript.damaged)
        found += [(transcript, match) for match in search(transcript.said, words)]
    reports.matches(screen, found, as_json=as_json)
    if not found:
        others = [each for each in personas(home) if each != settings.persona]
        elsewhere = f" --persona looks elsewhere: {', '.join(others)}." if others else ""
        screen.note(f"{settings.persona}: nothing was said with {' and '.join(words)}.{elsewhere}")


@sessions.command("show")
@_one_or_latest
@flags.json
@flags.persona
@flags.home
@click.pass_context
def sessions_show(ctx: click.Context, session: str | None, as_json: bool) -> int:
    """Print a conversation; the latest where none is named.

    Turns that were taken back are left out.
    """
    from anima.terminal import export

    home, settings, screen = _surroundings(ctx)
    found = _transcript(home, settings.persona, session)
    screen.answer(export.export(found, "json") if as_json else export.as_text(found))
    return _said_to_be_whole(screen, found)


@sessions.command("rename")
@_one
@click.argument("name", required=False)
@click.option("--remove", is_flag=True, help="Take the name away.")
@flags.persona
@flags.home
@click.pass_context
def sessions_rename(ctx: click.Context, session: str, name: str | None, remove: bool) -> None:
    """Give a session a name, or take it away.

    --resume and all these commands take a name for the id. It works while the session is open elsewhere.
    """
    from anima.persona import names

    if (name is None) != remove:
        raise UsageError("Give either a new NAME for the session, or --remove.")
    home, settings, screen = _surroundings(ctx)
    found = names.find_session(home, settings.persona, session)
    names.name_session(home, settings.persona, found, name)
    if name is None:
        screen.note(f"{found} has no name any more.")
    else:
        screen.note(f"{found} is now called {names.checked(name)!r}.")


@sessions.command("export")
@_one_or_latest
@click.option(
    "--format",
    "wanted",
    type=click.Choice(["md", "json", "html"]),
    help="As what; by the name of the file, else md.",
)
@click.option(
    "-o", "--output", "file", type=click.Path(), metavar="FILE", help="Into this file, not stdout."
)
@click.option("--all", "undone", is_flag=True, help="With the turns taken back (JSON).")
@flags.yes
@flags.persona
@flags.home
@click.pass_context
def sessions_export(
    ctx: click.Context,
    session: str | None,
    wanted: str | None,
    file: str | None,
    undone: bool,
    yes: bool,
) -> int:
    """Write a conversation as Markdown, JSON or HTML.

    It is the latest where none is named. The page of HTML needs nothing else and fetches nothing. Turns that were taken back are left
    out, unless --all.
    """
    from anima.home import write_atomically
    from anima.terminal import export

    home, settings, screen = _surroundings(ctx)
    target = None if file in (None, "-") else Path(str(file)).absolute()
    format = wanted or _format_of(target)
    if undone and format != "json":
        raise UsageError(f"--all goes with --format json; {format} has no place for them.")
    found = _transcript(home, settings.persona, session)
    text = export.export(found, format, undone=undone)
    if target is None:
        screen.answer(text)
    elif asking.may_write(target, yes=yes):
        write_atomically(target, text.encode(), remedy="Choose another place with -o FILE.")
        screen.note(f"Wrote {found.session} to {target}.")
    else:
        screen.note("Nothing was written.")
    return _said_to_be_whole(screen, found)


@sessions.command("rm")
@click.argument("session", nargs=-1, required=True, shell_complete=completion.sessions)
@flags.yes
@flags.persona
@flags.home
@click.pass_context
def sessions_rm(ctx: click.Context, session: tuple[str, ...], yes: bool) -> None:
    """Remove sessions for good, after a question.

    What the persona learned in them stays. A persona that is in use elsewhere is left alone.
    """
    from datetime import UTC, datetime

    from anima.persona import names, upkeep

    home, settings, screen = _surroundings(ctx)
    persona = settings.persona
    found = list(dict.fromkeys(names.find_session(home, persona, each) for each in session))
    for each in found:
        question = f"Remove {_described(home, persona, each)}? It cannot be brought back."
        if not asking.agreed(question, yes=yes):
            screen.note(f"{each} stays.")
            continue
        upkeep.remove_session(home, persona, each, clock=lambda: datetime.now(UTC))
        screen.note(f"Removed {each}.")


@click.command()
@_one
@flags.json
@flags.persona
@flags.home
@click.pass_context
def replay(ctx: click.Context, session: str, as_json: bool) -> int:
    """Generate a session again and compare, turn by turn.

    It runs on the model and under the settings that were recorded, and writes nothing. The exit
    code is 0 where every turn matched, else 1.
    """
    from anima.persona import names
    from anima.runtime.replay import replay as run_again
    from anima.terminal import reports

    home, settings, screen = _surroundings(ctx)
    found = names.find_session(home, settings.persona, session)
    turns = run_again(home, settings.persona, found, say=screen.progress)
    return reports.replayed(screen, turns, as_json=as_json)


def _surroundings(ctx: click.Context) -> "tuple[Home, Settings, Screen]":
    """As in `flags`, for a persona that is there; the default one need not be yet."""
    from anima.persona.moving import existing

    home, settings, screen = flags.surroundings(ctx)
    if settings.persona != "default":
        existing(home, settings.persona)
    return home, settings, screen


def _names(home: "Home", persona: str, screen: "Screen") -> dict[str, str]:
    """The names of the sessions; where their file is damaged that is said, and there are none."""
    from anima.persona import names

    try:
        return names.names(home, persona)
    except StateError as error:
        screen.error(str(error))
        return {}


def _transcript(home: "Home", persona: str, session: str | None) -> "Transcript":
    from anima.persona import names
    from anima.persona import session as session_files
    from anima.persona.transcript import read_transcript

    if session is None:
        found = session_files.latest(home.persona(persona))
        if found is None:
            raise StateError(f"{persona} has no session yet.")
    else:
        found = names.find_session(home, persona, session)
    return read_transcript(home, persona, found)


def _said_to_be_whole(screen: "Screen", found: "Transcript") -> int:
    """The exit code: 1, and why, where a part of the conversation could not be read."""
    if found.damaged is None:
        return 0
    screen.error(found.damaged)
    return 1


def _format_of(target: Path | None) -> str:
    from anima.terminal.export import FORMATS

    suffix = "" if target is None else target.suffix.lower().removeprefix(".")
    return {"htm": "html", "markdown": "md"}.get(suffix, suffix if suffix in FORMATS else "md")


def _described(home: "Home", persona: str, session: str) -> str:
    """A session as a person knows it, for a question; a damaged one too."""
    from anima.persona import sessions as summaries
    from anima.persona.transcript import names_or_none
    from anima.terminal.screen import shortened
    from anima.terminal.turns import count

    name = names_or_none(home, persona).get(session)
    parts: list[Any] = [f"named {name!r}"] if name else []
    for row in summaries(home, persona):
        if row.id == session:
            parts += ["damaged"] if row.damaged else [count(row.turns, "turn")]
            parts += [f"“{shortened(row.first_text, 40)}”"] if row.first_text else []
    return f"session {session} ({', '.join(parts)})" if parts else f"session {session}"
