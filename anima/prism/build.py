"""Makes a mode from two kinds of text: finds features and directions, calibrates, keeps the best.

It knows the model, its SAE and texts, and neither sessions nor where modes are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anima import steering
from anima.errors import SteeringError
from anima.prism import calibration, discovery
from anima.prism.contrast import Contrast, Reader, means
from anima.prism.measuring import Asked, Said, Score, asked, prompt, said
from anima.prism.mode import Calibration, FeaturePush, Mode, VectorPush, mark_of, values_of
from anima.prism.words import trained

if TYPE_CHECKING:
    from anima.features.sae import Sae
    from anima.features.statistics import FeatureStatistics
    from anima.trunk.interface import TrunkInfo

CALIBRATION = (
    "What is a good breakfast?",
    "How do I tie a knot?",
    "I had a long day.",
    "Describe a garden.",
    "What is a bridge made of?",
    "Tell me about the wind.",
    "Why do people collect stamps?",
    "What should I plant on my balcony?",
)
"""What a mode's strength is calibrated on; used for nothing else."""
TUNING = (
    "Describe an old clock.",
    "How does a lamp work?",
    "I found a stone on my walk.",
    "What is bread?",
    "Tell me about your morning.",
    "What is a market?",
    "Describe the street outside.",
    "How do birds sleep?",
    "I am waiting for a letter.",
    "What is glass?",
    "Tell me about mountains.",
    "What does a carpenter do?",
)
"""What candidates for a mode are compared on; used for nothing else."""

TOKENS = 24
"""Greedy tokens of each reply in a calibration."""
JUDGED_TOKENS = 32
"""Greedy tokens of each reply that candidates are compared by."""
_STRONGEST = 0.5
_START = 0.2
_PURSUED = 24  # features that stand for a direction together
_DENSEST = 0.2  # a style is in many tokens, so its features may be too
_TAKING = ("ablate", "cap")  # operations that have no strength to calibrate


@dataclass(frozen=True, kw_only=True, eq=False)
class Workshop:
    """What a mode is made with: the model that reads texts, and its SAE where it has one.

    `layer` and `norm` are the SAE's where there is one; `end_ids` end a reply.
    """

    reader: Reader
    info: "TrunkInfo"
    end_ids: frozenset[int]
    layer: int
    norm: float
    sae: "Sae | None" = None
    statistics: "FeatureStatistics | None" = None

    def prompts(self, texts: Sequence[str]) -> Asked:
        """Questions read once, to be answered under one push after another."""
        reader = self.reader
        rows = [prompt(reader.encoder, reader.format, text, reader.prefix) for text in texts]
        return asked(reader.trunk, rows)

    def state(self, pushes: Sequence[steering.Push]) -> steering.State | None:
        """Pushes made ready on this model."""
        return steering.ready(
            pushes, norm=self.norm, width=self.info.width, sae=self.sae, device=self.info.device
        )

    def said(self, base: Asked, push: steering.State | None, limit: int) -> list[Said]:
        """Greedy replies under a push, scored beside the model without it."""
        return said(
            self.reader.trunk, base, layer=self.layer, push=push, limit=limit, end_ids=self.end_ids
        )

    def texts(self, replies: Sequence[Said]) -> list[str]:
        """What was said, as text."""
        return [self.reader.encoder.decode(reply.ids) for reply in replies]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A candidate at strength 1: pushes that are as long as ‖h‖ together, and what is suppressed."""

    name: str
    features: tuple[FeaturePush, ...] = ()
    vectors: tuple[VectorPush, ...] = ()
    suppressed: tuple[FeaturePush, ...] = ()
    capped: tuple[VectorPush, ...] = ()

    def mode(self, like: Mode, strength: float) -> Mode:
        """This candidate at a strength, in everything else like another mode."""
        features = tuple(replace(push, strength=push.strength * strength) for push in self.features)
        vectors = tuple(replace(push, strength=push.strength * strength) for push in self.vectors)
        return replace(
            like, features=(*features, *self.suppressed), vectors=(*vectors, *self.capped)
        )


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A candidate as it was measured at equal KL: mean score over the tuning replies, and loops."""

    mode: Mode
    name: str
    score: float
    repetition: float


@dataclass(frozen=True, kw_only=True)
class Built:
    """All candidates, the best first, and the score of the model without any."""

    candidates: tuple[Candidate, ...]
    off: float

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    @property
    def mode(self) -> Mode:
        """The mode that measured best."""
        return self.best.mode


def build(
    workshop: Workshop,
    contrast: Contrast,
    *,
    name: str,
    description: str,
    suppress: bool = False,
    score: Score | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Built:
    """Find, calibrate and choose; `suppress` also takes away what the other side is made of.

    `score` judges texts; by default a classifier trained on the contrast itself does. Deterministic.
    Raises SteeringError for a contrast that cannot be used or a model that nothing moves.
    """
    judge = score or contrast_score(contrast)
    recipes = candidates(workshop, contrast, suppress=suppress, say=say)
    like = blank(workshop, name, description)
    base, tuning = workshop.prompts(CALIBRATION), workshop.prompts(TUNING)
    unsteered = workshop.texts(workshop.said(tuning, None, JUDGED_TOKENS))
    measured: list[Candidate] = []
    for recipe in recipes:
        mode = calibrated(workshop, recipe, like, base)
        if mode is None:
            say(f"{recipe.name}: moves nothing")
            continue
        found = _measured(workshop, tuning, recipe.name, mode, judge)
        measured.append(found)
        assert mode.calibration is not None
        say(
            f"{recipe.name}: score {found.score:.3f}, repetition {found.repetition:.3f}, "
            f"p95 KL {mode.calibration.kl_p95:.2f}"
        )
    if not measured:
        raise SteeringError(
            f"Nothing that tells the texts of mode {name} apart moves this model: give texts that "
            "differ more from each other."
        )
    measured.sort(key=lambda each: -each.score * (1 - each.repetition))
    return Built(candidates=tuple(measured), off=_mean(judge(unsteered)))


def blank(workshop: Workshop, name: str, description: str) -> Mode:
    """A mode of this model that pushes nothing yet."""
    sae = workshop.sae
    return Mode(
        name=name, description=description, model=workshop.info.model,
        fingerprint=workshop.info.fingerprint, layer=workshop.layer,
        norm=float(f"{workshop.norm:.6g}"), sae="" if sae is None else sae.name,
        sae_mark="" if sae is None else mark_of(sae),
    )  # fmt: skip


def candidates(
    workshop: Workshop,
    contrast: Contrast,
    *,
    suppress: bool,
    say: Callable[[str], None] = lambda message: None,
) -> list[Recipe]:
    """What could make the mode: directions, features, and both together."""
    like = workshop.reader.residuals(contrast.like, workshop.layer)
    unlike = workshop.reader.residuals(contrast.unlike, workshop.layer)
    difference = discovery.difference(like, unlike)
    vector = _vector("difference of means", difference)
    capped = (_cap(workshop, difference, like),) if suppress else ()
    sae, scales = workshop.sae, workshop.statistics
    if sae is None or scales is None:
        return [Recipe(name="difference of means", vectors=(vector,), capped=capped)]
    wanted, unwanted = discovery.codes(sae, like), discovery.codes(sae, unlike)
    up = _found(workshop, wanted, unwanted, most=12)
    say(f"{len(up)} features kept by output score")
    down = _found(workshop, unwanted, wanted, most=12) if suppress else []
    away = tuple(_push(each.feature, "ablate", 1.0) for each in down)
    thin = discovery.denoised(sae, wanted, unwanted, count=32, densest=_DENSEST, scales=scales)
    shares = discovery.pursued(
        sae, difference, wanted.mean(0) - unwanted.mean(0), scales,
        count=_PURSUED, densest=_DENSEST,
    )  # fmt: skip
    near = _together(sae, shares, "add")
    found = [
        Recipe(name="difference of means", vectors=(vector,)),
        Recipe(name="denoised difference", vectors=(_vector("denoised difference", thin),)),
        Recipe(name="features of the difference, add", features=near),
        Recipe(
            name="features of the difference, clamp",
            features=_together(sae, [pair for pair in shares if pair[1] > 0], "min_clamp"),
        ),
        Recipe(
            name="features by output score, clamp",
            features=_together(sae, [(f.feature, f.rise) for f in up], "clamp", rises=True),
        ),
        Recipe(
            name="features and difference",
            features=tuple(replace(push, strength=push.strength / 2) for push in near),
            vectors=(replace(vector, strength=0.5),),
        ),
    ]
    pushing = [recipe for recipe in found if recipe.features or recipe.vectors]
    return [
        replace(recipe, suppressed=_apart(away, recipe.features), capped=capped)
        for recipe in pushing
    ]


def _cap(workshop: Workshop, difference: Tensor, like: Sequence[Tensor]) -> VectorPush:
    """Holds the stream's share of the other side at what it is on texts of the wanted one."""
    away = -difference / difference.norm()
    level = float((means(like) @ away).mean()) / workshop.norm
    return VectorPush(
        name="the other side", operation="cap", strength=float(f"{max(-1.0, min(1.0, level)):.4g}"),
        values=values_of(away.tolist()),
    )  # fmt: skip


def _apart(away: Sequence[FeaturePush], features: Sequence[FeaturePush]) -> tuple[FeaturePush, ...]:
    """What is taken away, but for what is pushed already."""
    pushed = {push.feature for push in features}
    return tuple(push for push in away if push.feature not in pushed)


def _found(
    workshop: Workshop, wanted: Tensor, unwanted: Tensor, *, most: int
) -> list[discovery.Found]:
    """The features of one side, proposed by contrast and kept by output score."""
    assert workshop.sae is not None
    assert workshop.statistics is not None
    proposed = discovery.proposals(wanted, unwanted, workshop.statistics, count=4 * most)
    scored = discovery.scored(workshop.reader, workshop.sae, proposed, norm=workshop.norm)
    return discovery.worth_steering(scored, most=most)


def _together(
    sae: "Sae", shares: Sequence[tuple[int, float]], operation: str, *, rises: bool = False
) -> tuple[FeaturePush, ...]:
    """Pushes on features in these shares, whose sum is as long as one push of strength 1.

    Shares are lengths in the stream, or, as `rises`, activations. Largest first.
    """
    if not shares:
        return ()
    rows = sae.directions(torch.tensor([feature for feature, _ in shares])).float().cpu()
    lengths = torch.tensor([share for _, share in shares])
    if rises:
        lengths = lengths * rows.norm(dim=-1)
    whole = float((lengths @ (rows / rows.norm(dim=-1, keepdim=True))).norm())
    pairs = zip(shares, (lengths / whole).tolist(), strict=True)
    made = [_push(feature, operation, strength) for (feature, _), strength in pairs]
    return tuple(sorted(made, key=lambda push: -abs(push.strength)))


def _push(feature: int, operation: str, strength: float) -> FeaturePush:
    return FeaturePush(feature=feature, operation=operation, strength=strength)


def _vector(name: str, direction: Tensor) -> VectorPush:
    unit = direction / direction.norm()
    return VectorPush(name=name, operation="add", strength=1.0, values=values_of(unit.tolist()))


def calibrated(
    workshop: Workshop,
    recipe: Recipe,
    like: Mode,
    base: Asked,
    *,
    start: float = _START,
    lowest: float = 0.005,
    highest: float = _STRONGEST,
) -> Mode | None:
    """The recipe at the strength where p95 KL is the target, measured on `base`; None where nil."""
    replies: dict[float, list[Said]] = {}

    def measure(strength: float) -> float:
        state = workshop.state(recipe.mode(like, strength).pushes())
        replies[strength] = workshop.said(base, state, TOKENS)
        return calibration.percentile(replies[strength])

    solved = calibration.solve(
        measure, calibration.TARGET, start=start, lowest=lowest, highest=highest
    )
    if solved.value <= 0:
        return None
    found = replies[solved.strength]
    figures = Calibration(
        kl_p95=round(solved.value, 3), kl_mean=round(calibration.mean(found), 3),
        prompts=len(found), tokens=sum(len(reply.kl) for reply in found),
    )  # fmt: skip
    mode = recipe.mode(like, float(f"{solved.strength:.4g}"))
    return replace(_rounded(mode), calibration=figures)


def recalibrated(workshop: Workshop, mode: Mode) -> Mode:
    """A mode whose overall strength is 1 at the target, whatever its strengths were."""
    features = tuple(push for push in mode.features if push.operation not in _TAKING)
    vectors = tuple(push for push in mode.vectors if push.operation not in _TAKING)
    strengths = [push.strength for push in features] + [push.strength for push in vectors]
    largest = max(map(abs, strengths), default=0.0)
    if largest == 0:
        raise SteeringError(f"Mode {mode.name} only takes away: there is no strength to calibrate.")
    recipe = Recipe(
        name=mode.name, features=features, vectors=vectors,
        suppressed=tuple(push for push in mode.features if push.operation in _TAKING),
        capped=tuple(push for push in mode.vectors if push.operation in _TAKING),
    )  # fmt: skip
    found = calibrated(
        workshop, recipe, replace(mode, strength=1.0), workshop.prompts(CALIBRATION),
        start=1.0, lowest=0.02, highest=min(10.0, 1 / largest),
    )  # fmt: skip
    if found is None:
        raise SteeringError(f"Mode {mode.name} moves nothing in this model.")
    return found


def _rounded(mode: Mode) -> Mode:
    """Strengths of four digits, as a person reads them."""
    return replace(
        mode,
        features=tuple(replace(p, strength=float(f"{p.strength:.4g}")) for p in mode.features),
        vectors=tuple(replace(p, strength=float(f"{p.strength:.4g}")) for p in mode.vectors),
    )


def _measured(workshop: Workshop, tuning: Asked, name: str, mode: Mode, judge: Score) -> Candidate:
    texts = workshop.texts(workshop.said(tuning, workshop.state(mode.pushes()), JUDGED_TOKENS))
    return Candidate(
        mode=mode, name=name, score=_mean(judge(texts)),
        repetition=_mean([repetition(text) for text in texts]),
    )  # fmt: skip


def repetition(text: str) -> float:
    """The share of a text's three-word sequences that came before in it."""
    words = text.lower().split()
    grams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def contrast_score(contrast: Contrast) -> Score:
    """The chance of being like the wanted side, by a classifier of words trained on the contrast."""
    judge = trained({"like": contrast.like, "unlike": contrast.unlike})
    return lambda texts: [judge.chances(text)["like"] for text in texts]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
