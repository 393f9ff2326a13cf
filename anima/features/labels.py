"""What features are called and how they are found again; knows their labels' file, and no tensor.

`labels.jsonl` lies beside an SAE's weights, one feature a line, to be read and edited by people:
an edited line (`"edited": true`) is kept when the features are labelled again.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from anima.errors import FeatureError, UsageError
from anima.home import write_atomically

FILE = "labels.jsonl"
OPEN, CLOSE = "«", "»"
"""What stands around the peak token of a context."""
TURN = " ⏎ "
"""What stands between two turns in a context."""

_FIELDS = ("promoted", "suppressed", "contexts")
_REMEDY = "Choose another folder for the SAE."


@dataclass(frozen=True, kw_only=True)
class FeatureLabel:
    """One line. `density`: share of content tokens where active; `maximum`: largest activation.

    `promoted` and `suppressed` are the tokens that the decoder row raises and lowers most by the
    logit lens; `contexts` the texts around its strongest activations, the peak in «…».
    """

    feature: int
    label: str
    density: float
    maximum: float
    promoted: tuple[str, ...] = ()
    suppressed: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    edited: bool = False

    def as_json(self) -> dict[str, Any]:
        """The line's object; `edited` is there where it is true."""
        read = {
            name: list(one) if isinstance(one, tuple) else one for name, one in asdict(self).items()
        }
        if not self.edited:
            del read["edited"]
        return read


def label_of(read: Mapping[str, Any]) -> FeatureLabel:
    """The inverse of `as_json`; raises KeyError, TypeError or ValueError for what it cannot be."""
    if not isinstance(read["label"], str):
        raise TypeError("label is no text")
    many = {name: tuple(str(one) for one in read.get(name, ())) for name in _FIELDS}
    return FeatureLabel(
        feature=int(read["feature"]), label=read["label"], density=float(read["density"]),
        maximum=float(read["maximum"]), edited=bool(read.get("edited", False)), **many,
    )  # fmt: skip


class Labels:
    """The labels of one SAE, by feature; made once, never changed."""

    def __init__(self, labels: Iterable[FeatureLabel] = ()) -> None:
        self._by_feature = {one.feature: one for one in labels}

    def __len__(self) -> int:
        return len(self._by_feature)

    def __iter__(self) -> Iterator[FeatureLabel]:
        """In the order of features."""
        return (self._by_feature[feature] for feature in sorted(self._by_feature))

    def get(self, feature: int) -> FeatureLabel | None:
        return self._by_feature.get(feature)

    def label(self, feature: int) -> str:
        """The feature's label, "" where it has none."""
        found = self._by_feature.get(feature)
        return "" if found is None else found.label

    def find(self, text: str) -> list[int]:
        """The features that a text fits best, best first."""
        return [found.label.feature for found in search(self, text)]

    def named(self, feature: int, label: str) -> "Labels":
        """These labels with one renamed by a person; raises UsageError where there is no such."""
        found = self._by_feature.get(feature)
        if found is None:
            raise UsageError(f"Feature {feature} has no label to change: it was never seen active.")
        if not label.strip():
            raise UsageError(f"The label of feature {feature} cannot be empty.")
        renamed = replace(found, label=" ".join(label.split()), edited=True)
        return Labels({**self._by_feature, feature: renamed}.values())

    def keeping(self, before: "Labels") -> "Labels":
        """These labels, with what a person called a feature before kept as it was."""
        kept = {
            one.feature: replace(
                self._by_feature.get(one.feature, one), label=one.label, edited=True
            )
            for one in before
            if one.edited
        }
        return Labels({**self._by_feature, **kept}.values())

    @cached_property
    def index(self) -> "Index":
        """What searching needs, made at the first search."""
        return Index(self)


def read_labels(folder: Path) -> Labels:
    """The labels beside an SAE's weights, none where there is no file.

    Raises FeatureError naming the file and the line that cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return Labels()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FeatureError(f"{path} cannot be read: {error}.") from error
    return Labels(_line(path, number, line) for number, line in enumerate(lines, 1) if line.strip())


def _line(path: Path, number: int, line: str) -> FeatureLabel:
    try:
        return label_of(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise FeatureError(
            f"{path}, line {number} is no label of a feature: {error}. Mend or delete that line, "
            "or label anew with `anima features label`."
        ) from error


def write_labels(folder: Path, labels: Labels) -> Path:
    """Write them as one JSON object a line; returns the file."""
    path = folder / FILE
    lines = (
        json.dumps(one.as_json(), ensure_ascii=False, separators=(",", ":")) + "\n"
        for one in labels
    )
    write_atomically(path, "".join(lines).encode(), remedy=_REMEDY)
    return path


@dataclass(frozen=True, kw_only=True)
class Found:
    """A feature that a search found, and how well it fits: only the order means anything."""

    label: FeatureLabel
    score: float


def search(labels: Labels, text: str, count: int = 20) -> list[Found]:
    """The features whose label, promoted tokens or contexts fit a text best, best first.

    BM25 over whole words with the fields weighted (Robertson, Zaragoza and Taylor 2004, "Simple
    BM25 extension to multiple weighted fields"), so "cat" finds cats and no catalog. A number, or
    #number, is that feature.
    """
    number = text.strip().removeprefix("#")
    if number.isdecimal():
        exact = labels.get(int(number))
        if exact is not None or text.strip().startswith("#"):
            return [] if exact is None else [Found(label=exact, score=math.inf)]
    scores = labels.index.scores(words(text))
    best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
    return [
        Found(label=one, score=score) for feature, score in best if (one := labels.get(feature))
    ]


_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def words(text: str) -> list[str]:
    """The words of a text in lower case, singular and plural as one: story and stories are stori."""
    return [_stem(word) for word in _WORD.findall(text.lower().replace("\u2019", "'"))]


def _stem(word: str) -> str:
    # A few safe endings only: what goes further makes one word of two.
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("us", "ss", "is", "'s")):
        word = word[:-1]
    if len(word) > 4 and word.endswith("ie"):
        return word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


class Index:
    """The labels' texts made ready for BM25: only those that can hold a word are taken apart."""

    # A label says what a feature is about; its contexts only what stood around.
    _LABEL, _PROMOTED, _PEAK, _CONTEXT = 8.0, 2.0, 2.0, 0.5
    _SATURATION, _LENGTH = 1.2, 0.3
    _ALL = 1.5
    _PEAKS = re.compile(f"{OPEN}(.*?){CLOSE}")

    def __init__(self, labels: Iterable[FeatureLabel]) -> None:
        self._labels = {one.feature: one for one in labels}
        self._texts = {feature: _text(one).lower() for feature, one in self._labels.items()}
        total = sum(len(text) for text in self._texts.values())
        self._mean = max(1.0, total / max(1, len(self._texts)))
        self._counts: dict[int, Mapping[str, float]] = {}

    def scores(self, wanted: Iterable[str]) -> dict[int, float]:
        """The score of every feature that has any of the words; having all of them counts most."""
        found: dict[int, float] = defaultdict(float)
        having: Counter[int] = Counter()
        distinct = list(dict.fromkeys(wanted))
        for word in distinct:
            postings = self._postings(word)
            rest = len(self._texts) - len(postings)
            rarity = math.log(1 + (rest + 0.5) / (len(postings) + 0.5))
            for feature, count in postings.items():
                length = len(self._texts[feature]) / self._mean
                norm = 1 - self._LENGTH + self._LENGTH * length
                found[feature] += rarity * count / (count + self._SATURATION * norm)
                having[feature] += 1
        return {
            feature: score * (having[feature] / len(distinct)) ** 2 * self._said(feature, distinct)
            for feature, score in found.items()
        }

    def _said(self, feature: int, wanted: Sequence[str]) -> float:
        """More than 1 where the label itself has all the words."""
        return self._ALL if set(wanted) <= set(words(self._labels[feature].label)) else 1.0

    def _postings(self, word: str) -> dict[int, float]:
        """How much each feature has of a word."""
        beginning = word.removesuffix("i")  # what its forms have in common
        found = {}
        for feature, text in self._texts.items():
            if beginning in text:
                if feature not in self._counts:
                    self._counts[feature] = self._counted(self._labels[feature])
                count = self._counts[feature].get(word, 0.0)
                if count:
                    found[feature] = count
        return found

    def _counted(self, one: FeatureLabel) -> Mapping[str, float]:
        counts: dict[str, float] = defaultdict(float)
        contexts = " ".join(one.contexts)
        peaks = " ".join(self._PEAKS.findall(contexts))
        plain = contexts.replace(OPEN, "").replace(CLOSE, "")
        label = words(one.label)
        # A label of one word is about it; in a list of many each says little.
        focus = self._LABEL / math.sqrt(max(1, len(label)))
        for found, weight in (
            (label, focus), (words(" ".join(one.promoted)), self._PROMOTED),
            (words(peaks), self._PEAK), (words(plain), self._CONTEXT),
        ):  # fmt: skip
            for word in found:
                counts[word] += weight
        return counts


def _text(one: FeatureLabel) -> str:
    """All of a line's text; peak marks go, for a word may be half inside them."""
    whole = " ".join((one.label, *one.promoted, *one.contexts))
    return whole.replace(OPEN, "").replace(CLOSE, "").replace("\u2019", "'")
