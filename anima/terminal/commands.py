"""The registry of the chat's commands; knows what they are called, and not what most of them do.

Dispatch, `/help`, completion, the error that names the nearest command and the README's table all
come from `COMMANDS`.
"""

import difflib
from collections.abc import Sequence

from anima.errors import UsageError
from anima.terminal.command import Command, Host, say
from anima.terminal.commands_memory import MEMORY
from anima.terminal.commands_prism import PRISM
from anima.terminal.commands_replies import REPLIES
from anima.terminal.commands_sessions import SESSIONS
from anima.terminal.keyboard import Choice, Completed
from anima.terminal.layout import listing, wrapped

_KEYS = (
    "Enter sends, Alt-Enter begins a new line, Tab completes. The arrows and Ctrl-R bring back "
    "what you typed, Ctrl-X Ctrl-E opens it in your editor. Ctrl-C or Esc stops a reply; Ctrl-C "
    "clears the line, Ctrl-D leaves. Everything is saved by itself. To begin a message with a "
    "slash, type two: //"
)
_WIDEST = 80


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


def is_live(line: str) -> bool:
    """Whether a line is a command that acts on a reply while it streams."""
    words = line.split()
    return bool(words) and any(c.live for c in COMMANDS if words[0] in c.names)


def dispatch(host: Host, line: str) -> None:
    """Run the command on a line."""
    word, *argument = line.strip().split(maxsplit=1)
    find(word).handler(host, "".join(argument))


def completions(host: Host, line: str) -> Completed:
    """What could stand at the end of a half-typed line, in place of how many characters."""
    if not is_command(line) or "\n" in line:
        return Completed(0, ())
    word, space, argument = line.partition(" ")
    if not space:
        return Completed(len(word), [each for each in _names() if each.text.startswith(word)])
    for command in COMMANDS:
        if word in command.names:
            typed = command.part(argument.lstrip())
            found = command.complete(host, argument.lstrip())
            return Completed(len(typed), [each for each in found if _begins(each.text, typed)])
    return Completed(0, ())


def _begins(text: str, typed: str) -> bool:
    return text.casefold().startswith(typed.casefold())


def _names() -> list[Choice]:
    return [Choice(command.name, command.help) for command in COMMANDS]


def _help(host: Host, argument: str) -> None:
    width = min(host.width, _WIDEST)
    if argument:
        command = find(argument if argument.startswith("/") else f"/{argument}")
        also = [f"The same: {', '.join(command.aliases)}"] if command.aliases else []
        about = [command.help, *also, " ".join(command.details.splitlines())]
        lines = (line for text in about if text for line in wrapped(text, max(1, width - 2)))
        say(host, "\n".join([command.usage, *(f"  {line}" for line in lines)]))
        return
    table = listing([(command.usage, command.help) for command in COMMANDS], width)
    say(host, "\n".join([*table, "", *wrapped(_KEYS, width)]))


def _help_words(host: Host, argument: str) -> Sequence[Choice]:
    return _names()


def _exit(host: Host, argument: str) -> None:
    host.leave()


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
        aliases=("/quit", "/bye"),
        usage="/exit",
        help="leave; everything is saved",
        handler=_exit,
    ),
    *PRISM,
    *MEMORY,
    *REPLIES,
    *SESSIONS,
)
