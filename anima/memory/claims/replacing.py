"""How likely a line replaces an older one, learned from pairs of sentences; knows no ledger.

    logit P = w₂ · tanh(W₁ (f − mean) / spread + b₁) + b₂       f: the features of one pair

f holds the cosine of the two keys, and of their projections in which what is told counts more and
its value less (linear discriminants of what is told); what three linear probes read in the keys:
whether it is told as a change, and whether it is the speaker's own and of now, in the new line and
the old; how both compare with the best other of the older lines; and what the words say: who is
spoken of, words of change, of wishing and of the past, whether the new line lets go of a word of the
old one (“dropped the old”), and whether both say the same kind of thing with different values. Made
by `tools/build_replacing.py`.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anima.errors import CorruptModelError
from anima.home import shipped_models, write_atomically

Numbers = NDArray[np.float64]

FILE: Final = "replacing.safetensors"
CANDIDATES: Final = 8
"""Older lines, the nearest by their keys, that are read beside a new one."""

_READ: Final = 400
_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_PLAIN: Final = str.maketrans({"\u2019": "'"})


def _closed(words: str) -> re.Pattern[str]:
    phrases = sorted((each.strip() for each in words.split("|")), key=len, reverse=True)
    return re.compile(r"\b(?:" + "|".join(re.escape(each) for each in phrases) + r")\b")


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_CUES: Final = tuple(
    _closed(each)
    for each in (
        # of now
        "now|these days|nowadays|lately|from now on|as of|since|currently|at the moment|from here on"
        "|this week|this month|today|already|starting",
        # of an end
        "no longer|anymore|any more|any longer|stopped|quit|gave up|given up|dropped|ditched|left|sold"
        "|retired|goodbye|bye|done with|over|off|broke|lost|closed|cancelled|finished|no more|scrap"
        "|resigned|got rid|fell through|threw|passed",
        # of a change
        "switched|switch|moved|move|changed|change|swapped|swap|upgraded|replaced|traded|converted"
        "|turned|became|become|migrated|shifted|pushed|bumped|rescheduled|postponed|renamed|upped"
        "|started|took up|taking up|joined|went from|went back|picked up|got a new|relocated|transferred",
        # of another one
        "instead|rather than|new|actually|after all|correction|i mean|in place of|not|isn't|finally"
        "|different|update|turns out|sorry|wrong",
    )
)
_WISH = _closed(
    "would|wish|want|wants|wanted|dream|dreaming|thinking|thought about|maybe|might|if|could|hope"
    "|hoping|some day|someday|one day|considering|tempted|almost|nearly|imagine|should"
)
_PAST = _closed(
    "used to|was|were|ago|once|grew up|yesterday|back then|as a kid|as a child|had|last year|last term"
    "|last summer|years|at school|at university|at uni|growing up"
)
_OWN = _closed("i|i'm|im|i've|ive|i'd|i'll|my|me|mine|we|we're|we've|our|us|ours|myself")
_OTHER = _closed(
    "he|she|his|her|him|hers|they|their|them|he's|she's|somebody|someone|everybody|people|guy|kids"
)
_YOU = _closed("you|your|you're|u")
_RELATIONS: Final = {
    word: stem
    for stem, words in {
        "sister": "sister sis", "brother": "brother bro", "mother": "mother mum mom mam ma",
        "father": "father dad", "son": "son boy lad", "daughter": "daughter girl",
        "parents": "parents", "wife": "wife", "husband": "husband", "uncle": "uncle", "aunt": "aunt",
        "cousin": "cousin", "friend": "friend friends bestie mate mates buddy", "boss": "boss manager",
        "neighbour": "neighbour neighbor neighbours neighbors", "grand": "gran grandma grandmother "
        "granny nan grandad grandpa grandfather grandparents", "nephew": "nephew", "niece": "niece",
        "partner": "partner girlfriend boyfriend fiance ex", "flatmate": "flatmate roommate housemate",
        "colleague": "colleague colleagues coworker", "teacher": "teacher prof", "kid": "kid child kids",
        "in-laws": "in-laws",
    }.items()
    for word in words.split()
}  # fmt: skip
_DAYS: Final = _words(
    "monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays"
    " fridays saturdays sundays january february march april may june july august september october"
    " november december tomorrow tonight weekend"
)
_NUMBERS: Final = _words(
    "one two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty thirty"
    " forty fifty hundred first second third fourth fifth noon midnight half"
)
_LETS_GO: Final = _words(
    "from left dropped ditched old more bye goodbye sold quit up not isn't instead of than off over"
    " replaced retired for no stopped cancelled closed traded swapped finished leaving left"
)
_EMPTY: Final = _words(
    "a an the and or but so to of in on at by for with from as is are am was were be been being it its"
    " it's that this these those there here i i'm i've i'd im my me mine we we're we've our us you your"
    " he she they his her their them who what when where how do does did done have has had having get"
    " got gets just now anymore more any no not never only all one some very really quite too also well"
    " oh btw anyway hey haha lol fyi way know like about up out off over down back than then since if"
    " would could will can't don't isn't that's there's what's let's go going went come still again"
    " after before into new old days thing things lately finally actually instead rather longer"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Wording:
    """What the words of a line say: `flags` `[10]`, what is spoken of, and its content words."""

    flags: Numbers
    relations: frozenset[str]
    words: frozenset[str]
    marks: frozenset[str]
    kinds: frozenset[str]
    let_go: frozenset[str]


@lru_cache(maxsize=4096)
def wording(text: str) -> Wording:
    """Read a line; of a long one the beginning."""
    shown = text[:_READ].translate(_PLAIN)
    said = shown.casefold()
    found = [(match.group(), match.start()) for match in _TOKEN.finditer(shown)]
    tokens = [word.casefold() for word, _ in found]
    words = frozenset(_stem(word) for word in tokens if word not in _EMPTY)
    marks, kinds = set[str](), set[str]()
    for at, (word, _) in enumerate(found):
        kind = _kind(word, first=at == 0)
        if kind:
            kinds.add(kind)
            marks.add(_stem(tokens[at]))
    let_go = {
        _stem(word)
        for at, word in enumerate(tokens)
        if word not in _EMPTY and _LETS_GO.intersection(tokens[max(0, at - 3) : at])
    }
    flags = [
        *(float(bool(cue.search(said))) for cue in _CUES),
        *(float(bool(each.search(said))) for each in (_WISH, _PAST, _OWN, _OTHER, _YOU)),
        float(said.rstrip().endswith("?")),
    ]
    return Wording(
        flags=np.array(flags),
        relations=frozenset(_RELATIONS[word] for word in tokens if word in _RELATIONS),
        words=words,
        marks=frozenset(marks),
        kinds=frozenset(kinds),
        let_go=frozenset(let_go),
    )


def _kind(word: str, *, first: bool) -> str:
    plain = word.casefold()
    if plain in _DAYS:
        return "day"
    if any(letter.isdigit() for letter in word) or plain in _NUMBERS:
        return "number"
    return "name" if word[0].isupper() and not first and plain not in _EMPTY else ""


def _stem(word: str) -> str:
    bare = word.removesuffix("'s")
    for ending in ("ing", "ed", "es", "s"):
        if len(bare) > len(ending) + 3 and bare.endswith(ending):
            return bare[: -len(ending)]
    return bare


def compared(new: Wording, old: Wording, rarity: Mapping[str, float]) -> Numbers:
    """What the words of two lines say together `[22]`, each about in [0, 1]."""
    shared = new.words & old.words
    lets_go = new.let_go & old.words
    change = float(new.flags[:4].any())
    kept = shared - lets_go

    def weigh(words: frozenset[str]) -> float:
        return sum((rarity.get(each, 1.0) for each in words), 0.0)

    fresh = new.words - old.words - new.let_go
    return np.array(
        [
            float(bool(lets_go)),
            float(bool(lets_go & old.marks)),
            min(len(shared), 4) / 4,
            float(bool(shared)) * change,
            len(shared) / max(1, len(new.words)),
            len(shared) / max(1, len(old.words)),
            min(len(new.words - old.words), 6) / 6,
            float(bool(new.marks - old.marks)),
            float(bool(new.marks & old.marks)),
            float(bool(new.kinds & old.kinds)),
            float(bool(new.kinds ^ old.kinds)),
            float(new.relations == old.relations),
            float(bool(new.relations & old.relations)),
            float(bool(new.relations - old.relations)),
            float(bool(old.relations - new.relations)),
            float(min(len(new.words), 12)) / 12,
            float(bool(kept & new.marks & old.marks)),
            weigh(kept) / max(0.5, weigh(new.words - lets_go)),
            weigh(kept) / max(0.5, weigh(old.words)),
            max((rarity.get(each, 1.0) for each in kept), default=0.0),
            max((rarity.get(each, 1.0) for each in fresh), default=0.0),
            max((rarity.get(each, 1.0) for each in lets_go), default=0.0),
        ]
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A line as it is compared: its text and its key at length 1 `[d]`."""

    text: str
    key: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Eyes:
    """What is read in keys `[n, d]`: a projection `[d, m]` and probes `[d, 3]` with their biases.

    The probes are: told as a change; the speaker's own and of now; a claim at all. `pair` `[2 m]` and
    its bias weigh |u − v| and u v of the projections. `rarity`
    is that of a stem in ordinary talk, in [0, 1], 1 where it is not there.
    """

    mean: Numbers
    projection: Numbers
    probes: Numbers
    biases: Numbers
    pair: Numbers
    pair_bias: float
    rarity: Mapping[str, float]

    def projected(self, keys: NDArray[np.float32]) -> Numbers:
        """The keys where what is told counts more than its value, at length 1 `[n, m]`."""
        seen = (keys - self.mean) @ self.projection
        unit: Numbers = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-9)
        return unit

    def probed(self, keys: NDArray[np.float32]) -> Numbers:
        """The logits of the probes `[n, 3]`."""
        logits: Numbers = np.clip((keys - self.mean) @ self.probes + self.biases, -8.0, 8.0)
        return logits


def both(one: Numbers, other: Numbers) -> Numbers:
    """|u − v| and u v of projections `[m]` and `[n, m]`: `[n, 2 m]`, in units of an even spread."""
    scale = one.shape[-1]
    return np.concatenate([np.abs(one - other) * scale**0.5, one * other * scale], axis=-1)


def features(eyes: Eyes, new: Line, olds: Sequence[Line]) -> Numbers:
    """The features of a new line with each of the older lines nearest to it `[n, f]`."""
    keys = np.stack([new.key, *(each.key for each in olds)])
    seen, probed = eyes.projected(keys), eyes.probed(keys)
    near, alike = (keys[1:] @ keys[0]).astype(np.float64), seen[1:] @ seen[0]
    pair = both(seen[0], seen[1:]) @ eyes.pair + eyes.pair_bias
    columns = [
        near,
        above_others(near),
        alike,
        above_others(alike),
        np.clip(pair, -8.0, 8.0),
        above_others(np.clip(pair, -8.0, 8.0)),
        np.full(near.size, float(len(olds)) / CANDIDATES),
    ]
    said = wording(new.text)
    worded = [wording(each.text) for each in olds]
    return np.concatenate(
        [
            np.stack(columns, axis=1),
            np.broadcast_to(probed[0], (near.size, probed.shape[1])),
            probed[1:],
            np.broadcast_to(said.flags, (near.size, said.flags.size)),
            np.stack([each.flags for each in worded]),
            np.stack([compared(said, each, eyes.rarity) for each in worded]),
        ],
        axis=1,
    )


def above_others(scores: Numbers) -> Numbers:
    """Each score `[n]` less the best of the others, less the least score where there is none."""
    if scores.size < 2:
        return np.zeros(scores.size)
    order = np.argsort(scores)
    best, second = scores[order[-1]], scores[order[-2]]
    others = np.full(scores.size, best)
    others[order[-1]] = second
    found: Numbers = scores - others
    return found


def rarities(stems: Sequence[str]) -> Mapping[str, float]:
    """The rarity of stems that are given commonest first: log(1 + rank) / log(1 + how many)."""
    most = math.log1p(max(1, len(stems)))
    return {stem: math.log1p(at) / most for at, stem in enumerate(stems)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Replacing:
    """The reader of pairs for the keys of one encoder.

    `centre`, `spread` `[f]` standardise the features; `inner` `[f, h]`, `inner_bias` `[h]`, `outer`
    `[h]` and `outer_bias` are the two layers. From `sure` on a line is closed, from `likely` on the
    newer line goes before it.
    """

    encoder: str
    eyes: Eyes
    centre: Numbers
    spread: Numbers
    inner: Numbers
    inner_bias: Numbers
    outer: Numbers
    outer_bias: float
    sure: float
    likely: float

    @property
    def width(self) -> int:
        """How many numbers the keys have that it reads."""
        return int(self.eyes.mean.size)

    def claims(self, key: NDArray[np.float32]) -> bool:
        """Whether a line may be its speaker's own claim, and so replace one."""
        return bool(self.eyes.probed(key[None])[0, 2] > _NO_CLAIM)

    def chances(self, new: Line, olds: Sequence[Line]) -> Numbers:
        """The chance that a line replaces each of the older lines nearest to it `[n]`."""
        if not olds:
            return np.zeros(0)
        return self.scored(features(self.eyes, new, olds))

    def scored(self, found: Numbers) -> Numbers:
        """The chance of each pair `[n]` by its features `[n, f]`."""
        standard = (found - self.centre) / self.spread
        certain = np.tanh(standard @ self.inner + self.inner_bias) @ self.outer + self.outer_bias
        chances: Numbers = 1.0 / (1.0 + np.exp(-np.clip(certain, -50.0, 50.0)))
        return chances

    def write(self, path: Path) -> None:
        """Keep it, in half precision; raises StorageError."""
        from safetensors.numpy import save

        told = {
            "encoder": self.encoder,
            "sure": repr(self.sure),
            "likely": repr(self.likely),
            "pair_bias": repr(self.eyes.pair_bias),
            "outer_bias": repr(self.outer_bias),
            "common": " ".join(self.eyes.rarity),
        }
        tensors = {
            **{name: getattr(self.eyes, name) for name in _OF_EYES},
            **{name: getattr(self, name) for name in _OF_LAYERS},
        }
        halved = {name: np.ascontiguousarray(each, np.float16) for name, each in tensors.items()}
        write_atomically(path, save(halved, metadata=told), remedy="Choose another file.")


_OF_EYES: Final = ("mean", "projection", "probes", "biases", "pair")
_OF_LAYERS: Final = ("centre", "spread", "inner", "inner_bias", "outer")
_NO_CLAIM: Final = -3.0


def read_replacing(path: Path) -> Replacing:
    """The reader in a file; raises CorruptModelError for what is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            told = file.metadata() or {}
            tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
        eyes = Eyes(
            **{name: tensors[name] for name in _OF_EYES},
            pair_bias=float(told["pair_bias"]),
            rarity=rarities(told["common"].split()),
        )
        return Replacing(
            encoder=told["encoder"],
            eyes=eyes,
            **{name: tensors[name] for name in _OF_LAYERS},
            outer_bias=float(told["outer_bias"]),
            sure=float(told["sure"]),
            likely=float(told["likely"]),
        )
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CorruptModelError(
            f"{path} is damaged ({error}): get it again from where Anima came from."
        ) from error


@cache
def replacing_for(encoder: str) -> Replacing | None:
    """The shipped reader for the keys of an encoder, None where there is none."""
    shipped = shipped_models()
    path = None if shipped is None else shipped / encoder / FILE
    if path is None or not path.is_file():
        return None
    found = read_replacing(path)
    return found if found.encoder == encoder else None
