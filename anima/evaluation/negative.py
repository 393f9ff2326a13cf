"""`anima eval negative`: does suppressing a thing in the stream beat asking the model not to?

Fantasy on prompts that call it forth, a prompt being the unit; and single concepts on a prompt
about each, a concept being the unit. Suppression is by clamp to zero, by a conditional negative
clamp, by a projection cap and by directional ablation; asking is by system text and in the turn.
The shipped system mode stands beside them, whole.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from anima.evaluation import material
from anima.evaluation.arms import Stand, open_stand, study_of
from anima.evaluation.harness import (
    NOISE,
    OFF,
    RANDOM_FEATURE,
    ZOMBIE,
    Cell,
    Request,
    Row,
    Study,
)
from anima.evaluation.material import Concept, Prompt
from anima.evaluation.replies import (
    Arm,
    judged_concept,
    judged_sober,
)
from anima.evaluation.statistics import harmonic_mean
from anima.prism import discovery
from anima.prism.contrast import Contrast
from anima.prism.contrast import means as text_means
from anima.runtime.modes import shipped_contrast
from anima.steering.controls import placebo, zombie
from anima.steering.push import Push
from anima.steering.state import State

CLAMP, NEGATIVE, CAP, ABLATION = "clamp to zero", "negative clamp", "projection cap", "ablation"
ASKED_SYSTEM, ASKED_TURN = "asked by system text", "asked in the turn"
SUPPRESSING = (CLAMP, NEGATIVE, CAP, ABLATION)
MODE = "system mode"
ARMS = (OFF, ZOMBIE, *SUPPRESSING, RANDOM_FEATURE, NOISE, ASKED_SYSTEM, ASKED_TURN)
FANTASY, CONCEPTS = "fantasy", "concepts"
_COLUMNS = (
    "suppressed", "left", "dreaming", "overall", "fluency", "rep-3", "NLL", "KL", "KL p95",
)  # fmt: skip
_FEATURES = 12
_DEPTH = 0.02  # of a negative clamp, each feature's, as a fraction of the residual norm
_SEED = 11


def prepare(request: Request) -> Study:
    """Fantasy and single concepts under every arm; raises UsageError without an SAE."""
    return study(request, open_stand(request, "negative"))


def study(request: Request, stand: Stand) -> Study:
    """The same on a stand that is there already."""
    smoke = request.size == "smoke"
    fantastic = {p.text: p for p in material.prompts("fantastic", "report")[: 3 if smoke else None]}
    concepts = {c.name: c for c in material.concepts()[: 2 if smoke else None]}
    suppression = Suppression(stand)

    def measure(cells: Sequence[Cell]) -> list[Row]:
        group, arm = cells[0].group, cells[0].arm
        if group == FANTASY:
            prompts = [fantastic[cell.unit] for cell in cells]
            rows = suppression.fantasy(arm, prompts)
            return [
                {**_kept(judged_sober(row)), "fresh": prompt.fresh}
                for row, prompt in zip(rows, prompts, strict=True)
            ]
        return [suppression.concept(arm, concepts[cell.unit]) for cell in cells]

    mode = [name for name in stand.shelf.names() if name == "system"]
    whole = (MODE,) if mode else ()
    cells = [
        Cell(group=FANTASY, arm=arm, unit=unit) for arm in (*ARMS, *whole) for unit in fantastic
    ]
    cells += [Cell(group=CONCEPTS, arm=arm, unit=unit) for arm in ARMS for unit in concepts]
    return study_of(
        "negative", request, stand, cells, measure, _COLUMNS, unit="prompt or concept", modes=mode
    )


class Suppression:
    """The arms of suppression on one stand; what tells a thing from the rest is found once each."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._found: dict[str, tuple[list[int], torch.Tensor, float]] = {}

    def fantasy(self, arm: str, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
        """Prompts that call for fantasy, answered under an arm."""
        bench = self._stand.bench
        if arm == ASKED_SYSTEM:
            asking = Arm(name=arm, system=material.wording("system", negated=True))
            return bench.measure(asking, prompts)
        if arm == ASKED_TURN:
            refuse = Arm(name=arm, asked=lambda text: material.refusal("fantasy_user", prompt=text))
            return bench.measure(refuse, prompts)
        if arm == MODE:
            mode = self._stand.shelf.load("system")
            return self._stand.rows(self._stand.workshop.state(mode.pushes()), prompts)
        contrast = shipped_contrast("system")
        # What system is unlike is fantasy: that is what is to be found and taken away.
        thing = Contrast(like=contrast.unlike, unlike=contrast.like)
        return self._stand.rows(self._state(arm, FANTASY, thing), prompts)

    def concept(self, arm: str, concept: Concept) -> Row:
        """A prompt about a concept, answered under an arm that is to keep it out."""
        prompt = Prompt(text=f"Tell me something about {concept.name}.")
        bench = self._stand.bench
        if arm == ASKED_SYSTEM:
            asking = Arm(name=arm, system=material.refusal("system", topic=concept.name))
            (row,) = bench.measure(asking, [prompt])
        elif arm == ASKED_TURN:
            refuse = Arm(
                name=arm,
                asked=lambda text: material.refusal("user", prompt=text, topic=concept.name),
            )
            (row,) = bench.measure(refuse, [prompt])
        else:
            others = [t for o in material.concepts() if o.name != concept.name for t in o.texts]
            thing = Contrast(like=concept.texts, unlike=tuple(others))
            (row,) = self._stand.rows(self._state(arm, concept.name, thing), [prompt])
        judged = judged_concept(row, concept, bench.encoder)
        suppressed = 1 - judged["effect"]
        overall = harmonic_mean([suppressed, judged["fluency"]])
        left = {"suppressed": suppressed, "left": judged["density"], "overall": overall}
        return {**judged, **left}

    def _state(self, arm: str, name: str, thing: Contrast) -> State | None:
        if arm == OFF:
            return None
        features, direction, level = self._told_apart(name, thing)
        workshop = self._stand.workshop
        if arm == RANDOM_FEATURE:
            assert workshop.statistics is not None
            live = workshop.statistics.live.nonzero()[:, 0]
            order = torch.randperm(len(live), generator=torch.Generator().manual_seed(_SEED))
            features = live[order[: len(features)]].tolist()
        state = workshop.state(_pushes(arm, features, direction, level))
        if state is None:
            return None
        if arm == ZOMBIE:
            return zombie(state)
        if arm == NOISE:
            return placebo(state, torch.Generator().manual_seed(_SEED))
        return state

    def _told_apart(self, name: str, thing: Contrast) -> tuple[list[int], torch.Tensor, float]:
        """The features of a thing, its direction, and the mean projection of what it is not."""
        if name not in self._found:
            workshop = self._stand.workshop
            assert workshop.sae is not None
            assert workshop.statistics is not None
            like = self._stand.workshop.residuals(thing.like)
            unlike = self._stand.workshop.residuals(thing.unlike)
            proposed = discovery.proposals(
                discovery.codes(workshop.sae, like), discovery.codes(workshop.sae, unlike),
                workshop.statistics, count=_FEATURES,
            )  # fmt: skip
            direction = discovery.difference(like, unlike)
            direction = direction / direction.norm()
            mean = float((text_means(unlike) @ direction).mean())
            level = max(-1.0, min(1.0, mean / workshop.norm))
            self._found[name] = ([found.feature for found in proposed], direction, level)
        return self._found[name]


def _pushes(arm: str, features: Sequence[int], direction: torch.Tensor, level: float) -> list[Push]:
    """The pushes of a suppressing arm; controls act as a clamp to zero does."""
    if arm == CAP:
        return [Push(operation="cap", strength=level, direction=direction)]
    if arm == ABLATION:
        return [Push(operation="ablate", strength=1.0, direction=direction)]
    clamp = Push(operation="ablate", strength=1.0, feature=0)
    if arm == NEGATIVE:
        clamp = Push(operation="negative_clamp", strength=_DEPTH, feature=0)
    return [replace(clamp, feature=feature) for feature in features]


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "suppressed": row["effect"], "left": row["fanciful"]}
