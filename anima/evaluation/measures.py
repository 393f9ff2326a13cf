"""What can be checked of a text without a model: constraints per mode, repetition, real words.

Every measure here was fixed before any feature was looked at, and knows nothing of features,
modes' vectors or arms. Words are runs of letters, digits and apostrophes, in lower case.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from anima.evaluation.texts import read

Check = Callable[[str], bool]

LEAST_WORDS = 8
"""A text of fewer words meets no constraint: silence is not dryness."""

_FIRST_PERSON = frozenset(["i", "i'm", "i'd", "i'll", "i've", "me", "my", "mine", "myself"])
_SECOND_PERSON = frozenset(
    ["you", "you're", "you'd", "you'll", "you've", "your", "yours", "yourself"]
)
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_COMPARISON = re.compile(
    r"\b(?:like|as if|as though)\s+(?:an?|the|some|tiny|small|little|lost|\w+s|\w+ing)\b"
    r"|\bas\s+\w+\s+as\b"
    r"|\b(?:abyss|blanket|breath|canvas|carpet|chorus|cloak|dance|flock|kaleidoscope|labyrinth"
    r"|melody|ocean|river|sea|song|symphony|tapestry|thread|veil|wave|whisper|web)s?\s+of\s+\w+",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """One checkable property of a text, by name."""

    name: str
    holds: Check


def words(text: str) -> list[str]:
    """The words of a text, in lower case, with straight apostrophes."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line break ends one too. A last one may be cut off."""
    return [piece.strip() for piece in _SENTENCE.split(text) if words(piece)]


@cache
def _lexicon(name: str) -> tuple[frozenset[str], tuple[str, ...]]:
    entries = str(read("lexicons")[name]).split()
    stems = tuple(entry.removesuffix("*") for entry in entries if entry.endswith("*"))
    return frozenset(entry for entry in entries if not entry.endswith("*")), stems


def in_lexicon(word: str, name: str) -> bool:
    """Whether a lower-case word belongs to a lexicon; KeyError for an unknown lexicon."""
    whole, stems = _lexicon(name)
    return word in whole or word.startswith(stems)


def distinct_hits(text: str, name: str) -> int:
    """How many *different* words of a text a lexicon holds, so that repeating one gains nothing."""
    return sum(in_lexicon(word, name) for word in set(words(text)))


def hits_per_hundred(text: str, name: str) -> float:
    """Different words of the lexicon per hundred words of the text; 0 for an empty text."""
    total = len(words(text))
    return 100 * distinct_hits(text, name) / total if total else 0.0


def share_of(text: str, vocabulary: Collection[str]) -> float:
    """The share of a text's words that are in `vocabulary`; 0 for an empty text."""
    found = words(text)
    return sum(word in vocabulary for word in found) / len(found) if found else 0.0


def words_per_sentence(text: str) -> float:
    """Mean words per sentence, 0 for an empty text."""
    found = sentences(text)
    return len(words(text)) / len(found) if found else 0.0


def repetition(text: str, n: int = 3) -> float:
    """rep-n: the share of word n-grams that occurred before in the text; 0 for under n + 1 words.

    1 − distinct n-grams / n-grams (Welleck et al., arXiv 1908.04319); over .2 in a short text it
    is felt as a loop.
    """
    grams = _grams(words(text), n)
    return 1 - len(set(grams)) / len(grams) if len(grams) > 1 else 0.0


def distinct(text: str, n: int = 2) -> float:
    """distinct-n: different word n-grams per n-gram (Li et al., arXiv 1510.03055); 1 for none."""
    grams = _grams(words(text), n)
    return len(set(grams)) / len(grams) if grams else 1.0


def real_words(text: str, known: Callable[[str], bool]) -> float:
    """The share of a text's words that `known` accepts; numbers count as real, no words as 0.

    Hyphened words are judged by their parts; a word with a capital inside a sentence is taken for
    a name. So broken words are found, made-up names are not.
    """
    found = _WORD.findall(text.replace("\u2019", "'"))
    if not found:
        return 0.0
    return sum(_is_real(word, known) for word in found) / len(found)


def _is_real(word: str, known: Callable[[str], bool]) -> bool:
    if word[0].isdigit() or word[0].isupper():
        return True
    return all(known(part.removesuffix("'s")) for part in word.split("-"))


def on_topic(text: str, topic: Iterable[str]) -> bool:
    """Whether a text uses at least one of the topic's words; an entry may end in * for a stem."""
    found = words(text)
    entries = [entry.lower() for entry in topic]
    whole = {entry for entry in entries if not entry.endswith("*")}
    stems = tuple(entry.removesuffix("*") for entry in entries if entry.endswith("*"))
    return any(word in whole or (stems and word.startswith(stems)) for word in found)


def gives_answer(text: str, answer: str) -> bool:
    """Whether the last number of a text is the answer, or one before it if it says "is N" or "= N".

    Thousands separators are ignored; `answer` is a whole number in digits.
    """
    numbers = _NUMBER.findall(re.sub(r"(?<=\d),(?=\d{3})", "", text))
    stated = re.search(rf"(?:=|\bis|equals)\s*:?\s*{re.escape(answer)}(?![\d.]*\d)", text)
    return stated is not None or (bool(numbers) and numbers[-1] == answer)


def _grams(found: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(found[start : start + n]) for start in range(len(found) - n + 1)]


def _long_enough(check: Check) -> Check:
    return lambda text: len(words(text)) >= LEAST_WORDS and check(text)


def _constraint(name: str, check: Check) -> Constraint:
    return Constraint(name=name, holds=_long_enough(check))


def _asks_the_person(text: str) -> bool:
    return any(
        sentence.rstrip().endswith("?") and share_of(sentence, _SECOND_PERSON) > 0
        for sentence in sentences(text)
    )


def _has_number(text: str) -> bool:
    return any(word[0].isdigit() or in_lexicon(word, "number") for word in words(text))


def _names_nobody(text: str) -> bool:
    return share_of(text, _FIRST_PERSON) + share_of(text, _SECOND_PERSON) == 0


def _is_fanciful(text: str) -> bool:
    return distinct_hits(text, "fantasy") > 0 or distinct_hits(text, "imagery") > 1


CONSTRAINTS: Mapping[str, tuple[Constraint, ...]] = {
    "anima": (
        _constraint("speaks as I", lambda t: share_of(t, _FIRST_PERSON) >= 0.03),
        _constraint("speaks to the person", lambda t: share_of(t, _SECOND_PERSON) >= 0.03),
        _constraint("names feelings", lambda t: hits_per_hundred(t, "feeling") >= 3),
        _constraint("shows care", lambda t: distinct_hits(t, "care") >= 2),
        _constraint("asks the person back", _asks_the_person),
    ),
    "system": (
        _constraint("speaks of no person", _names_nobody),
        _constraint("states only", lambda t: "!" not in t and "?" not in t),
        _constraint("short sentences", lambda t: words_per_sentence(t) <= 14),
        _constraint("compact", lambda t: len(words(t)) <= 30),
        _constraint("gives a number", _has_number),
        _constraint("no ornament", lambda t: distinct_hits(t, "ornament") == 0),
        _constraint("no fantasy", lambda t: not _is_fanciful(t)),
    ),
    "dream": (
        _constraint("appeals to the senses", lambda t: hits_per_hundred(t, "sensory") >= 4),
        _constraint("has images", lambda t: hits_per_hundred(t, "imagery") >= 4),
        _constraint("makes things live", lambda t: hits_per_hundred(t, "living") >= 2),
        _constraint("compares", lambda t: _COMPARISON.search(t) is not None),
    ),
}
"""The checkable constraints of each shipped mode, fixed before its features were found.

They are made for replies of up to 64 tokens (about 48 words): "compact" asks for a reply that ended
by itself or was nearly done.
"""


def constraint_rate(text: str, mode: str) -> float:
    """The share of a mode's constraints that a text meets, in [0, 1]; KeyError for no such mode."""
    checks = CONSTRAINTS[mode]
    return sum(check.holds(text) for check in checks) / len(checks)


def constraints_met(text: str, mode: str) -> dict[str, bool]:
    """Each constraint of a mode by name, and whether the text meets it."""
    return {check.name: check.holds(text) for check in CONSTRAINTS[mode]}
