"""The commands about sessions: begin, copy, name, open, sum up."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anima.errors import StateError, UsageError
from anima.home import Home
from anima.terminal import turns
from anima.terminal.command import Command, Host, say
from anima.terminal.commands_replies import spoken
from anima.terminal.keyboard import Choice
from anima.terminal.layout import listing
from anima.terminal.screen import columns, shortened

if TYPE_CHECKING:
    from anima.runtime.loop import Runtime

_LISTED = 12  # sessions that /load alone shows
_NARROWEST = 20  # columns for a value of /status, however narrow the window is


def _clear(host: Host, argument: str) -> None:
    runtime = host.runtime
    before, had = runtime.session, runtime.turns
    session = runtime.clear()
    kept = f"\nThe one before is kept: /load {before}" if had and host.kept else ""
    say(host, f"A new session begins: {session}.{kept}")


def _fork(host: Host, argument: str) -> None:
    runtime = host.runtime
    before = runtime.session
    session = runtime.fork()
    say(host, f"You go on in a copy, {session}.\nThe one before stays: /load {before}")


def _save(host: Host, argument: str) -> None:
    from anima.persona import names

    runtime = host.runtime
    if not host.kept:
        raise StateError("Nothing of this conversation is kept: start without --ephemeral.")
    if not argument:
        raise UsageError("Everything is saved by itself. To name this session: /save NAME")
    names.name_session(host.home, runtime.persona, runtime.session, argument)
    name = names.checked(argument)
    again = f"anima --resume {shlex.quote(name)}"
    say(host, f"This session is named {name}. It goes on with:\n{again}")


def _load(host: Host, argument: str) -> None:
    if not argument:
        _sessions(host, "")
        return
    runtime = host.runtime
    told = len(runtime.notices)
    runtime.load(argument)
    for notice in runtime.notices[told:]:
        host.screen.note(notice)
    say(host, turns.going_on(runtime, name_of(host.home, runtime)))


def _sessions(host: Host, argument: str) -> None:
    from anima.persona import sessions

    runtime = host.runtime
    known = _known(host.home, runtime)
    found = sessions(host.home, runtime.persona)
    if not found:
        say(host, "There is no session on disk yet: one begins with its first turn.")
        return
    rows = []
    for each in found[:_LISTED]:
        here = " ← here" if each.id == runtime.session else ""
        title = each.damaged or known.get(each.id) or shortened(each.first_text or "", 40)
        amount = turns.count(each.turns, "turn")
        rows.append((each.id, f"{amount}  {title}{here}"))
    more = len(found) - len(rows)
    rest = [f"… and {more} more: anima sessions list"] if more > 0 else []
    say(host, "\n".join([*listing(rows, host.width), *rest, "/load ID or NAME opens one."]))


def _known(home: Home, runtime: "Runtime") -> dict[str, str]:
    """The names of the persona's sessions, by id."""
    from anima.persona import names

    return names.names(home, runtime.persona)


def name_of(home: Home, runtime: "Runtime") -> str | None:
    """The name of the session that is open, if a person gave it one."""
    return _known(home, runtime).get(runtime.session)


def _load_words(host: Host, argument: str) -> Sequence[Choice]:
    from anima.persona import sessions

    if host.awake is None:
        return ()
    known = _known(host.home, host.awake)
    found = sessions(host.home, host.awake.persona)
    about = {each.id: shortened(each.first_text or "", 40) for each in found}
    named = [Choice(known[id], text) for id, text in about.items() if id in known]
    return [*named, *(Choice(id, known.get(id) or text) for id, text in about.items())]


def _stats(host: Host, argument: str) -> None:
    figures = host.runtime.figures()
    apart = [(figures.stopped, "stopped"), (figures.taken_back, "taken back")]
    aside = ", ".join(f"{number} {what}" for number, what in apart if number)
    speed = "" if figures.per_second is None else f", {figures.per_second:.1f} tokens/s (median)"
    used, window = figures.context_used, figures.context_window
    rows = [
        ("session", _session(host)),
        ("turns", f"{figures.turns} ({aside})" if aside else str(figures.turns)),
        ("read", turns.count(figures.tokens_read, "token")),
        ("said", f"{turns.count(figures.tokens_said, 'token')} in {figures.seconds:.1f} s{speed}"),
        ("context", f"{used}/{window} ({used / window:.0%})"),
    ]
    say(host, "\n".join(columns(rows)))


def _session(host: Host) -> str:
    name = name_of(host.home, host.runtime)
    return f"{host.runtime.session} ({name})" if name else host.runtime.session


def _status(host: Host, argument: str) -> None:
    rows: list[tuple[str, str]] = []
    for name, value in (host.runtime.status() | {"session": _session(host)}).items():
        if isinstance(value, dict):
            rows.extend((f"{name}.{key}", spoken(inner)) for key, inner in value.items())
        else:
            rows.append((name, spoken(value)))
    room = max(_NARROWEST, host.width - max(len(name) for name, _ in rows) - 2)
    say(host, "\n".join(columns([(name, shortened(value, room)) for name, value in rows])))


SESSIONS: tuple[Command, ...] = (
    Command(
        name="/status",
        usage="/status",
        help="the persona, its model, the session, the settings",
        handler=_status,
    ),
    Command(
        name="/stats",
        aliases=("/tokens",),
        usage="/stats",
        help="figures of this session: turns, tokens, speed, context",
        handler=_stats,
    ),
    Command(
        name="/clear",
        aliases=("/new",),
        usage="/clear",
        help="begin a new session; the old one stays on disk",
        handler=_clear,
    ),
    Command(
        name="/fork",
        usage="/fork",
        help="go on in a copy of this session, which stays as it is",
        handler=_fork,
    ),
    Command(
        name="/save",
        aliases=("/rename",),
        usage="/save NAME",
        help="name this session (it is saved anyway)",
        handler=_save,
    ),
    Command(
        name="/load",
        aliases=("/resume", "/sessions"),
        usage="/load [ID|NAME]",
        help="go on in another session; alone, list them",
        handler=_load,
        details="The beginning of an id is enough.",
        complete=_load_words,
        part=lambda argument: argument,
    ),
)
