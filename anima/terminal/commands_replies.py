"""The commands about replies: take back, answer again, compare, how they are made."""

import difflib
import os
import re
from collections.abc import Collection, Sequence

from anima.errors import StateError, UsageError
from anima.terminal import clipboard, comparing
from anima.terminal.command import Command, Host, say, words
from anima.terminal.keyboard import Choice
from anima.terminal.screen import columns, shortened, shown, typed


def _undo(host: Host, argument: str) -> None:
    text = host.runtime.undo()
    say(host, f"Taken back: {shortened(text)}")


def _regen(host: Host, argument: str) -> None:
    host.stream(host.runtime.regenerate())


def _think(host: Host, argument: str) -> None:
    text, _ = typed(argument)
    if not text.strip():
        raise UsageError("There is nothing to think about: /think TEXT.")
    host.stream(host.runtime.think(text))


def _edit(host: Host, argument: str) -> None:
    runtime = host.runtime
    if runtime.last is None:
        raise StateError("There is no turn to edit in this session.")
    before = str(runtime.last["text"])
    after, _ = typed(host.edit(before))
    if after == before or not after.strip():
        say(host, "Nothing was changed; the turn stays as it is.")
        return
    host.suggest(after)  # whatever goes wrong from here on, it is not typed in vain
    runtime.preview(after)  # raises for a text that does not fit, before anything is taken back
    runtime.undo()
    events = runtime.turn(after)
    host.suggest("")
    say(host, f"Taken back, and asked anew: {shortened(after)}")
    host.stream(events)


def _copy(host: Host, argument: str) -> None:
    last = host.runtime.last
    if last is None:
        raise StateError("There is no reply to copy in this session.")
    text = shown(str(last["reply"]))
    sequence = clipboard.for_terminal(text)
    told = sequence is not None and host.tell(sequence)
    program = clipboard.by_program(text, os.environ)
    amount = f"{len(text)} characters"
    if program:
        also = ", and sent to the terminal too" if told else ""
        say(host, f"Copied {amount} with {program}{also}.")
    elif told:
        tmux = " (tmux: set -g set-clipboard on)" if os.environ.get("TMUX") else ""
        say(host, f"Sent {amount} to the terminal, if it lets programs copy{tmux}.")
    else:
        raise UsageError(
            "There is nothing to copy with: install xclip, xsel, wl-copy or pbcopy, or use a "
            "terminal that knows OSC 52, with less than 56,000 bytes to copy."
        )


def _system(host: Host, argument: str) -> None:
    runtime = host.runtime
    if argument:
        runtime.set_system(None if argument == "off" else argument)
    say(host, "There is no system text." if runtime.system is None else f"System: {runtime.system}")


def _set(host: Host, argument: str) -> None:
    runtime = host.runtime
    name, *value = re.split(r"[\s=]+", argument, maxsplit=1)
    settings = runtime.settings()
    if name:
        name = setting(name, settings)
    if value and value[0]:
        settings[name] = runtime.set(name, _number(name, value[0]))
    chosen = {name: settings[name]} if name else settings
    say(host, "\n".join(columns([(key, spoken(chosen[key])) for key in chosen])))


def setting(name: str, known: Collection[str]) -> str:
    """The setting that is meant; UsageError naming the nearest where there is none."""
    name = name.replace("-", "_")
    if name in known:
        return name
    near = difflib.get_close_matches(name, list(known), 1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"There is no setting {name}.{hint} There are: {', '.join(known)}.")


def _number(name: str, value: str) -> float | None:
    """What a person typed as the value of a setting; `default` is None."""
    if value == "default":
        return None
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"{name} takes a number or the word default, not {value!r}.") from error


def spoken(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _settings(host: Host) -> dict[str, float | None]:
    return {} if host.awake is None else host.awake.settings()


def _set_words(host: Host, argument: str) -> Sequence[Choice]:
    settings = _settings(host)
    if " " in argument:
        return [Choice("default")] if settings else []
    return [Choice(name, spoken(value)) for name, value in settings.items()]


def _compare(host: Host, argument: str) -> None:
    runtime = host.runtime
    settings = runtime.settings()
    lists, text = comparing.parsed(argument)
    sides = [{setting(name, settings): value for name, value in each.items()} for each in lists]
    comparing.compare(host, sides, typed(text)[0] or None)


def _compare_words(host: Host, argument: str) -> Sequence[Choice]:
    return [Choice(f"{name}=", spoken(value)) for name, value in _settings(host).items()]


REPLIES: tuple[Command, ...] = (
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
        name="/think",
        usage="/think TEXT",
        help="plan, draft and check before the answer",
        handler=_think,
    ),
    Command(
        name="/edit",
        usage="/edit",
        help="change your last message in an editor and ask again",
        handler=_edit,
        details="The editor is $VISUAL or $EDITOR. Leave it without a change, and nothing happens.\n"
        "Ctrl-X Ctrl-E opens the line that you are typing in it.",
    ),
    Command(
        name="/copy",
        usage="/copy",
        help="copy the last reply to the clipboard",
        handler=_copy,
    ),
    Command(
        name="/compare",
        usage="/compare A [B] [TEXT]",
        help="answer the same under two settings, side by side",
        handler=_compare,
        details="A and B are lists such as temperature=0 or temperature=1.2,top_p=0.8; without B,\n"
        "A is compared with the settings in force. Both answer the same text, your last\n"
        "message where you give none, with the same seed. Nothing of it is kept.",
        complete=_compare_words,
        part=lambda argument: re.split("[ ,]", argument)[-1],
    ),
    Command(
        name="/system",
        usage="/system [TEXT|off]",
        help="show or set a text that the model reads first",
        handler=_system,
        details="It follows Anima's own self-description and does not replace it.\n"
        "Changing it reads the conversation again, which takes a moment.",
        complete=words("off"),
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
)
