"""Labels every feature that was ever active, from passages of text and the model's own unembedding.

Knows an SAE, passages and a trunk. Deterministic, with no judge; a run that was stopped goes on
from the last hundred thousand tokens.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save
from torch import Tensor

from anima.errors import FeatureError
from anima.features.contexts import Ground, Strongest
from anima.features.labels import FeatureLabel, Labels, read_labels, words, write_labels
from anima.features.naming import Background, name
from anima.features.passages import Marks, Source, joined
from anima.features.sae import Sae
from anima.features.statistics import FeatureStatistics
from anima.home import write_atomically
from anima.trunk.interface import Trunk
from anima.trunk.loader import Loaded
from anima.trunk.tokens import Tokenizer

PART = "labels.part.safetensors"
CONTEXTS = 5
PROMOTED, SUPPRESSED = 8, 4
SIGHTS = 32
"""Distinct peaks that a label is made from."""
STANDS_OUT = 4.5
"""Standard deviations over the tokens known from which a promoted one enters the label."""
_USED, _FEWEST = 3, 1000  # times a token has to be used to be known, and how many must be
_SAVED_EVERY = 100_000  # tokens
_LENS_ROWS = 256
_MANY = 65  # directions from which one matrix for all is made
_REMEDY = "Choose another folder for the SAE."
Say = Callable[[str], None]


def label_all(
    loaded: Loaded,
    sae: Sae,
    source: Source,
    folder: Path,
    *,
    statistics: FeatureStatistics | None = None,
    mark: str = "",
    say: Say = lambda message: None,
) -> Labels:
    """Label every live feature and write `labels.jsonl` into `folder`; edited labels stay.

    `mark` says what the source is of, so that a part kept of another one is not gone on with.
    Density and maximum are those of `statistics` where given, else of the passages. Raises
    FeatureError where the source holds no token, or a label there cannot be read.
    """
    read_labels(folder)  # a line that cannot be read is said before the work, not after it
    strongest, marks = gather(sae, source, folder / PART, mark=mark, say=say)
    ground = Ground(marks=marks, texts=vocabulary(loaded.tokenizer, loaded.trunk.info.vocabulary))
    background = _background(ground, loaded.tokenizer)
    live = np.flatnonzero(strongest.fired).tolist()
    say(f"{len(live):,} of {sae.n_features:,} features were active on {strongest.tokens:,} tokens")
    made: list[FeatureLabel] = []
    known = known_tokens(ground.marks.ids, ground.texts)
    lens = Lens(loaded.trunk, known)
    for part in _parts(live, _LENS_ROWS):
        scores = lens.scores(sae.directions(torch.tensor(part)))
        effects = effects_of(scores, known, ground.texts)
        made += [
            _labelled(feature, effect, strongest, ground, background, statistics)
            for feature, effect in zip(part, effects, strict=True)
        ]
        say(f"{len(made):,} of {len(live):,} features named")
    labels = Labels(made).keeping(read_labels(folder))
    write_labels(folder, labels)
    (folder / PART).unlink(missing_ok=True)
    return labels


def _labelled(
    feature: int,
    effect: "Effect",
    strongest: Strongest,
    ground: Ground,
    background: Background,
    statistics: FeatureStatistics | None,
) -> FeatureLabel:
    values, positions = strongest.of(feature)
    sights = ground.sights(values, positions, SIGHTS)
    density, maximum = float(strongest.fired[feature] / strongest.tokens), float(values[0])
    if statistics is not None:
        density, maximum = float(statistics.density[feature]), float(statistics.maximum[feature])
    return FeatureLabel(
        feature=feature, label=name(sights, effect.outstanding, background),
        density=_rounded(density), maximum=_rounded(maximum),
        promoted=effect.promoted, suppressed=effect.suppressed,
        contexts=tuple(ground.shown(sight.position) for sight in sights[:CONTEXTS]),
    )  # fmt: skip


def gather(sae: Sae, source: Source, part: Path, *, mark: str, say: Say) -> tuple[Strongest, Marks]:
    """The strongest positions of all features over a source, and the marks of its tokens."""
    mark = _mark(sae, mark)
    strongest, parts, done = _resumed(part, mark, sae.n_features)
    if done:
        say(f"going on after {strongest.tokens:,} tokens")
    saved = strongest.tokens
    for passage in source(done):
        strongest.add(sae, passage.h)
        parts.append(passage.marks)
        done += 1
        if strongest.tokens - saved >= _SAVED_EVERY:
            saved = strongest.tokens
            _save(part, mark, strongest, joined(parts), done)
            say(f"{saved:,} tokens read")
    if not strongest.tokens:
        raise FeatureError(f"There is no content token to label {sae.name} from.")
    strongest.settle()
    return strongest, joined(parts)


def _mark(sae: Sae, mark: str) -> str:
    digest = hashlib.sha256(sae.encoder.T.cpu().numpy().tobytes()).hexdigest()
    return json.dumps([sae.name, digest, mark])


def _save(path: Path, mark: str, strongest: Strongest, marks: Marks, done: int) -> None:
    strongest.settle()
    arrays = {
        "feature": strongest.feature, "value": strongest.value, "position": strongest.position,
        "fired": strongest.fired, "ids": marks.ids, "piece": marks.piece, "turn": marks.turn,
        "reply": marks.reply,
    }  # fmt: skip
    figures = {"mark": mark, "done": str(done), "tokens": str(strongest.tokens)}
    write_atomically(path, save(arrays, metadata=figures), remedy=_REMEDY)


def _resumed(path: Path, mark: str, features: int) -> tuple[Strongest, list[Marks], int]:
    """What an earlier run kept; a fresh start where it was of something else or cannot be read."""
    strongest = Strongest(features=features)
    if not path.is_file():
        return strongest, [], 0
    try:
        arrays = load_file(path)
        with safe_open(path, framework="np") as file:
            figures = file.metadata() or {}
    except (OSError, SafetensorError):
        return strongest, [], 0
    if figures.get("mark") != mark:
        return strongest, [], 0
    strongest.feature, strongest.value = arrays["feature"], arrays["value"]
    strongest.position, strongest.fired = arrays["position"], arrays["fired"]
    strongest.tokens = int(figures["tokens"])
    marks = Marks(
        ids=arrays["ids"], piece=arrays["piece"], turn=arrays["turn"], reply=arrays["reply"]
    )
    return strongest, [marks], int(figures["done"])


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The tokens that a direction raises and lowers most; `outstanding` are raised far above all."""

    promoted: tuple[str, ...]
    suppressed: tuple[str, ...]
    outstanding: tuple[str, ...]


class Lens:
    """The logit lens of directions over the tokens `known` `[v]`.

    Each direction goes through the final norm alone, as a residual stream of its own: the norm's
    gains apply and its length does not matter, so that only order and proportion mean anything.
    They are given in standard deviations over these tokens.
    """

    def __init__(self, trunk: Trunk, known: Tensor) -> None:
        self._trunk = trunk
        self._known = known
        self._columns: Tensor | None = None

    def scores(self, directions: Tensor) -> Tensor:
        """`[k, d]` → `[k, v]`."""
        if self._columns is None and len(directions) >= _MANY:
            self._columns = self._linear(directions)
        columns = self._columns
        if columns is None or not len(columns):
            return _standard(self._direct(directions))
        return _standard(directions.float().cpu() @ columns)

    def _direct(self, directions: Tensor) -> Tensor:
        rows = [
            self._trunk.lens(part).float().cpu()[:, self._known]
            for part in torch.split(directions, 64)
        ]
        return torch.cat(rows)

    def _linear(self, directions: Tensor) -> Tensor:
        """The lens as one matrix `[d, v]`, empty where the final norm does not allow it.

        A norm that only divides by a length and multiplies by gains leaves, but for the length, a
        linear map: that of the unit vectors. d of them are fewer than an SAE has features.
        """
        width = directions.shape[-1]
        columns = self._direct(torch.eye(width, device=directions.device))
        few = directions[:: max(1, len(directions) // 4)]
        same = _standard(few.float().cpu() @ columns), _standard(self._direct(few))
        return columns if torch.allclose(*same, atol=0.05) else columns[:0]


def _standard(logits: Tensor) -> Tensor:
    return (logits - logits.mean(1, keepdim=True)) / logits.std(1, keepdim=True)


def effects_of(scores: Tensor, known: Tensor, texts: Sequence[str]) -> list[Effect]:
    """What rows of `Lens.scores` say in words."""
    best = scores.topk(min(4 * PROMOTED, scores.shape[1]))
    worst = scores.topk(min(4 * SUPPRESSED, scores.shape[1]), largest=False)
    rows = zip(
        known[best.indices].tolist(), best.values.tolist(), known[worst.indices].tolist(),
        strict=True,
    )  # fmt: skip
    return [
        Effect(
            promoted=_distinct(high, texts, PROMOTED),
            suppressed=_distinct(low, texts, SUPPRESSED),
            outstanding=_distinct(
                [
                    token
                    for token, z in zip(high, values, strict=True)
                    if z >= STANDS_OUT and len(texts[token].strip()) > 1
                ],
                texts, 3,
            ),
        )
        for high, values, low in rows
    ]  # fmt: skip


def known_tokens(ids: np.ndarray, texts: Sequence[str]) -> Tensor:
    """The tokens `[v]` that the texts looked at use, special ones and parts of characters left out.

    The rows of tokens that hardly occur are far longer than others and head every direction's list,
    and no model says them; all tokens where so few are used that nothing could be seen.
    """
    counts = np.bincount(ids, minlength=len(texts))
    whole = np.array([bool(text) and "\ufffd" not in text for text in texts])
    used = np.flatnonzero(whole & (counts[: len(texts)] >= _USED))
    return torch.from_numpy(used if len(used) >= _FEWEST else np.flatnonzero(whole))


def _distinct(tokens: Sequence[int], texts: Sequence[str], count: int) -> tuple[str, ...]:
    """Their texts, those that differ in case or a space alone only once."""
    found: dict[str, str] = {}
    for token in tokens:
        bare = texts[token].strip() or repr(texts[token])[1:-1]
        found.setdefault(bare.casefold(), bare)
    return tuple(found.values())[:count]


def vocabulary(tokenizer: Tokenizer, size: int) -> list[str]:
    """The text of every id, "" for special tokens.

    Decoded after another token, because some decoders take the space off the first.
    """
    (anchor, *_) = tokenizer.encode("a")
    before = len(tokenizer.decode([anchor]))
    return [tokenizer.decode([anchor, token])[before:] for token in range(size)]


def _background(ground: Ground, tokenizer: Tokenizer) -> Background:
    """The words of all the text looked at."""
    marks = ground.marks
    bounds = np.flatnonzero(np.diff(marks.turn)) + 1
    counts: Counter[str] = Counter()
    for ids in np.split(marks.ids, bounds):
        counts.update(words(tokenizer.decode(ids.tolist())))
    return Background(counts=counts, total=counts.total())


def _parts(features: Sequence[int], size: int) -> list[list[int]]:
    return [list(features[at : at + size]) for at in range(0, len(features), size)]


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
