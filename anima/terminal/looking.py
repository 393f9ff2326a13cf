"""Modes, pushes and features as lines for a window of some width; knows records and draws nothing.

Shares of ‖h‖ are shown in per cent, activations as a share of the strongest ever measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from anima.terminal.layout import wrapped
from anima.terminal.screen import columns, shown
from anima.terminal.turns import count, percent
from anima.terminal.wrapping import cells

if TYPE_CHECKING:
    from anima.runtime.prism import Firing, ModeCard, WhyToken
    from anima.steering.trace import PushRecord

NARROW = 72
"""Columns below which a table becomes paragraphs."""

_TOKEN = 14  # columns for a token


class ByHand(Protocol):
    """A push on one feature that a person asked for."""

    @property
    def feature(self) -> int: ...

    @property
    def label(self) -> str: ...

    @property
    def operation(self) -> str: ...

    @property
    def strength(self) -> float: ...


def named(feature: int | None, label: str) -> str:
    """A feature by its number and, where it has one, its label; a direction by its name."""
    if feature is None:
        return label
    plain = "" if label == f"feature {feature}" else label
    return f"#{feature} {plain}".rstrip()


def recalled(values: Mapping[str, Any], width: int) -> list[str]:
    """What a turn recalled, with the scores, and what became of what was said in it."""
    found = values.get("recalled", ())
    quoted = values.get("quoted", found)
    head = "Recalled, and quoted before your text:" if found else "Nothing was recalled."
    if found and quoted != found:
        others = f"{count(len(quoted), 'other line')} quoted instead" if quoted else "not quoted"
        head = f"Recalled, but {others}, as the control has it:"
    terms = [line for each in found for line in (*_asked(each, width), *_terms(each, width))]
    told = [made(each) for each in values.get("remembered", ())]
    left = {"repeats": "the reply only repeats it", "empty": "there was no reply"}
    if values.get("left_out") in left:
        told.append(f"Not remembered: {left[values['left_out']]}.")
    lines = remembered(found, width) + terms if found else []
    return [head, *lines, *(line for each in told for line in wrapped(each, width)), ""]


def _asked(row: Mapping[str, Any], width: int) -> list[str]:
    """The question by which a line was found, indented below it."""
    if "asked" not in row:
        return []
    told = f"#{row['seq']} replies to #{row['asked']['seq']}: {shown(row['asked']['text'])}"
    return [f"  {line}" for line in wrapped(told, width - 2)]


def _terms(row: Mapping[str, Any], width: int) -> list[str]:
    """The terms of a line's score, indented below it."""
    if not row["terms"]:
        return []
    terms = ", ".join(f"{name} {value:.2f}" for name, value in row["terms"].items())
    return [f"  {line}" for line in wrapped(f"#{row['seq']}: {terms}", width - 2)]


def remembered(rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Lines of the memory, as many columns as fit: score, number, when, whose, what."""
    cells_of = [
        (
            *([f"{row['score']:.2f}"] if "score" in row else []),
            f"#{row['seq']}",
            str(row["timestamp"])[:16].replace("T", " "),
            str(row["role"]),
        )
        for row in rows
    ]
    texts = [" ".join(str(row["text"]).split()) for row in rows]
    heads = columns([[shown(cell) for cell in each] for each in cells_of])
    taken = max(cells(head) for head in heads) + 2
    if width - taken < 16:
        return [
            _cut(f"{each[-3]} {shown(text)}", width)
            for each, text in zip(cells_of, texts, strict=True)
        ]
    padded = (head + " " * (taken - cells(head)) for head in heads)
    return [_cut(head + shown(text), width) for head, text in zip(padded, texts, strict=True)]


def made(each: Mapping[str, Any]) -> str:
    """What became of one thing that was said."""
    whose = {"user": "your words", "assistant": "the reply's words"}.get(each["role"], each["role"])
    match each["decision"]:
        case "merge":
            return f"Known already: {whose} were added to #{each['target']}."
        case "skip" if each["target"]:
            return f"Known already: {whose} say what #{each['target']} says."
        case "skip":
            return f"Not kept: {whose} say nothing to remember."
        case _ if each["closed"]:
            old = ", ".join(f"#{seq}" for seq in each["closed"])
            return f"Remembered: {whose} are #{each['seq']}, in place of {old}."
        case _:
            return f"Remembered: {whose}, as #{each['seq']}."


def modes(cards: Sequence["ModeCard"], current: Sequence[str], width: int) -> list[str]:
    """Every mode: what it is, how strong, what it does to the words, whether it can be used."""
    if not cards:
        return ["There is no mode for this model yet: anima mode build makes the shipped ones."]
    if width < NARROW:
        return [line for card in cards for line in _mode_in_words(card, current, width)]
    rows = [("", "MODE", "STRENGTH", "KL P95", "PUSHES"), *(_mode_cells(c, current) for c in cards)]
    table = columns(rows)
    room = width - max(map(cells, table)) - 2
    if room < 24:
        return [line for card in cards for line in _mode_in_words(card, current, width)]
    return _with_last(table, ["", *(_about(card) for card in cards)], width)


def _mode_cells(card: "ModeCard", current: Sequence[str]) -> tuple[str, ...]:
    mark = "*" if card.name in current else ""
    if card.problem and not card.features and not card.vectors:
        return mark, card.name, "", "", ""
    return mark, card.name, f"{card.strength:g}", _kl(card), _what(card)


def _mode_in_words(card: "ModeCard", current: Sequence[str], width: int) -> list[str]:
    figures = [
        f"strength {card.strength:g}",
        *([f"KL {_kl(card)}"] if card.kl else []),
        _what(card),
    ]
    here = " (on)" if card.name in current else ""
    about = [", ".join(filter(None, figures)), _about(card)]
    return [
        f"{card.name}{here}",
        *(f"  {line}" for text in about if text for line in wrapped(text, max(1, width - 2))),
    ]


def _kl(card: "ModeCard") -> str:
    return "" if card.kl is None else f"{card.kl:.2f}"


def _what(card: "ModeCard") -> str:
    features = [count(card.features, "feature")] if card.features else []
    vectors = [count(card.vectors, "vector")] if card.vectors else []
    return " + ".join([*features, *vectors])


def _about(card: "ModeCard") -> str:
    own = " (your own)" if card.origin == "own" else ""
    if card.problem:
        return f"Not here: {card.problem}"
    return f"{card.description}{own}".strip()


def _with_last(table: Sequence[str], last: Sequence[str], width: int) -> list[str]:
    """A table with one more column, whose texts are wrapped where the window ends."""
    start = max(map(cells, table)) + 2
    found: list[str] = []
    for line, text in zip(table, last, strict=True):
        pieces = wrapped(text, width - start) if text else [""]
        found.append(f"{line}{' ' * (start - cells(line))}{pieces[0]}".rstrip())
        found += [f"{' ' * start}{piece}".rstrip() for piece in pieces[1:]]
    return found


def by_hand(pushes: Sequence[ByHand], width: int) -> list[str]:
    """The pushes that a person asked for, one a line."""
    rows = [(percent(p.strength), p.operation, named(p.feature, p.label)) for p in pushes]
    return [_cut(line, width) for line in _columns(rows)]


def firing(found: Sequence["Firing"], width: int) -> list[str]:
    """Features on a turn's text: number and label, how strong at most, and on which token."""
    rows = [
        (f"{each.share_of_maximum:.0%}", f"on {token(each.token)}", named(each.feature, each.label))
        for each in found
    ]
    return [_cut(line, width) for line in _columns(rows)]


def features(rows: Iterable[tuple[int, str, float, float]], width: int) -> list[str]:
    """Features by number, density, strongest activation and label."""
    if width < NARROW:
        return [_cut(named(feature, label), width) for feature, label, _, _ in rows]
    head = ("FEATURE", "DENSITY", "MAXIMUM", "LABEL")
    cells_of = [
        (f"#{feature}", percent(density), f"{most:.3g}", label)
        for feature, label, density, most in rows
    ]
    return [_cut(line, width) for line in _columns([head, *cells_of])]


def pushes(records: Sequence["PushRecord"], width: int) -> list[str]:
    """What each push did over a turn: how long it was, what was there, and what was wanted."""
    if width < NARROW:
        short = [(percent(r.share), r.operation, named(r.feature, r.label)) for r in records]
        return [_cut(line, width) for line in _columns(short)]
    rows = [
        (percent(each.share), each.operation, f"{each.actual:.3g} → {each.target:.3g}",
         named(each.feature, each.label))
        for each in records
    ]  # fmt: skip
    head = ("SHARE", "OPERATION", "THERE → WANTED", "PUSH")
    return [_cut(line, width) for line in _columns([head, *rows])]


def why(tokens: Sequence["WhyToken"], width: int) -> list[str]:
    """Token by token: how far it was pushed, and the strongest features there."""
    rows = [on_token(each, width) for each in tokens]
    return [_token_line("TOKEN", "PUSHED", "FEATURES THERE", width), *rows]


def on_token(seen: "WhyToken", width: int) -> str:
    """One token in a line: how far it was pushed, and as many of its features as fit."""
    room = max(8, width - _token_width(width) - 10)
    line = ""
    for each in seen.features:
        longer = f"{line}, {_firing(each)}" if line else _cut(_firing(each), room)
        if cells(longer) > room:
            break
        line = longer
    return _token_line(token(seen.text), percent(seen.share) if seen.share else "", line, width)


def _token_line(first: str, second: str, third: str, width: int) -> str:
    cut = _cut(first, _token_width(width))
    padded = cut + " " * (_token_width(width) - cells(cut))
    return _cut(f"{padded}  {second:>6}  {third}".rstrip(), width)


def _token_width(width: int) -> int:
    return _TOKEN if width >= NARROW else _TOKEN // 2 + 2


def _firing(each: "Firing") -> str:
    return f"{_cut(named(each.feature, each.label), 28)} {each.share_of_maximum:.0%}"


def token(text: str) -> str:
    """A token as one word in a line: its spaces seen, its line feeds as signs."""
    plain = shown(text.replace("\n", "⏎").replace("\t", "⇥"))
    return f"“{plain}”" if plain else "…"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    return columns([[shown(cell).replace("\n", " ") for cell in row] for row in rows])


def _cut(line: str, width: int) -> str:
    """A line of at most so many cells, its end marked where something is left out."""
    if cells(line) <= width:
        return line
    taken = ""
    for character in line:
        if cells(taken + character) > width - 1:
            break
        taken += character
    return taken.rstrip() + "…"
