"""The commands of the chat, in one registry; knows what they are called and do, not how they look.

Dispatch, `/help`, completion, the error that names the nearest command and the README's table all
come from `COMMANDS`.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from anima.errors import UsageError
from anima.events import Event
from anima.terminal.screen import Screen, columns, shortened

if TYPE_CHECKING:
    from anima.runtime.loop import Runtime


class Host(Protocol):
    """What a command may use of the chat it was typed in."""

    @property
    def screen(self) -> Screen: ...

    @property
    def runtime(self) -> "Runtime":
        """The runtime, once it is awake: asking for it waits."""

    @property
    def awake(self) -> "Runtime | None":
        """The runtime if it is awake already."""

    def stream(self, events: Iterator[Event]) -> None:
        """Show the events of a turn as they come; Ctrl-C stops it."""

    def leave(self) -> None:
        """End the chat after this command."""


Handler = Callable[[Host, str], None]
Complete = Callable[[Host, str], Sequence[str]]
"""What could stand as the next word of an argument; must not wait."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command. `usage` names its arguments, `help` is one line, `details` may be more."""

    name: str
    usage: str
    help: str
    handler: Handler
    aliases: tuple[str, ...] = ()
    details: str = ""
    complete: Complete = lambda host, argument: ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


def is_command(line: str) -> bool:
    """Whether a line is for the chat and not for the model."""
    return line.startswith("/") and not line.startswith("//")


def message(line: str) -> str:
    """What a line that is no command says to the model: `//` stands for one slash."""
    return line[1:] if line.startswith("//") else line


def find(word: str) -> Command:
    """The command with this name or alias; UsageError naming the nearest where there is none."""
    for command in COMMANDS:
        if word in command.names:
            return command
    known = [name for command in COMMANDS for name in command.names]
    near = [name for name in known if len(word) > 1 and name.startswith(word)]
    near = near or difflib.get_close_matches(word, known, 1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"There is no command {word}.{hint} /help lists all of them.")


def dispatch(host: Host, line: str) -> None:
    """Run the command on a line."""
    word, _, argument = line.strip().partition(" ")
    find(word).handler(host, argument.strip())


def completions(host: Host, line: str) -> Sequence[str]:
    """What could stand in place of the last word of a half-typed line."""
    if not is_command(line) or "\n" in line:
        return ()
    word, space, argument = line.partition(" ")
    if not space:
        return [command.name for command in COMMANDS if command.name.startswith(word)]
    for command in COMMANDS:
        if word in command.names:
            start = argument.rsplit(" ", 1)[-1]
            return [found for found in command.complete(host, argument) if found.startswith(start)]
    return ()


def _help(host: Host, argument: str) -> None:
    if argument:
        command = find(argument if argument.startswith("/") else f"/{argument}")
        lines = [command.usage, f"  {command.help}"]
        if command.aliases:
            lines.append(f"  The same: {', '.join(command.aliases)}")
        host.screen.say(
            "\n".join([*lines, *(f"  {line}" for line in command.details.splitlines())])
        )
        return
    table = columns([(command.usage, command.help) for command in COMMANDS])
    host.screen.say("\n".join([*table, "", *_KEYS]))


_KEYS = (
    "Enter sends; Alt-Enter begins a new line; Tab completes; the arrows bring back",
    "what you typed. Ctrl-C stops a reply or clears the line; Ctrl-D leaves.",
    "Everything is saved by itself. To begin a message with a slash, type two: //",
)


def _help_words(host: Host, argument: str) -> Sequence[str]:
    return [command.name for command in COMMANDS]


def _exit(host: Host, argument: str) -> None:
    host.leave()


def _clear(host: Host, argument: str) -> None:
    runtime = host.runtime
    before, turns = runtime.session, runtime.turns
    session = runtime.clear()
    kept = f" The one before is kept: anima --resume {before}" if turns else ""
    host.screen.say(f"A new session begins: {session}.{kept}")


def _system(host: Host, argument: str) -> None:
    runtime = host.runtime
    if argument:
        runtime.set_system(None if argument == "off" else argument)
    host.screen.say(
        "There is no system text." if runtime.system is None else f"System: {runtime.system}"
    )


def _set(host: Host, argument: str) -> None:
    runtime = host.runtime
    name, _, value = argument.partition(" ")
    name = name.replace("-", "_")
    settings = runtime.settings()
    if name and name not in settings:
        near = difflib.get_close_matches(name, settings, 1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"There is no setting {name}.{hint} There are: {', '.join(settings)}.")
    if value.strip():
        settings[name] = runtime.set(name, _number(name, value.strip()))
    shown = {name: settings[name]} if name else settings
    host.screen.say("\n".join(columns([(key, _spoken(shown[key])) for key in shown])))


def _number(name: str, value: str) -> float | None:
    """What a person typed as the value of a setting; `default` is None."""
    if value == "default":
        return None
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"{name} takes a number or the word default, not {value!r}.") from error


def _set_words(host: Host, argument: str) -> Sequence[str]:
    if host.awake is None:
        return ()
    return ["default"] if " " in argument else list(host.awake.settings())


def _undo(host: Host, argument: str) -> None:
    text = host.runtime.undo()
    host.screen.say(f"Taken back: {shortened(text)}")


def _regen(host: Host, argument: str) -> None:
    host.stream(host.runtime.regenerate())


def _status(host: Host, argument: str) -> None:
    rows: list[tuple[str, str]] = []
    for name, value in host.runtime.status().items():
        if isinstance(value, dict):
            rows.extend((f"{name}.{key}", _spoken(inner)) for key, inner in value.items())
        else:
            rows.append((name, _spoken(value)))
    host.screen.say("\n".join(columns([(name, shortened(value)) for name, value in rows])))


def _spoken(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


COMMANDS: tuple[Command, ...] = (
    Command(
        name="/help",
        aliases=("/?",),
        usage="/help [COMMAND]",
        help="what you can type, or more about one command",
        handler=_help,
        complete=_help_words,
    ),
    Command(
        name="/exit",
        aliases=("/quit",),
        usage="/exit",
        help="leave; everything is saved",
        handler=_exit,
    ),
    Command(
        name="/clear",
        usage="/clear",
        help="begin a new session; the old one stays on disk",
        handler=_clear,
    ),
    Command(
        name="/system",
        usage="/system [TEXT|off]",
        help="show or set a text that the model reads first",
        handler=_system,
        details="It follows Anima's own self-description and does not replace it.\n"
        "Changing it reads the conversation again, which takes a moment.",
        complete=lambda host, argument: ("off",),
    ),
    Command(
        name="/set",
        usage="/set [NAME [VALUE]]",
        help="show or change how replies are made: temperature, seed …",
        handler=_set,
        details="/set temperature 0.7 changes a setting, /set temperature default puts it back,\n"
        "/set alone shows all. What you set is kept with the persona.",
        complete=_set_words,
    ),
    Command(
        name="/undo",
        usage="/undo",
        help="take back the last turn, with all that came of it",
        handler=_undo,
    ),
    Command(
        name="/regen",
        usage="/regen",
        help="take back the last reply and answer again, differently",
        handler=_regen,
    ),
    Command(
        name="/status",
        usage="/status",
        help="the persona, its model, this session, the settings in force",
        handler=_status,
    ),
)
