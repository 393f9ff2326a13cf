"""What a command of the chat is, and what it may use; knows none of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from anima.events import Event, Replied
from anima.home import Home
from anima.terminal.keyboard import Choice
from anima.terminal.layout import wrapped
from anima.terminal.screen import Screen

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

    @property
    def home(self) -> Home:
        """Where the personas and their sessions are."""

    @property
    def kept(self) -> bool:
        """Whether anything of this conversation outlasts it."""

    @property
    def width(self) -> int:
        """Columns of the window."""

    @property
    def from_inside(self) -> bool:
        """Whether what is active on each token is shown with a reply."""

    def stream(self, events: Iterator[Event]) -> Replied | None:
        """Show the events of a turn as they come; Ctrl-C stops it. Its reply, if it came to one."""

    def collect(self, events: Iterator[Event]) -> Replied | None:
        """The same without showing anything."""

    def edit(self, text: str) -> str:
        """A text as a person leaves it in their editor; raises UsageError."""

    def tell(self, sequence: str) -> bool:
        """Send a control sequence to the terminal; False where it would not know any."""

    def suggest(self, text: str) -> None:
        """Let the next input line begin with a text."""

    def leave(self) -> None:
        """End the chat after this command."""


Handler = Callable[[Host, str], None]
Complete = Callable[[Host, str], Sequence[Choice]]
"""What could stand where the argument is being typed; must not wait for the model."""


def say(host: Host, text: str) -> None:
    """Show what a person asked to see, its lines broken at words where the window ends."""
    host.screen.say("\n".join(wrapped(text, host.width)))


def last_word(argument: str) -> str:
    """The word of an argument that is being typed."""
    return argument.rsplit(" ", 1)[-1]


def nothing(host: Host, argument: str) -> Sequence[Choice]:
    """No choices."""
    return ()


def words(*texts: str) -> Complete:
    """Always the same choices."""
    choices = [Choice(text) for text in texts]
    return lambda host, argument: choices


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command. `usage` names its arguments, `help` is one line, `details` may be more.

    `complete` gives choices for the `part` of an argument that is being typed. One that is `live`
    may be typed while a reply streams, and acts on it.
    """

    name: str
    usage: str
    help: str
    handler: Handler
    aliases: tuple[str, ...] = ()
    details: str = ""
    complete: Complete = nothing
    part: Callable[[str], str] = last_word
    live: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)
