"""Values and names of slots in their one form, and what kind of value a phrase is; knows no sentence."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from anima.memory.claims.vocabulary import (
    COLORS,
    COUNTRIES,
    DAYS,
    MONTHS,
    NO_NAME,
    NUMBERS,
    RELATIONS,
    STATES,
    SYNONYMS,
    WORD_SYNONYMS,
    alternatives,
)

_OWN_NAMES = frozenset(
    [
        "first",
        "last",
        "middle",
        "maiden",
        "full",
        "real",
        "pen",
        "stage",
        "user",
        "family",
        "given",
        "preferred",
    ]
)
_TITLES = frozenset(["dr", "mr", "mrs", "ms", "prof", "professor", "doctor", "coach"])
_MONTHS = frozenset(month[:3] for month in MONTHS)
MOST_WORDS: Final = 6
"""Words of a value: what is longer tells a story."""

_FLAGS = re.IGNORECASE
_AGO = (
    r"(?:a|an|one|two|three|four|five|six|\d+|a\ few|a\ couple(?:\ of)?|several|some)"
    r"\ (?:second|minute|hour|day|week|month|year|decade)s?\ ago"
)
_TRAILING = re.compile(
    rf"""(?:[\s,.:*~-]+|\b)(?:now|anymore|any\ more|currently|at\ the\ moment|right\ now|these\ days|nowadays|too
        |as\ well|also|already|again|actually|from\ (?:now|here)\ on(?:wards?)?|onwards?|going\ forward|instead|for\ now
        |by\ the\ way|btw|lol|haha\w*|recently|lately|of\ course|please|everyone|everybody|though|after\ all
        |for\ short|thanks|thank\ you|in\ fact|officially|finally|temporarily|for\ good|permanently
        |if\ you're\ wondering|as\ you\ know|just\ so\ you\ know|so\ you\ know|fyi|okay|ok|right
        |(?:earlier\ |later\ )?(?:this|last)\ (?:week|month|year|spring|summer|fall|autumn|winter|weekend|morning|night|\w+day|{alternatives(MONTHS)})
        |every\ \w+|in\ the\ (?:morning|evening|afternoon)s?|at\ night|on\ week(?:day|end)s
        |yesterday|(?:about\ |over\ |almost\ )?{_AGO}|since\ .*|as\ of\ .*|starting\ .*|effective\ .*|until\ .*|till\ .*
        |(?:back\ )?in\ (?:the\ (?:spring|summer|fall|autumn|winter)|(?:{alternatives(MONTHS)})(?:\ \d{{4}})?|(?:19|20)\d\d)
        |for\ (?:the\ )?(?:\d+|\w+)\ (?:days?|weeks?|months?|years?)(?:\ now)?|for\ (?:work|a\ (?:while|job)|school|years|ages|good)
        |with\ (?:my|our|his|her|a|an|the|some)\b.*|(?:right\ )?after\ (?:my|the|our|a|i)\b.*|before\ .*|\(.*\)?|-\s.*|:\)|:d|;\)|xd|<3)[\s,.!:*~-]*$""",
    _FLAGS | re.VERBOSE,
)
_CUT = re.compile(
    r"""\s*,\s*(?=(?-i:[a-z]))|\s*[,;(]\s*(?:and|but|so|which|who|where|because|then|not|no|at\ least|i|it|he|she|they|we|you|my|the|a|an)\b
       |\s+(?:because|cause|cuz|since|which|who|where|so|but|although|though|while|when|whenever|until|unless
             |than|rather|instead\ of|even|except|that|if|then|thanks|haha\w*|lol|i|i'm|i've|it's|he's|she's|we're|you)\b
       |\s+and\s+(?:i|i'm|it|it's|my|we|he|she|they|the|his|her|a|an|that|this|am|is|are|have|has|work|love|like|then|now)\b
       |\s+(?:-|–|—)\s+""",
    _FLAGS | re.VERBOSE,
)
_ARTICLE = re.compile(
    r"^(?:the|a|an|my|our|his|her|their|some|about|around|roughly|called|named)\s+", _FLAGS
)
_STRAY = re.compile(r"[^\w@.+#/:'&-]+")
_CLOCK = re.compile(
    r"\b(?:(?P<h>[01]?\d|2[0-3])(?:[:.h](?P<m>[0-5]\d))?\s*(?P<half>a\.?m\b\.?|p\.?m\b\.?|o'?clock)?"
    r"|(?P<word>noon|midnight|midday)|(?P<past>half past|quarter past|quarter to) (?P<ph>\w+))(?!\w)",
    _FLAGS,
)
_DAY = re.compile(
    rf"\b(?:(?:the\s+)?day\s+after\s+tomorrow|(?:a\s+week|\w+\s+weeks)\s+from\s+(?:now|today|tomorrow)"
    rf"|in\s+(?:about\s+)?(?:an?|\d+|a\s+few|a\s+couple\s+of|{alternatives(NUMBERS)})\s+(?:days?|weeks?|months?|fortnight)"
    rf"|(?:(?:next|this|every|the)\s+)?(?:{alternatives(DAYS)})(?:\s+(?:morning|afternoon|evening|night))?"
    rf"|(?:the\s+)?\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?(?:{alternatives(MONTHS)})(?:,?\s+\d{{4}})?"
    rf"|(?:{alternatives(MONTHS)})\.?\s+(?:the\s+)?\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s+\d{{4}})?\b(?!:)"
    rf"|(?:{alternatives(m for m in MONTHS if m not in {'may', 'mar', 'sep', 'sept'})})(?:\s+\d{{4}})?"
    r"|the\s+\d{1,2}(?:st|nd|rd|th)|\d{4}-\d\d-\d\d|\d{1,2}/\d{1,2}(?:/\d{2,4})?|next\s+(?:week|month|year))\b",
    _FLAGS,
)
_PLACE = re.compile(
    r"^(?:now\s+)?(?P<p>in|inside|at|on|under|underneath|behind|beside|near|next to|on top of|above|below"
    r"|by|between|across from|opposite|upstairs|downstairs)\b\s*(?P<where>.*)$",
    _FLAGS,
)
_DETERMINERS = re.compile(
    r"^(?:(?:my|our|the|this|that|your|current|actual|own|very|new|newest|latest|brand|main|updated|present"
    r"|absolute|all time|all-time|correct|right|real|personal|usual|regular|temporary|permanent|weekly"
    r"|daily|monthly|upcoming|official)\s+)+(?=\S)",
    _FLAGS,
)


def trimmed(phrase: str) -> str:
    """A phrase up to where its value ends: without what only says since when, with whom or why."""
    cut = _CUT.search(phrase)
    kept = phrase if cut is None else phrase[: cut.start()]
    while (trailing := _TRAILING.search(kept)) is not None and trailing.start() > 0:
        kept = kept[: trailing.start()]
    return kept.rstrip(" ,.:;-*~'").rstrip()


def value_of(phrase: str) -> str:
    """The one form of a value: small letters, digits for numbers, no article; "" for no value."""
    words = _STRAY.sub(" ", phrase.casefold()).split()
    plain = " ".join(NUMBERS.get(word, word.strip(".:'-")) for word in words)
    while (article := _ARTICLE.match(plain)) is not None:
        plain = plain[article.end() :]
    digits = re.sub(r"[\s.()+/-]", "", plain)
    if digits.isdigit() and len(digits) > 6:
        return digits
    return plain.strip()


def agree(one: str, other: str) -> bool:
    """Whether two values can both be true: the same, or one says more than the other.

    “Toyota” and “blue Toyota Corolla” agree, “42” and “43” do not.
    """
    if one == other or _same_clock(one, other):
        return True
    few, many = sorted((set(one.split()), set(other.split())), key=len)
    if not few:
        return True
    more = many - few
    if few <= _MONTHS and many & few and len(few) == 1:
        # “In May” says less than “on May 3”.
        return True
    # “May 3” and “May 3 1990” agree, “May” and “May 3” as well as “room 4” and “room 4 5” do not.
    dated = any(word in _MONTHS for word in few) and any(word.isdigit() for word in few)
    return few < many and not any(w.isdigit() and not (dated and len(w) == 4) for w in more)


def _same_clock(one: str, other: str) -> bool:
    """Whether two times of day are the same where one does not say which half it means."""
    times = [re.fullmatch(r"(\d+):(\d\d)(am)?", each) for each in (one, other)]
    if None in times:
        return False
    hours, minutes, halves = zip(*(each.groups() for each in times if each), strict=True)
    unsaid = [int(h) <= 12 and not half for h, half in zip(hours, halves, strict=True)]
    return minutes[0] == minutes[1] and int(hours[0]) % 12 == int(hours[1]) % 12 and any(unsaid)


def short(phrase: str) -> bool:
    return 0 < len(phrase.split()) <= MOST_WORDS


def is_name(phrase: str, *, strong: bool = False) -> bool:
    """Whether a phrase can be somebody's name: one to three capitalised words.

    `strong` takes small letters too, where the sentence leaves no doubt.
    """
    words = phrase.split()
    if len(words) > 1 and words[0].casefold().rstrip(".") in _TITLES:
        words = words[1:]
    if not 1 <= len(words) <= 3 or any(w.casefold().strip(".'") in NO_NAME for w in words):
        return False
    if not all(re.fullmatch(r"[^\W\d_][\w'.-]*", word) for word in words):
        return False
    return strong or all(word[0].isupper() for word in words)


def proper(phrase: str) -> bool:
    """Whether a phrase is a proper name of anything: its first word or its last is capitalised."""
    words = [w for w in phrase.split() if w.casefold() not in {"the", "a", "an"}]
    if not words or words[0].casefold() in NO_NAME:
        return False
    return words[0][0].isupper() or words[-1][0].isupper()


def stem(word: str) -> str:
    """A word without its plural, tense or possessive, roughly."""
    for ending in ("'s", "ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def identifier(phrase: str) -> bool:
    """Whether a phrase is a number or a code: it has a digit, or is a number word."""
    return any(c.isdigit() for c in phrase) or phrase.casefold() in NUMBERS


def color(phrase: str) -> bool:
    words = phrase.casefold().split()
    return bool(words) and words[-1] in COLORS and len(words) <= 3


def level(place: str) -> str:
    """Whether a place is a country, a state or a city."""
    plain = place.casefold().strip(" .")
    if plain in COUNTRIES:
        return "country"
    code = len(place) == 2 and place.isupper()
    return "state" if plain in STATES or code else "city"


def moments(phrase: str) -> Iterator[tuple[str, str]]:
    """The times in a phrase: ("day", value) and ("time", value)."""
    found = _DAY.search(phrase)
    left = phrase
    if found is not None:
        yield "day", _day(found.group())
        left = phrase[: found.start()] + " " + phrase[found.end() :]
    for clock in _CLOCK.finditer(left):
        told = _clock(clock, left)
        if told:
            yield "time", told
            return


_RELATIVE_DAY = re.compile(
    r"(?:in )?(?P<n>\d+|an?) (?P<unit>day|week)s?(?: from (?:now|tod))?|this (?P<day>mon|tue|wed|thu|fri|sat|sun)\w*"
)
_SOON: Final = {"today": 0, "tod": 0, "ton": 0, "tom": 1, "tomorrow": 1, "day after tom": 2}


def on_date(value: str, said: datetime) -> str:
    """The day that “in 2 weeks” or “this fri” was when it was said; any other value as it is."""
    found = _RELATIVE_DAY.fullmatch(value)
    if value in _SOON:
        ahead = _SOON[value]
    elif found is None:
        return value
    elif found["day"]:
        ahead = (_WEEK.index(found["day"]) - said.weekday() - 1) % 7 + 1
    else:
        ahead = int(found["n"]) if found["n"].isdigit() else 1
        ahead *= 7 if found["unit"] == "week" else 1
    day = said.date() + timedelta(days=min(ahead, 4000))
    return f"{day.day} {_YEAR[day.month - 1]}"


_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_YEAR: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def placed(phrase: str) -> str:
    """The place that a phrase says with a preposition, without its times; "" for none."""
    said = _PLACE.match(phrase)
    if said is None:
        return ""
    where = said.group("where")
    if _DAY.fullmatch(phrase):
        return ""
    if _DAY.match(where) or _CLOCK.fullmatch(where.strip()):
        where = _DAY.sub(" ", where, count=1)
    if next(moments(where), None) and said.group("p").casefold() in {"at", "on", "in", "by"}:
        where = re.sub(
            r"\b(?:at|on|by|from)\b\s*$", "", _CLOCK.sub(" ", _DAY.sub(" ", where))
        ).strip()
        where = re.sub(r"^(?:at|on|in)\s+", "", where)
    return where.strip() if short(where) else ""


def attribute_of(name: str) -> str:
    """The one form of an attribute: “cell phone number” and “phone” are the same."""
    plain = " ".join(_STRAY.sub(" ", name.casefold()).split())
    plain = _DETERMINERS.sub("", plain)
    words = [WORD_SYNONYMS.get(word, word) for word in plain.split()]
    # “the code of the door” is the door code.
    for at, word in enumerate(words):
        if word in {"of", "for", "to", "on"} and 0 < at < len(words) - 1:
            owner = [w for w in words[at + 1 :] if w not in {"the", "my", "our", "a", "an"}]
            words = [*owner, *words[:at]]
            break
    words = [word.removesuffix("'s").removesuffix("'") for word in words]
    # What a thing is called is what it is: the project and its name.
    if len(words) > 1 and words[-1] == "name" and words[0] not in _OWN_NAMES:
        words = words[:-1]
    plain = " ".join(words)
    return SYNONYMS.get(plain, plain)


def subject_of(name: str) -> str:
    """The one form of a subject: "user", "user's sister", or somebody's name."""
    plain = " ".join(name.casefold().replace("\u2019", "'").split())
    if plain in {"i", "me", "we", "us", "user", "the user", "myself", "you"}:
        return "user"
    owned = re.sub(r"^(?:my|our|the|user's|the user's)\s+", "", plain)
    if owned in RELATIONS:
        return f"user's {RELATIONS[owned]}"
    return plain


def _day(phrase: str) -> str:
    words = [w.strip(",.").casefold() for w in phrase.split()]
    words = [w for w in words if w not in {"the", "of", "on", "every"}]
    plain = []
    for word in words:
        number = re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)", word)
        if number:
            plain.append(number.group(1))
        elif word in NUMBERS:
            plain.append(NUMBERS[word])
        elif word in MONTHS:
            plain.append(word[:3])
        elif word.rstrip("s") in DAYS:
            plain.append(word.rstrip("s")[:3])
        else:
            plain.append(word)
    # The day before the month or after it is the same day.
    if len(plain) >= 2 and plain[1].isdigit() and plain[0][:3] in MONTHS:
        plain[0], plain[1] = plain[1], plain[0]
    return " ".join(plain)


def _clock(found: re.Match[str], phrase: str) -> str:
    if found.group("word"):
        return "12:00am" if found.group("word").casefold() == "midnight" else "12:00pm"
    if found.group("past"):
        return (
            f"{found.group('past')} {NUMBERS.get(found.group('ph'), found.group('ph'))}".casefold()
        )
    half = (found.group("half") or "").replace(".", "").casefold()
    alone = not half.startswith(("a", "p", "o")) and found.group("m") is None
    before = phrase[: found.start()].rstrip().casefold()
    if (
        alone
        and not before.endswith(("at", "to", "by", "around", "is", "from", "before", "for"))
        and before
    ):
        return ""
    hour, minute = int(found.group("h")), found.group("m") or "00"
    if half.startswith("p") and hour < 12:
        hour += 12
    shown = "am" if half.startswith("a") else "" if not half.startswith("p") and hour < 13 else "pm"
    return f"{hour}:{minute}{'' if hour > 12 else shown}"
