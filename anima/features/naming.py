"""A short label of a feature from where it peaks and what it promotes: rules, and no judge.

Knows words alone. The first rule that fits most of the peaks gives the label: a place in the turn,
the peak's own word with its fixed neighbour, a few words, their common look, the word before or
after, the subject around. What the decoder row promotes is added where it stands out.
"""

import math
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from anima.features.contexts import Sight
from anima.features.labels import words

MOST = 0.6
"""The share of the peaks, each by its weight, that a rule has to fit."""
_SURE = 0.8  # the share for what words look like or where they stand
_FIXED = 0.75  # the share from which a word's neighbour belongs to it
_FEW = 4  # words in a list
_LONGEST = 72  # characters of a label
_AROUND = 21  # words of a sight
_COMMON = 0.002  # the share of all words from which one is common
_STRIPPED = string.punctuation.replace("-", "") + "“”\u2019…"


@dataclass(frozen=True, kw_only=True)
class Background:
    """How often each word (as `words` gives them) stands in all the text looked at."""

    counts: Mapping[str, int]
    total: int

    def share(self, word: str) -> float:
        """The word's share of all words; one that never stands there counts as once."""
        return (self.counts.get(word, 0) + 1) / (self.total + 1)


def name(sights: Sequence[Sight], promoted: Sequence[str], background: Background) -> str:
    """The label; "" where there is no peak. `promoted` are tokens that stand out, best first."""
    if not sights:
        return ""
    found = (
        _place(sights)
        or _word(sights, background)
        or _words(sights, background)
        or _kind(sights)
        or _neighbour(sights)
        or _subject(sights, background)
        or f"mixed: {_examples(sights, _FEW)}"
    )
    said = set(words(found))
    fresh = [one for one in promoted if not said & set(words(one))]
    return _short(f"{found} → {', '.join(fresh)}" if fresh else found)


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST else label[: _LONGEST - 1].rstrip(" ,") + "…"


def _place(sights: Sequence[Sight]) -> str:
    """Where in a turn, for features of the place itself: their words differ."""
    if len(_peaks(sights)) < max(3, 0.5 * len(sights)):
        return ""
    where = _where(sights)
    return f"{where} ({_examples(sights)})" if where else ""


def _where(sights: Sequence[Sight]) -> str:
    """The place in a turn that nearly all have, and whose turn it is; or ""."""
    replies = {sight.reply for sight in sights}
    turn = "a turn" if len(replies) > 1 else "a reply" if True in replies else "a user's turn"
    if _share(sights, [sight.first for sight in sights]) >= _SURE:
        return f"start of {turn}"
    last = _share(sights, [sight.last for sight in sights]) >= _SURE
    return f"end of {turn}" if last else ""


def _word(sights: Sequence[Sight], background: Background) -> str:
    """One word, with the word that always stands beside it, its place, or what is around it."""
    best = _peaks(sights)[0]
    if best.mass < MOST * _mass(sights) or best.peaks < 2:
        return ""
    form = best.form
    alike = [sight for sight in sights if _low(sight.word) == _low(form)]
    before = _low(_most(alike, -1, _FIXED))
    after = _low(_most(alike, 1, _FIXED))
    if before or after:
        return " ".join(part for part in (before, _quoted(form), after) if part)
    where = _where(alike)
    if where:
        return f"{_quoted(form)}, {where}"
    near = _near(alike, [form], background)
    return f"{_quoted(form)} near {near}" if near else _quoted(form)


def _most(sights: Sequence[Sight], side: int, share: float) -> str:
    """The word that stands just before (−1) or after (1) so many of the peaks, or ""."""
    beside = [
        (sight.before[-1:] if side < 0 else sight.after[:1], sight.weight) for sight in sights
    ]
    forms = _forms((words[0], weight) for words, weight in beside if words)
    if not forms or forms[0].peaks < 3 or forms[0].mass < share * _mass(sights):
        return ""
    return forms[0].form


def _words(sights: Sequence[Sight], background: Background) -> str:
    """A few words that together cover most peaks, with what stands before them or around."""
    least = 0.1 * _mass(sights)
    few = [one for one in _peaks(sights)[:_FEW] if one.mass >= least and one.peaks > 1]
    if sum(one.mass for one in few) < MOST * _mass(sights):
        return ""
    listed = ", ".join(_quoted(one.form) for one in few)
    before = _most(sights, -1, MOST)
    if before:
        return f"{listed} after {_quoted(before)}"
    near = _near(sights, [one.form for one in few], background)
    return f"{listed} near {near}" if near else listed


def _near(sights: Sequence[Sight], said: Sequence[str], background: Background) -> str:
    """For common words, what is around them: many features share one, and differ in that."""
    keys = {stem for form in said for stem in words(form)}
    if any(background.share(stem) <= _COMMON for stem in keys):
        return ""
    others = [one for one in _around(sights, background, least=0.3) if not keys & set(words(one))]
    return ", ".join(others[:2])


def _kind(sights: Sequence[Sight]) -> str:
    """What the peaks look like: numbers, punctuation, names, words of one ending."""
    peaks = [sight.word for sight in sights]
    examples = _examples(sights)
    if _share(sights, [any(c.isdigit() for c in word) for word in peaks]) >= _SURE:
        return f"numbers ({examples})"
    if _share(sights, [not any(c.isalnum() for c in word) for word in peaks]) >= _SURE:
        return f"punctuation ({examples})"
    inner = [sight for sight in sights if not sight.first and sight.before]
    named = [_is_name(sight.word) for sight in inner]
    if _mass(inner) >= MOST * _mass(sights) and _share(inner, named) >= _SURE:
        return f"names ({examples})"
    for length in (4, 3):
        ends = [_low(word)[-length:] if len(_low(word)) > length + 1 else "" for word in peaks]
        forms = _forms(zip(ends, (sight.weight for sight in sights), strict=True))
        if forms and forms[0].form.isalpha() and forms[0].mass >= 0.7 * _mass(sights):
            return f"words in -{forms[0].form} ({examples})"
    return ""


def _is_name(word: str) -> bool:
    return len(word) > 1 and word[0].isupper() and not word.startswith(("I'", "I\u2019"))


def _neighbour(sights: Sequence[Sight]) -> str:
    """The word that stands before or after most peaks, whatever these are."""
    before, after = _most(sights, -1, MOST), _most(sights, 1, MOST)
    if not before and not after:
        return ""
    where = f"after {_quoted(before)}" if before else f"before {_quoted(after)}"
    return f"{where} ({_examples(sights)})"


def _subject(sights: Sequence[Sight], background: Background) -> str:
    best = _around(sights, background, least=0.25)[:3]
    return f"about {', '.join(best)} ({_examples(sights)})" if best else ""


def _around(sights: Sequence[Sight], background: Background, *, least: float) -> list[str]:
    """Words that stand around a share of the peaks, far oftener than in other text, best first."""
    stands: dict[str, list[tuple[str, float]]] = {}
    for sight in sights:
        near = " ".join((*sight.before, sight.word, *sight.after)).split()
        for stem, form in {_key(one): one for one in near if _key(one)}.items():
            stands.setdefault(stem, []).append((form, sight.weight))
    scored = []
    for stem, forms in stands.items():
        expected = 1 - (1 - background.share(stem)) ** _AROUND
        share = sum(weight for _, weight in forms) / _mass(sights)
        if len(forms) > 2 and share > max(least, 4 * expected) and len(stem) > 2:
            scored.append((share * math.log(share / expected), _low(_forms(forms)[0].form)))
    return [form for _, form in sorted(scored, reverse=True)]


class _Form(NamedTuple):
    """A word in its usual form, how much of the peaks it has, and how many of them."""

    form: str
    mass: float
    peaks: int


def _peaks(sights: Sequence[Sight]) -> list[_Form]:
    return _forms((sight.word, sight.weight) for sight in sights)


def _forms(found: Iterable[tuple[str, float]]) -> list[_Form]:
    """Words with their weights, all forms of a word as one, those with the most first."""
    groups: dict[str, list[tuple[str, float]]] = {}
    for word, weight in found:
        if word:
            groups.setdefault(_key(word) or _low(word), []).append((_bare(word), weight))
    made = []
    for forms in groups.values():
        usual: dict[str, float] = {}
        for form, weight in forms:
            usual[form] = usual.get(form, 0.0) + weight
        best = max(usual, key=lambda form: usual[form])
        made.append(_Form(best, sum(usual.values()), len(forms)))
    return sorted(made, key=lambda one: -one.mass)


def _mass(sights: Sequence[Sight]) -> float:
    return sum(sight.weight for sight in sights)


@lru_cache(maxsize=1 << 16)
def _key(word: str) -> str:
    """What all forms of a word have in common; "" where it has no letter."""
    return " ".join(words(word))


def _examples(sights: Sequence[Sight], count: int = 3) -> str:
    """The most usual peaks, the strongest first where they are as usual."""
    return ", ".join(_low(one.form) for one in _peaks(sights)[:count])


def _share(sights: Sequence[Sight], flags: Sequence[bool]) -> float:
    """The share of the peaks, by weight, that a flag is set for."""
    held = sum(sight.weight for sight, flag in zip(sights, flags, strict=True) if flag)
    return held / _mass(sights) if sights else 0.0


def _bare(word: str) -> str:
    """A word without what only leans on it."""
    return word.strip(_STRIPPED) or word


def _low(word: str) -> str:
    return _bare(word).lower()


def _quoted(word: str) -> str:
    return f"“{word}”"
