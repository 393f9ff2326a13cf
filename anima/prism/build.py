"""Makes a mode from two kinds of text: finds features and directions, calibrates, keeps the best.

It knows the model, its SAE and texts, and neither sessions nor where modes are kept.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import stdev

from torch import Tensor

from anima.errors import SteeringError
from anima.prism import calibration
from anima.prism.contrast import Contrast, means
from anima.prism.measuring import Asked, Said, Score
from anima.prism.mode import Calibration, Mode, mark_of
from anima.prism.recipes import Recipe, candidates
from anima.prism.workshop import Workshop

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
    "Write a few sentences.",
    "What is on your mind?",
    "Tell me anything.",
    "Start a conversation.",
    "Share a thought.",
    "Say something interesting.",
)
"""What candidates for a mode are compared on, with a topic and without; used for nothing else."""

TOKENS = 24
"""Greedy tokens of each reply in a calibration."""
JUDGED_TOKENS = 32
"""Greedy tokens of each reply that candidates are compared by."""
_CLEAR = 2.0  # standard errors of a paired difference
_STRONGEST = 0.5
_START = 0.2
TAKING = ("ablate", "cap")
"""Operations that have no strength to calibrate."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A candidate as it was measured at equal KL: mean score over the tuning replies, and loops.

    `worth` is each reply's score, less the share of it that is repetition.
    """

    mode: Mode
    name: str
    score: float
    repetition: float
    worth: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Built:
    """All candidates, the one kept first, and the score of the model without any."""

    candidates: tuple[Candidate, ...]
    off: float

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    @property
    def mode(self) -> Mode:
        """The mode that was kept."""
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
    """Find, calibrate and choose (`chosen`); `suppress` also takes away what the other side is made of.

    `score` judges texts; by default where they lie between both sides (`contrast_score`).
    Deterministic.
    Raises SteeringError for a contrast that cannot be used or a model that nothing moves.
    """
    judge = score or contrast_score(workshop, contrast)
    like = blank(workshop, name, description)
    base, tuning = workshop.prompts(CALIBRATION), workshop.prompts(TUNING)
    neutral = _neutral(workshop, base) if suppress else []
    recipes = candidates(workshop, contrast, suppress=suppress, neutral=neutral, say=say)
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
    kept = chosen(measured)
    others = sorted((each for each in measured if each is not kept), key=lambda c: -_mean(c.worth))
    return Built(candidates=(kept, *others), off=_mean(judge(unsteered)))


def chosen(measured: Sequence[Candidate]) -> Candidate:
    """The first, unless a later one is clearly better: by more than two standard errors.

    A few short replies tell candidates apart poorly: the best by the mean alone is the luckiest.
    """
    kept = measured[0]
    for each in measured[1:]:
        gains = [new - old for new, old in zip(each.worth, kept.worth, strict=True)]
        if _mean(gains) > _CLEAR * _standard_error(gains):
            kept = each
    return kept


def _standard_error(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _neutral(workshop: Workshop, base: Asked) -> list[Tensor]:
    """The stream `[t, d]` on what the model says by itself: text of neither side."""
    texts = [text for text in workshop.texts(workshop.said(base, None, TOKENS)) if text.strip()]
    return workshop.residuals(texts or CALIBRATION)


def blank(workshop: Workshop, name: str, description: str) -> Mode:
    """A mode of this model that pushes nothing yet."""
    sae = workshop.sae
    return Mode(
        name=name, description=description, model=workshop.info.model,
        fingerprint=workshop.info.fingerprint, layer=workshop.layer,
        norm=float(f"{workshop.norm:.6g}"), sae="" if sae is None else sae.name,
        sae_mark="" if sae is None else mark_of(sae),
    )  # fmt: skip


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
    features = tuple(push for push in mode.features if push.operation not in TAKING)
    vectors = tuple(push for push in mode.vectors if push.operation not in TAKING)
    strengths = [push.strength for push in features] + [push.strength for push in vectors]
    largest = max(map(abs, strengths), default=0.0)
    if largest == 0:
        raise SteeringError(f"Mode {mode.name} only takes away: there is no strength to calibrate.")
    recipe = Recipe(
        name=mode.name, features=features, vectors=vectors,
        suppressed=tuple(push for push in mode.features if push.operation in TAKING),
        capped=tuple(push for push in mode.vectors if push.operation in TAKING),
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
    scores, loops = judge(texts), [repetition(text) for text in texts]
    return Candidate(
        mode=mode, name=name, score=_mean(scores), repetition=_mean(loops),
        worth=tuple(score * (1 - loop) for score, loop in zip(scores, loops, strict=True)),
    )  # fmt: skip


def repetition(text: str) -> float:
    """The share of a text's three-word sequences that came before in it."""
    words = text.lower().split()
    grams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def contrast_score(workshop: Workshop, contrast: Contrast) -> Score:
    """How far a text lies from the one side (0) towards the other (1), as the model reads it.

    By the mean of the stream on the line through the means of both sides, read without any push.
    A text without a word lies at 0.
    """
    like, unlike = (means(workshop.residuals(side)) for side in (contrast.like, contrast.unlike))
    away = like.mean(0) - unlike.mean(0)
    line = away / away.square().sum()
    zero = float(unlike.mean(0) @ line)

    def score(texts: Sequence[str]) -> list[float]:
        said = [text for text in texts if text.strip()]
        read = workshop.reader.residuals(said, workshop.layer)
        found = {
            text: float(rows.mean(0) @ line) - zero for text, rows in zip(said, read, strict=True)
        }
        return [found.get(text, 0.0) for text in texts]

    return score


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
