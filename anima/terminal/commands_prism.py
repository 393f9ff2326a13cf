"""The commands that steer and that look inside: modes, pushes by hand, features, why."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from anima.errors import SteeringError, UsageError
from anima.terminal import looking
from anima.terminal.command import Command, Host, say
from anima.terminal.keyboard import Choice
from anima.terminal.layout import wrapped
from anima.terminal.turns import percent

if TYPE_CHECKING:
    from anima.runtime.prism import Prism

_WORDS = (("off", "nothing is pushed"), ("auto", "what you write chooses"))
_OPERATIONS = ("add", "clamp", "min_clamp", "ablate", "cap", "negative_clamp")
_FOUND = 15  # features of a search
_TOKENS = 40  # of a reply that /why shows unasked
_OFFERED = 20  # labels of a completion
_UNQUOTED = str.maketrans("", "", "“”")
_EXAMPLE = "/steer rain at night 0.1"


def _mode(host: Host, argument: str) -> None:
    prism = host.runtime.prism
    if not argument:
        say(host, f"{in_words(prism)} /modes lists all.")
        return
    before = _name(prism)
    name, strength = _with_strength(argument)
    prism.set(name, strength)
    _aside(host, in_words(prism, before))


def _aside(host: Host, text: str) -> None:
    host.screen.aside("\n".join(wrapped(text, host.width)))


def _with_strength(argument: str) -> tuple[str, float | None]:
    """A mode's name and, where a number follows it, the strength."""
    name, _, last = argument.rpartition(" ")
    if not name:
        return last, None
    try:
        return "+".join(name.split()), float(last)
    except ValueError:
        return "+".join(argument.split()), None


def _name(prism: "Prism") -> str:
    return "auto" if prism.auto else prism.mode


def in_words(prism: "Prism", before: str | None = None) -> str:
    """The mode in force, what it was `before`, and how far it pushes."""
    name = f"auto, {prism.mode} now" if prism.auto else prism.mode
    was = "" if before in (None, _name(prism)) else f" (was {before})"
    return f"Mode {name}{was}: {_pushing(prism)}."


def _pushing(prism: "Prism") -> str:
    """How much is pushed: what is asked for, what the budget leaves, what a control makes of it."""
    by_hand = prism.steers()
    if prism.mode == "off" and not by_hand:
        return "nothing is pushed"
    if prism.control == "off":
        return "nothing is pushed, as --control off has it"
    parts = [f"up to {percent(prism.nominal)} of ‖h‖ is pushed"]
    if prism.nominal > prism.budget:
        parts = [
            f"{percent(prism.nominal)} of ‖h‖ is asked for and scaled down to the budget, "
            f"{percent(prism.budget)}"
        ]
    if by_hand:
        pushes = "1 push" if len(by_hand) == 1 else f"{len(by_hand)} pushes"
        parts.append(f"{pushes} by hand among it")
    if prism.control != "none":
        parts.append(f"under --control {prism.control}")
    return ", ".join(parts)


def _modes(host: Host, argument: str) -> None:
    prism = host.runtime.prism
    cards = prism.modes()
    lines = looking.modes(cards, prism.mode.split("+"), host.width)
    now = wrapped(in_words(prism), host.width) if cards else []
    say(host, "\n".join([*lines, *now]))


def _mode_words(host: Host, argument: str) -> Sequence[Choice]:
    if host.awake is None:
        return ()
    shelf = host.awake.prism.shelf
    return [*(Choice(name, origin) for name, origin in shelf.names().items()), *_fixed()]


def _fixed() -> list[Choice]:
    return [Choice(word, about) for word, about in _WORDS]


def _steer(host: Host, argument: str) -> None:
    prism = host.runtime.prism
    if not argument:
        _steers(host, prism)
        return
    word, _, rest = argument.partition(" ")
    if word == "off":
        _steer_off(host, prism, rest.strip())
        return
    what, strength, operation = steering(argument)
    push = prism.steer(what, strength, operation)
    feature = looking.named(push.feature, push.label)
    if not push.strength:
        _aside(host, f"Not pushed any more: {feature}.")
        return
    how = f"{push.operation} at {percent(push.strength)} of ‖h‖"
    much = f" {in_words(prism)}" if prism.nominal > prism.budget else ""
    _aside(host, f"Pushed: {feature}, {how}.{much}")


def _steers(host: Host, prism: "Prism") -> None:
    found = prism.steers()
    if not found:
        say(host, f"Nothing is pushed by hand. To push a feature: {_EXAMPLE}")
        return
    say(host, "\n".join([*looking.by_hand(found, host.width), "/steer off [WHAT] ends it."]))


def _steer_off(host: Host, prism: "Prism", what: str) -> None:
    before = {push.feature for push in prism.steers()}
    if not before:
        raise SteeringError("Nothing is pushed by hand, so there is nothing to end.")
    feature = _meant(prism, what) if what else None
    if feature is not None and feature not in before:
        named = looking.named(feature, _label(prism, feature))
        raise SteeringError(f"{named} is not pushed by hand: /steer lists what is.")
    prism.steer_off(feature)
    gone = before - {push.feature for push in prism.steers()}
    names = ", ".join(looking.named(each, _label(prism, each)) for each in sorted(gone))
    _aside(host, f"Not pushed any more: {names}.")


def _meant(prism: "Prism", what: str) -> int:
    """The feature that is meant: of those pushed one whose label has the words, else any."""
    words = what.casefold().translate(_UNQUOTED).split()
    for push in prism.steers():
        if all(word in push.label.casefold().translate(_UNQUOTED) for word in words):
            return push.feature
    return prism.feature(what)


def _label(prism: "Prism", feature: int) -> str:
    return prism.book.names.label(feature) if prism.book else ""


def steering(argument: str) -> tuple[str, float, str]:
    """`FEATURE|LABEL STRENGTH [OPERATION]` taken apart; raises UsageError."""
    words = argument.split()
    operation = words.pop() if words[-1] in _OPERATIONS else "clamp"
    if len(words) < 2:
        raise UsageError(f"Say what to push and how far, such as: {_EXAMPLE}")
    try:
        strength = float(words[-1])
    except ValueError as error:
        raise UsageError(
            f"{words[-1]!r} is no strength: it is a fraction of ‖h‖ from -1 to 1, such as: "
            f"{_EXAMPLE}"
        ) from error
    return " ".join(words[:-1]), strength, operation


def _steer_words(host: Host, argument: str) -> Sequence[Choice]:
    if host.awake is None:
        return ()
    prism = host.awake.prism
    word, space, _ = argument.partition(" ")
    if word == "off" and space:
        pushed = [(push.label.translate(_UNQUOTED), push.feature) for push in prism.steers()]
        return [Choice(label or f"#{feature}", f"#{feature}") for label, feature in pushed]
    fixed = [Choice("off", "end pushes by hand")]
    return [*fixed, *_labels(prism, argument)]


def _labels(prism: "Prism", typed: str) -> list[Choice]:
    book = prism.book
    if book is None or not typed.strip():
        return []
    labels: dict[str, int] = {}
    for feature in book.live:
        # Labels quote words; nobody types the quotes, and a search needs none.
        label = book.names.label(feature).translate(_UNQUOTED)
        if label.casefold().startswith(typed.casefold()):
            labels.setdefault(label, feature)
    return [Choice(label, f"#{feature}") for label, feature in [*labels.items()][:_OFFERED]]


def _after_off(argument: str) -> str:
    return argument[4:] if argument.startswith("off ") else argument


def _features(host: Host, argument: str) -> None:
    prism = host.runtime.prism
    if argument:
        _search(host, prism, argument)
        return
    found = prism.firing()
    if not found:
        say(host, "No feature was active on the last turn.")
        return
    head = (
        "On the last turn, the most telling first: strong here, seldom elsewhere (100% is the most "
        "ever measured):"
    )
    lines = [*wrapped(head, host.width), *looking.firing(found, host.width)]
    say(host, "\n".join(lines))


def _search(host: Host, prism: "Prism", text: str) -> None:
    if prism.book is None:
        raise SteeringError("This model has no SAE here, so there are no features to search.")
    names, scales = prism.book.names, prism.book.scales
    number = text.lstrip("#").isdigit()
    found = [prism.feature(text)] if number else list(names.find(text))
    if not found:
        labelled = any(names.label(feature) for feature in prism.book.live)
        raise SteeringError(
            f"No feature's label fits {text!r}."
            if labelled
            else "The features have no labels yet: anima features label makes them."
        )
    rows = [
        (each, names.label(each), float(scales.density[each]), float(scales.maximum[each]))
        for each in found[:_FOUND]
    ]
    more = len(found) - len(rows)
    rest = [f"… and {more} more: add a word."] if more else []
    say(host, "\n".join([*looking.features(rows, host.width), *rest]))


def _features_words(host: Host, argument: str) -> Sequence[Choice]:
    return [] if host.awake is None else _labels(host.awake.prism, argument)


def _why(host: Host, argument: str) -> None:
    prism = host.runtime.prism
    turn, whole = _turn(argument)
    records = prism.pushes(turn)
    lines = looking.pushes(records, host.width) if records else ["Nothing was pushed."]
    remembering = host.runtime.turn_record(turn)["deltas"].get("memory")
    if remembering is not None:
        lines = [*looking.recalled(remembering, host.width), *lines]
    least = min((record.scaled for record in records), default=1.0)
    if least < 1:
        bound = f"The budget of {percent(prism.budget)} bound: scaled down to {percent(least)}"
        lines += wrapped(f"{bound} at the least.", host.width)
    if prism.book is None:
        lines.append("This model has no SAE here, so there are no features to show.")
        say(host, "\n".join(lines))
        return
    try:
        tokens = prism.why(turn)
    except SteeringError as error:
        lines.append(str(error))
        say(host, "\n".join(lines))
        return
    said = tokens if whole else [each for each in tokens if each.role == "assistant"]
    shown = said if whole else said[:_TOKENS]
    lines += ["", *looking.why(shown, host.width)]
    if len(tokens) > len(shown):
        number = host.runtime.turns if turn == -1 else turn
        lines.append(f"… /why {number} all shows all {len(tokens)} tokens.")
    say(host, "\n".join(lines))


def _turn(argument: str) -> tuple[int, bool]:
    """Which turn is meant, −1 for the last, and whether all of its tokens are."""
    words = argument.split()
    whole = "all" in words
    numbers = [word for word in words if word != "all"]
    if len(numbers) > 1 or not all(word.isdigit() and int(word) > 0 for word in numbers):
        raise UsageError(f"/why takes the number of a turn, from 1, not {argument!r}.")
    return (int(numbers[0]) if numbers else -1), whole


PRISM: tuple[Command, ...] = (
    Command(
        name="/mode",
        usage="/mode [NAME|off|auto]",
        help="how Anima speaks: show or switch the mode, at once",
        handler=_mode,
        details="Typed while a reply streams it acts from the next word on. /mode dream 0.5 is half\n"
        "as strong, /mode dream+anima two at once; auto chooses by what you write.\n"
        "anima mode create NAME --like FILE --unlike FILE makes one of your own.",
        complete=_mode_words,
        live=True,
    ),
    Command(
        name="/modes",
        usage="/modes",
        help="all modes of this model, and what they do",
        handler=_modes,
        details="KL P95 is how far a mode moves the next word, in nats, at the 95th percentile.",
    ),
    Command(
        name="/steer",
        usage="/steer [WHAT STRENGTH]",
        help="push a feature by hand; alone, list what is pushed",
        handler=_steer,
        details="WHAT is a feature's number or words of its label, STRENGTH a fraction of the\n"
        "residual norm: /steer rain at night 0.1, /steer #4312 -0.1, /steer 4312 1 ablate.\n"
        "/steer off ends all, /steer off WHAT one.",
        complete=_steer_words,
        part=_after_off,
        live=True,
    ),
    Command(
        name="/features",
        usage="/features [TEXT]",
        help="what is active on the last turn; TEXT finds by label",
        handler=_features,
        details="Alone it lists ten, ordered by how strong each was and how seldom it is.",
        complete=_features_words,
        part=lambda argument: argument,
    ),
    Command(
        name="/why",
        usage="/why [TURN] [all]",
        help="what shaped a reply: recalled lines, pushes, features",
        handler=_why,
        details="It reaches the last turns of this chat; all has your own words in it too.",
    ),
)
