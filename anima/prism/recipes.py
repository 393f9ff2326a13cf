"""What could make a mode of two kinds of text: directions and features, each as a recipe.

It knows texts as the model and its SAE read them, and neither strengths nor what they cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anima.prism import discovery
from anima.prism.contrast import Contrast, means
from anima.prism.mode import FeaturePush, Mode, VectorPush, values_of
from anima.prism.workshop import Workshop

if TYPE_CHECKING:
    from anima.features.sae import Sae

_PURSUED = 24  # features that stand for a direction together, few enough to read
_SPANNED = 64  # decoder rows that a direction is projected on: about .93 of its length here
_THIN = 32  # features of each side that a direction is summed up from
_DENSEST = 0.2  # a style is in many tokens, so its features may be too


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


def candidates(
    workshop: Workshop,
    contrast: Contrast,
    *,
    suppress: bool,
    neutral: Sequence[Tensor] = (),
    say: Callable[[str], None] = lambda message: None,
) -> list[Recipe]:
    """What could make the mode: directions, whole or as the SAE sees them, and features.

    `neutral` is the stream on texts of neither side, `[t, d]` each; `suppress` needs some.
    """
    like = workshop.residuals(contrast.like)
    unlike = workshop.residuals(contrast.unlike)
    difference = discovery.difference(like, unlike)
    capped = (_cap(workshop, difference, neutral),) if suppress else ()
    whole = Recipe(
        name="difference of means", vectors=(_vector("difference of means", difference),)
    )
    sae, scales = workshop.sae, workshop.statistics
    if sae is None or scales is None:
        return [replace(whole, capped=capped)]
    wanted, unwanted = discovery.codes(sae, like), discovery.codes(sae, unlike)
    down = _found(workshop, unwanted, wanted, most=12) if suppress else []
    away = tuple(_push(each.feature, "ablate", 1.0) for each in down)
    up = _found(workshop, wanted, unwanted, most=12)
    say(f"{len(up)} features kept by output score")
    found = [
        whole,
        *_seen(sae, scales, difference, wanted, unwanted),
        Recipe(
            name="features by output score, clamp",
            features=_together(sae, [(f.feature, f.rise) for f in up], "clamp", rises=True),
        ),
    ]
    pushing = [recipe for recipe in found if recipe.features or recipe.vectors]
    return [
        replace(recipe, suppressed=_apart(away, recipe.features), capped=capped)
        for recipe in pushing
    ]


def _seen(
    sae: "Sae", scales: discovery.Scales, difference: Tensor, wanted: Tensor, unwanted: Tensor
) -> list[Recipe]:
    """The difference of means as the SAE sees it: on few and on many of its decoder rows."""
    rise = wanted.mean(0) - unwanted.mean(0)
    many, few = (
        discovery.pursued(sae, difference, rise, scales, count=count, densest=_DENSEST)
        for count in (_SPANNED, _PURSUED)
    )
    thin = discovery.denoised(sae, wanted, unwanted, count=_THIN, densest=_DENSEST, scales=scales)
    rising = _together(sae, [pair for pair in few if pair[1] > 0], "min_clamp")
    found = [
        _along("denoised difference", thin),
        Recipe(name="features of the difference, clamp", features=rising),
    ]
    if not many:
        return found
    spanned = _along(f"difference on {len(many)} decoder rows", discovery.summed(sae, many))
    return [spanned, *found]


def _along(name: str, direction: Tensor) -> Recipe:
    return Recipe(name=name, vectors=(_vector(name, direction),))


def _cap(workshop: Workshop, difference: Tensor, neutral: Sequence[Tensor]) -> VectorPush:
    """Holds the stream's share of the other side at what it is on neutral text.

    So it costs little where there is little of the other side. At the lower level of the wanted
    texts it took half of the nat of *system* on any text, and the push was as much weaker.
    """
    away = -difference / difference.norm()
    level = float((means(neutral) @ away).mean()) / workshop.norm
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
