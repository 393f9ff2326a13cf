"""`anima eval steering`: what modes and single features do, beside controls at equal KL.

Prompts are of the report half and of no part of discovery or calibration. Modes: the shipped ones
on everyday prompts, a prompt being the unit. Concepts: features found here for 24 single concepts,
on prompts that call for no topic, a concept being the unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from anima import steering
from anima.evaluation import material
from anima.evaluation.arms import LITTLE, Effort, Make, Stand, open_stand, study_of
from anima.evaluation.harness import (
    MEAN_DIFFERENCE,
    NOISE,
    OFF,
    PCA,
    PLACEBO,
    PROMPT_ONLY,
    RANDOM_FEATURE,
    WRONG_SIGN,
    ZOMBIE,
    Cell,
    Request,
    Row,
    Study,
)
from anima.evaluation.material import MODES, Concept
from anima.evaluation.replies import (
    COLUMNS,
    Arm,
    judged,
    judged_concept,
)
from anima.prism import discovery
from anima.prism.calibration import TARGET
from anima.prism.contrast import Contrast
from anima.runtime.modes import shipped_contrast

PRISM = "prism"
CONCEPTS = "concepts"
MODE_ARMS = (
    OFF, PRISM, NOISE, RANDOM_FEATURE, MEAN_DIFFERENCE, PROMPT_ONLY, PLACEBO, PCA, WRONG_SIGN,
    ZOMBIE,
)  # fmt: skip
"""In the order in which they are measured: a run that is cut short has what matters most."""
CONCEPT_ARMS = tuple(arm for arm in MODE_ARMS if arm != PLACEBO)
_SEED = 7
_FEATURES = 3  # of a single concept
_PROMPTS = 4  # that each concept is tried on


def prepare(request: Request) -> Study:
    """Every shipped mode and single concept under every arm; raises UsageError without an SAE."""
    return study(request, open_stand(request, "steering"))


def study(request: Request, stand: Stand) -> Study:
    """The same on a stand that is there already."""
    smoke = request.size == "smoke"
    asked = {p.text: p for p in material.prompts("open", "report")[: 4 if smoke else None]}
    concepts = {c.name: c for c in material.concepts()[: 2 if smoke else None]}
    names = [name for name in MODES if name in stand.shelf.names()]
    modes = ModeArms(stand=stand)
    single = ConceptArms(
        stand=stand, concepts=list(concepts.values()), all_of=material.concepts(),
        effort=None if smoke else LITTLE,
    )  # fmt: skip
    few = material.prompts("neutral", "report")[: 2 if smoke else _PROMPTS]

    def measure(cells: Sequence[Cell]) -> list[Row]:
        group, arm = cells[0].group, cells[0].arm
        if group == CONCEPTS:
            return [single.row(concepts[cell.unit], arm, few) for cell in cells]
        prompts = [asked[cell.unit] for cell in cells]
        rows = modes.rows(group, arm, prompts)
        return [{**row, "fresh": p.fresh} for row, p in zip(rows, prompts, strict=True)]

    cells = [
        Cell(group=m, arm=arm, unit=unit) for arm in MODE_ARMS for m in names for unit in asked
    ]
    cells += [Cell(group=CONCEPTS, arm=arm, unit=unit) for arm in CONCEPT_ARMS for unit in concepts]
    return study_of(
        "steering", request, stand, cells, measure, (*COLUMNS, "density", "similarity"),
        unit="prompt or concept", modes=names,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class ModeArms:
    """The arms of the shipped modes, each made when it is first asked for."""

    stand: Stand
    _makes: dict[tuple[str, str], Make] = field(default_factory=dict)

    def rows(self, mode: str, arm: str, prompts: Sequence[material.Prompt]) -> list[Row]:
        """The replies to prompts under an arm, judged by the mode's own measures."""
        if arm == PROMPT_ONLY:
            asking = Arm(name=arm, system=material.wording(mode))
            found = self.stand.bench.measure(asking, prompts)
        else:
            found = self.stand.rows(self.state(mode, arm), prompts)
        return [judged(row, mode) for row in found]

    def state(self, mode: str, arm: str) -> steering.State | None:
        """What an arm pushes; the controls at the KL of the mode itself."""
        stand, found = self.stand, self.stand.shelf.load(mode)
        own = stand.workshop.state(found.pushes())
        if arm == OFF or own is None:
            return None
        if arm == PRISM:
            return own
        if arm == ZOMBIE:
            return steering.zombie(own)
        if arm == PLACEBO:
            return steering.placebo(own, torch.Generator().manual_seed(_SEED))
        if arm == WRONG_SIGN:
            return stand.equal((mode, arm), _opposed(stand, found.pushes), lambda: stand.cost(own))
        if (mode, arm) not in self._makes:
            self._makes[mode, arm] = self._make(mode, arm)
        return stand.equal((mode, arm), self._makes[mode, arm], lambda: stand.cost(own))

    def _make(self, mode: str, arm: str) -> Make:
        stand = self.stand
        if arm == RANDOM_FEATURE:
            pushed = [p for p in stand.shelf.load(mode).features if p.operation != "ablate"]
            operation = pushed[0].operation if pushed else "clamp"
            return stand.random_features(len(pushed) or 8, operation, _SEED)
        if arm == NOISE:
            return stand.along(stand.noise(_SEED))
        return stand.along(_direction(stand, shipped_contrast(mode), arm))


def _opposed(stand: Stand, pushes: Callable[[float], tuple[steering.Push, ...]]) -> Make:
    """Minus a mode's delta; its overall strength is four times the solver's, so that 1 is within."""

    def make(strength: float) -> steering.State | None:
        state = stand.workshop.state(pushes(min(4.0, 8 * strength)))
        return None if state is None else steering.opposed(state)

    return make


def _direction(stand: Stand, contrast: Contrast, arm: str) -> torch.Tensor:
    like, unlike = stand.residuals(contrast.like), stand.residuals(contrast.unlike)
    return discovery.principal(like, unlike) if arm == PCA else discovery.difference(like, unlike)


@dataclass(kw_only=True, eq=False)
class ConceptArms:
    """The arms of single concepts; `all_of` are the concepts whose texts each is told from."""

    stand: Stand
    concepts: Sequence[Concept]
    all_of: Sequence[Concept]
    effort: Effort | None = None

    def __post_init__(self) -> None:
        self._features: dict[str, list[int]] = {}

    def row(self, concept: Concept, arm: str, prompts: Sequence[material.Prompt]) -> Row:
        """One concept under an arm: the means over the prompts, and all texts."""
        if arm == PROMPT_ONLY:
            asking = Arm(name=arm, system=f"Whatever you are asked, talk about {concept.name}.")
            found = self.stand.bench.measure(asking, prompts)
        else:
            found = self.stand.rows(self.state(concept, arm), prompts)
        rows = [judged_concept(row, concept, self.stand.bench.encoder) for row in found]
        features = self.features(concept) if arm == PRISM else []
        return {**_mean(rows), "features": features, "texts": [row["text"] for row in rows]}

    def state(self, concept: Concept, arm: str) -> steering.State | None:
        """What an arm pushes, at the target KL of a mode."""
        if arm == OFF:
            return None
        key = (CONCEPTS, concept.name)
        if arm in (PRISM, ZOMBIE):
            own = self.stand.equal((*key, PRISM), self._own(concept), _one_nat, self.effort)
            return own if arm == PRISM or own is None else steering.zombie(own)
        return self.stand.equal((*key, arm), self._make(concept, arm), _one_nat, self.effort)

    def features(self, concept: Concept) -> list[int]:
        """The features that tell the concept's texts from all others', kept by output score."""
        if concept.name not in self._features:
            workshop = self.stand.workshop
            assert workshop.sae is not None
            assert workshop.statistics is not None
            like = discovery.codes(workshop.sae, self._texts(concept))
            unlike = discovery.codes(workshop.sae, self._others(concept))
            proposed = discovery.proposals(like, unlike, workshop.statistics, count=24)
            scored = discovery.scored(workshop.reader, workshop.sae, proposed, norm=workshop.norm)
            kept = discovery.worth_steering(scored, most=_FEATURES, least=1)
            self._features[concept.name] = [found.feature for found in kept]
        return self._features[concept.name]

    def _own(self, concept: Concept) -> Make:
        return self.stand.features(self.features(concept), "clamp")

    def _make(self, concept: Concept, arm: str) -> Make:
        stand = self.stand
        number = [each.name for each in self.all_of].index(concept.name)
        if arm == RANDOM_FEATURE:
            return stand.random_features(len(self.features(concept)), "clamp", 100 + number)
        if arm == NOISE:
            return stand.along(stand.noise(100 + number))
        if arm == WRONG_SIGN:
            own = self._own(concept)
            return lambda strength: _negative(own(strength))
        like, unlike = self._texts(concept), self._others(concept)
        find = discovery.principal if arm == PCA else discovery.difference
        return stand.along(find(like, unlike))

    def _texts(self, concept: Concept) -> list[torch.Tensor]:
        return self.stand.residuals(concept.texts)

    def _others(self, concept: Concept) -> list[torch.Tensor]:
        return [
            rows
            for other in self.all_of
            if other.name != concept.name
            for rows in self._texts(other)
        ]


def _one_nat() -> float:
    return TARGET


def _negative(state: steering.State | None) -> steering.State | None:
    return None if state is None else steering.opposed(state)


def _mean(rows: Sequence[Row]) -> dict[str, Any]:
    """The mean of every figure over a concept's prompts; None where no row has it."""
    found: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows if isinstance(row[name], (int, float))]
        if values:
            found[name] = sum(values) / len(values)
    return found
