"""How a form is filled and a day is said, in English: pure functions on texts; draws from a given chance."""

import random
from collections.abc import Sequence
from datetime import date

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")


def absolute(day: date, chance: random.Random) -> str:
    """A day and its month, without the preposition: "14 March" or "March 14th"."""
    month = MONTHS[day.month - 1]
    return chance.choice([f"{day.day} {month}", f"{month} {day.day}{_ordinal(day.day)}"])


def on_day(day: date, said: date, chance: random.Random) -> str:
    """A day as somebody says it on the day `said`, with its preposition where there is one.

    Half of the time it is the absolute date, else the nearest relative form that names just this
    day; a day long past may be told by its month alone.
    """
    relative = _relative(day, said)
    if relative and chance.random() < 0.5:
        return relative
    if (said - day).days > 31 and chance.random() < 0.5:
        return f"in {MONTHS[day.month - 1]}"
    return f"on {absolute(day, chance)}"


def _relative(day: date, said: date) -> str | None:
    """The relative form that means exactly this day, None where there is none in use."""
    ahead = (day - said).days
    name = WEEKDAYS[day.weekday()]
    near = {0: "today", 1: "tomorrow", 2: "the day after tomorrow", -1: "yesterday"}
    if ahead in near:
        return near[ahead]
    if 2 < ahead < 7:
        return f"this {name}"
    if -7 < ahead < -1:
        return f"last {name}"
    weeks, rest = divmod(abs(ahead), 7)
    if rest or not 1 <= weeks < len(_NUMBERS):
        return None
    count = "a week" if weeks == 1 else f"{_NUMBERS[weeks]} weeks"
    return f"in {count}" if ahead > 0 else f"{count} ago"


def _ordinal(number: int) -> str:
    if 10 < number % 100 < 14:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def with_article(noun: str) -> str:
    """A noun after "a" or "an", by its first letter."""
    return f"{'an' if noun[:1].lower() in tuple('aeiou') else 'a'} {noun}"


def joined(sentence: str) -> str:
    """A sentence to stand behind "as I said": its first letter small, where that is no name."""
    if sentence.startswith(("I ", "I'", "{", "'")):
        return sentence
    return sentence[:1].lower() + sentence[1:]


def wrapped(wrap: str, sentence: str) -> str:
    """A sentence within other talk, ended where more talk follows."""
    ended = sentence if sentence.endswith((".", "!", "?", ")")) else f"{sentence}."
    return wrap.replace("{s}", sentence if wrap.endswith("{s}") else ended)


def form_of(choices: Sequence[str], text: str) -> str:
    """The form that a text was made of, as far as its words show; empty where none fits."""
    fits = [each for each in choices if all(part in text for part in _fixed(each))]
    return max(fits, key=len) if fits else ""


def _fixed(form: str) -> list[str]:
    return form.replace("{a}", "{v}").split("{v}")
