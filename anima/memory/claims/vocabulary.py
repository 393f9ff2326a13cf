"""The words that the rules of `slots` know: people, things that have one value, times, places; no rules.

Every list is a closed class of English or a sample of an open one, kept in `vocabulary.toml`. A
word that is missing costs a claim that is not made, never a wrong one.
"""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Final

_LISTS: Final[Mapping[str, str]] = tomllib.loads(
    files(__package__).joinpath("vocabulary.toml").read_text(encoding="utf-8")
)


def alternatives(words: Iterable[str]) -> str:
    """A pattern for any of these words, the longest first."""
    return "|".join(sorted((w.replace(" ", r"\s+") for w in words), key=len, reverse=True))


def words(text: str) -> frozenset[str]:
    """The entries of a list."""
    return frozenset(word.replace("_", " ") for word in text.split())


def _pairs(text: str) -> Mapping[str, str]:
    """`one=other` for each entry; an entry without `=` stands for itself."""
    pairs = (word.replace("_", " ").partition("=") for word in text.split())
    return {one: other or one for one, _, other in pairs}


RELATIONS: Final = _pairs(_LISTS["relations"])
FAMILY_COUNTED: Final = words(_LISTS["family_counted"])
SYNONYMS: Final = _pairs(_LISTS["synonyms"])
WORD_SYNONYMS: Final = _pairs(_LISTS["word_synonyms"])
VALUED: Final = words(_LISTS["valued"])
EVENTS: Final = words(_LISTS["events"])
HOLLOW: Final = words(_LISTS["hollow"])
PROFESSIONS: Final = words(_LISTS["professions"])
DIETS: Final = words(_LISTS["diets"])
LANGUAGES: Final = words(_LISTS["languages"])
STATUSES: Final = words(_LISTS["statuses"])
SUBJECTS: Final = words(_LISTS["subjects"])
UNIVERSITIES: Final = words(_LISTS["universities"])
COUNTRIES: Final = words(_LISTS["countries"])
STATES: Final = words(_LISTS["states"])
DAYS: Final = words(_LISTS["days"])
MONTHS: Final = words(_LISTS["months"])
COLORS: Final = words(_LISTS["colors"])
NO_THING: Final = words(_LISTS["no_thing"])
NO_NAME: Final = words(_LISTS["no_name"])
JUDGEMENTS: Final = words(_LISTS["judgements"])
NATIONALITIES: Final = words(_LISTS["nationalities"])
FILLER: Final = words(_LISTS["filler"])
CONTENTLESS: Final = words(_LISTS["contentless"])
CAR_MAKES: Final = words(_LISTS["car_makes"])
PHONE_MAKES: Final = words(_LISTS["phone_makes"])
NO_PLACES: Final = words(_LISTS["no_places"])
WORKPLACES: Final = words(_LISTS["workplaces"])
NOT_LIKED: Final = words(_LISTS["not_liked"])
COFFEES: Final = words(_LISTS["coffees"])

_ONES = "one two three four five six seven eight nine"
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_UP_TO_NINETEEN = f"zero {_ONES} {_TEENS}".split()

NUMBERS: Final[Mapping[str, str]] = {
    **{word: str(at) for at, word in enumerate(_UP_TO_NINETEEN)},
    **{word: str(10 * at) for at, word in enumerate(_TENS.split(), 2)},
    **{
        f"{tens}-{one}": str(10 * at + number)
        for at, tens in enumerate(_TENS.split(), 2)
        for number, one in enumerate(_ONES.split(), 1)
    },
}
"""The digits of number words up to ninety-nine."""
