"""Sentences and made-up lives out of `replacing.toml`, to learn from; knows no vector and no model."""

import random
import tomllib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Kind = Literal["fact", "update", "not", "chat"]

_BLOCKS: Final[tuple[tuple[Kind, str], ...]] = (
    ("fact", "facts"), ("update", "updates"), ("not", "not"),
)  # fmt: skip
_OPENINGS: Final = (
    "oh, ", "btw ", "anyway, ", "so ", "well, ", "fyi ", "haha ", "just so you know, ",
    "by the way, ", "hey, ", "random thing: ", "quick one, ",
)  # fmt: skip
_ENDINGS: Final = (
    " lol", " :)", "!", ".", "...", ", anyway", ", nothing dramatic", ", that's all", " haha",
)  # fmt: skip
_NAMES: Final = ("Otto", "Greta", "Anna", "Milan", "Lea", "Ruben", "Ines", "Hamid", "Vera", "Kofi")
_OF_ANYTHING = 4
_WITHIN, _SHORT = 0.25, 60
"""How many sentences stand within other talk, and letters of what stands beside them."""

_VALUES = 5
"""Values of an attribute that are used, each replaced by the next in a circle."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sentence:
    """One sentence: of which attribute, saying which value, which one it replaces. −1: of none."""

    text: str
    attribute: int = -1
    kind: Kind = "chat"
    value: int = -1
    was: int = -1

    @property
    def claims(self) -> bool:
        return self.kind in ("fact", "update")


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """Every sentence of the forms, of which attributes several values hold, and which are judged."""

    names: Sequence[str]
    many: Set[int]
    judged: Set[int]
    sentences: Sequence[Sentence]

    @property
    def learned(self) -> Set[int]:
        """The attributes that may be learned from."""
        return set(range(len(self.names))) - self.judged

    def replaces(self, new: Sentence, old: Sentence) -> bool:
        """Whether a sentence says something else of the attribute than an older one."""
        return (
            new.claims
            and old.claims
            and new.attribute == old.attribute
            and new.attribute not in self.many
            and new.value != old.value
        )


def material(path: Path, chat: Sequence[str] = ()) -> Material:
    """Every form with values, always the same for the same file; some within other talk, `chat`."""
    beside = [each for each in chat if len(each) <= _SHORT]
    read = tomllib.loads(path.read_text("utf-8"))
    attributes = read["attribute"]
    anything = _lines(read["anything"][0]["not"])
    return Material(
        names=[each["name"] for each in attributes],
        many={at for at, each in enumerate(attributes) if "updates" not in each},
        judged={at for at, each in enumerate(attributes) if each.get("judged")},
        sentences=[
            sentence
            for at, each in enumerate(attributes)
            for sentence in (*_sentences(at, each, beside), *_of_others(at, each, anything))
        ],
    )


def _sentences(at: int, attribute: Mapping[str, str], beside: Sequence[str]) -> list[Sentence]:
    chance = random.Random(f"0 {attribute['name']}")
    values = [each.strip() for each in attribute["values"].split(";")]
    chance.shuffle(values)
    values = values[:_VALUES]
    found = []
    for kind, key in _BLOCKS:
        for form in _lines(attribute.get(key, "")):
            every = range(len(values))
            for value in chance.sample(every, 2) if kind == "not" else every:
                was = (value - 1) % len(values)
                text = form.replace("{v}", values[value]).replace("{o}", values[was])
                text = _within(_dressed(text, chance), beside, chance)
                found.append(Sentence(text=text, attribute=at, kind=kind, value=value, was=was))
    return found


def _of_others(at: int, attribute: Mapping[str, str], anything: Sequence[str]) -> list[Sentence]:
    """What somebody else says of themselves in the same words, and what is said of anything."""
    chance = random.Random(f"others {attribute['name']}")
    values = [each.strip() for each in attribute["values"].split(";")]
    forms = [*(other(form, chance) for form in _lines(attribute["facts"])), *(
        chance.sample(list(anything), _OF_ANYTHING)
    )]  # fmt: skip
    found = []
    for form in forms:
        if not form:
            continue
        value, was = chance.sample(values, 2)
        text = form.replace("{v}", value).replace("{o}", was).replace("{n}", chance.choice(_NAMES))
        found.append(Sentence(text=_dressed(text, chance), attribute=at, kind="not"))
    return found


def other(form: str, chance: random.Random) -> str:
    """A form as it is said of somebody by name; "" where that takes more than its first word."""
    name = chance.choice(_NAMES)
    for own, others in (("I'm ", "is"), ("I have ", "has"), ("I do ", "does"), ("I go ", "goes")):
        if form.startswith(own):
            told = f"{name} {others} {form.removeprefix(own)}"
            return told.replace(" my ", " their ")
    if form.startswith("I "):
        verb, _, left = form.removeprefix("I ").partition(" ")
        usual = (
            verb.isalpha() and not verb.endswith(("s", "y", "ed")) and verb not in ("can", "get")
        )
        return f"{name} {verb}s {left}".replace(" my ", " their ") if usual else ""
    return form.replace("my ", f"{name}'s ", 1) if "my " in form and " I " not in form else ""


def _lines(block: str) -> list[str]:
    return [line.strip() for line in block.strip().splitlines() if line.strip()]


def _dressed(text: str, chance: random.Random) -> str:
    """A sentence as it may be typed."""
    if chance.random() < 0.3:
        text = chance.choice(_OPENINGS) + text
    if chance.random() < 0.4 and not text.endswith(("?", "!")):
        text += chance.choice(_ENDINGS)
    draw = chance.random()
    if draw < 0.5:
        return text[:1].upper() + text[1:]
    return text.lower() if draw < 0.6 else text


def _within(text: str, beside: Sequence[str], chance: random.Random) -> str:
    """A sentence, now and then with another one before it, behind it or on both sides."""
    draw = chance.random()
    if not beside or draw >= _WITHIN:
        return text
    before, after = (f"{chance.choice(beside).rstrip('.!?')}{chance.choice('..!?')}" for _ in "ba")
    told = text if text.endswith((".", "!", "?", ")")) else f"{text}."
    if draw < _WITHIN / 4:
        return f"{before} {told} {after}"
    return f"{before} {told}" if draw < _WITHIN / 2 else f"{told} {after}"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How much a life holds."""

    told: int = 14
    untold: int = 6
    chat: int = 30


def life(
    source: Material, attributes: Sequence[int], chat: Sequence[str], chance: random.Random,
    measure: Measure = Measure(),
) -> list[Sentence]:  # fmt: skip
    """What one person says, in its order: facts, changes, facts said again, others', and chat."""
    own = set(attributes)
    by: dict[tuple[int, Kind], list[Sentence]] = {}
    for each in source.sentences:
        if each.attribute in own:
            by.setdefault((each.attribute, each.kind), []).append(each)
    drawn = list(attributes)
    chance.shuffle(drawn)
    said: list[tuple[float, Sentence]] = []
    for number, attribute in enumerate(drawn[: measure.told + measure.untold]):
        if number < measure.told:
            several = attribute in source.many
            said += (_several if several else _one)(attribute, by, chance)
        for _ in range((chance.random() < 0.9) + (chance.random() < 0.6)):
            said.append((chance.random() * 1.6, chance.choice(by[attribute, "not"])))
    for _ in range(measure.chat):
        said.append((chance.random() * 1.6, Sentence(text=chance.choice(chat))))
    return [each for _, each in sorted(said, key=lambda each: each[0])]


_By = Mapping[tuple[int, Kind], Sequence[Sentence]]
_Timed = list[tuple[float, Sentence]]


def _several(attribute: int, by: _By, chance: random.Random) -> _Timed:
    facts = by[attribute, "fact"]
    return [(chance.random(), chance.choice(facts)) for _ in range(chance.randint(2, 4))]


def _one(attribute: int, by: _By, chance: random.Random) -> _Timed:
    facts, updates = by[attribute, "fact"], by[attribute, "update"]
    when, first = chance.random(), chance.choice(facts)
    said, holding = [(when, first)], first.value
    for _ in range((chance.random() < 0.7) + (chance.random() < 0.25)):
        # Now and then a change is told as though nothing had been said before.
        plainly = chance.random() > 0.88
        new = (
            [each for each in facts if each.value != holding]
            if plainly
            else [each for each in updates if each.was == holding]
        )
        when += chance.random() * 0.7
        said.append((when, chance.choice(new)))
        holding = said[-1][1].value
    if chance.random() < 0.4:
        pool = [*facts, *(updates if chance.random() < 0.3 else ())]
        said.append((when + 0.1, chance.choice([e for e in pool if e.value == holding])))
    return said
