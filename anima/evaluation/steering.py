"""`anima eval steering`: what modes and single features do, beside controls at equal KL.

Prompts are of the report half and of no part of discovery or calibration. Modes: the shipped ones
on everyday prompts, a prompt being the unit. Concepts: what `anima mode create` makes of the texts
of 24 single concepts, on prompts that call for no topic, a concept being the unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

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
from anima.prism.build import TAKING, Candidate, build
from anima.prism.calibration import TARGET
from anima.prism.contrast import Contrast
from anima.prism.mode import STRONGEST
from anima.runtime.modes import shipped_contrast
from anima.steering.controls import opposed, placebo, zombie
from anima.steering.push import Push
from anima.steering.state import State

PRISM = "prism"
CONCEPTS = "concepts"
MODE_ARMS = (
    OFF, PRISM, NOISE, RANDOM_FEATURE, MEAN_DIFFERENCE, PROMPT_ONLY, PLACEBO, PCA, WRONG_SIGN,
    ZOMBIE,
)  # fmt: skip
"""In the order in which they are measured: a run that is cut short has what matters most."""
CONCEPT_ARMS = tuple(arm for arm in MODE_ARMS if arm != PLACEBO)
_SEED = 7
_FEATURES = 3  # drawn at random beside a single concept
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
        stand=stand, all_of=material.concepts(), effort=None if smoke else LITTLE,
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

    def state(self, mode: str, arm: str) -> State | None:
        """What an arm pushes; the controls at the KL of the mode itself."""
        stand, found = self.stand, self.stand.shelf.load(mode)
        own = stand.workshop.state(found.pushes())
        if arm == OFF or own is None:
            return None
        if arm == PRISM:
            return own
        if arm == ZOMBIE:
            return zombie(own)
        if arm == PLACEBO:
            return placebo(own, torch.Generator().manual_seed(_SEED))
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


def _opposed(stand: Stand, pushes: Callable[[float], tuple[Push, ...]]) -> Make:
    """Minus a mode's delta; its overall strength is eight times the solver's, so that 1 is within."""
    asked = [abs(push.strength) for push in pushes(1.0) if push.operation not in TAKING]
    most = min(STRONGEST, 1 / max(asked, default=1.0))

    def make(strength: float) -> State | None:
        state = stand.workshop.state(pushes(min(most, 8 * strength)))
        return None if state is None else opposed(state)

    return make


def _direction(stand: Stand, contrast: Contrast, arm: str) -> torch.Tensor:
    like, unlike = (
        stand.workshop.residuals(contrast.like),
        stand.workshop.residuals(contrast.unlike),
    )
    return discovery.principal(like, unlike) if arm == PCA else discovery.difference(like, unlike)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConceptArms:
    """The arms of single concepts; `all_of` are the concepts whose texts each is told from.

    The Prism's is the mode that `anima mode create` makes of the same texts, as it makes it.
    """

    stand: Stand
    all_of: Sequence[Concept]
    effort: Effort | None = None
    _built: dict[str, Candidate] = field(default_factory=dict)

    def row(self, concept: Concept, arm: str, prompts: Sequence[material.Prompt]) -> Row:
        """One concept under an arm: the means over the prompts, and all texts."""
        if arm == PROMPT_ONLY:
            asking = Arm(name=arm, system=f"Whatever you are asked, talk about {concept.name}.")
            found = self.stand.bench.measure(asking, prompts)
        else:
            found = self.stand.rows(self.state(concept, arm), prompts)
        rows = [judged_concept(row, concept, self.stand.bench.encoder) for row in found]
        row = {**_mean(rows), "texts": [row["text"] for row in rows]}
        if arm != PRISM:
            return row
        made = self.built(concept)
        features = [push.feature for push in made.mode.features]
        return {**row, "built": made.name, "features": features}

    def state(self, concept: Concept, arm: str) -> State | None:
        """What an arm pushes, at the target KL of a mode."""
        if arm == OFF:
            return None
        if arm in (PRISM, ZOMBIE):
            own = self.stand.workshop.state(self.built(concept).mode.pushes())
            return own if arm == PRISM or own is None else zombie(own)
        key = (CONCEPTS, concept.name, arm)
        return self.stand.equal(key, self._make(concept, arm), _one_nat, self.effort)

    def built(self, concept: Concept) -> Candidate:
        """What `anima mode create` makes of the concept's texts and all others'; made once."""
        if concept.name not in self._built:
            others = [t for o in self.all_of if o.name != concept.name for t in o.texts]
            self._built[concept.name] = build(
                self.stand.workshop, Contrast(like=concept.texts, unlike=tuple(others)),
                name=concept.name, description=concept.definition,
            ).best  # fmt: skip
        return self._built[concept.name]

    def _make(self, concept: Concept, arm: str) -> Make:
        stand = self.stand
        number = [each.name for each in self.all_of].index(concept.name)
        if arm == RANDOM_FEATURE:
            return stand.random_features(_FEATURES, "clamp", 100 + number)
        if arm == NOISE:
            return stand.along(stand.noise(100 + number))
        if arm == WRONG_SIGN:
            return _opposed(stand, self.built(concept).mode.pushes)
        like, unlike = stand.workshop.residuals(concept.texts), self._others(concept)
        find = discovery.principal if arm == PCA else discovery.difference
        return stand.along(find(like, unlike))

    def _others(self, concept: Concept) -> list[torch.Tensor]:
        others = [other for other in self.all_of if other.name != concept.name]
        return [rows for other in others for rows in self.stand.workshop.residuals(other.texts)]


def _one_nat() -> float:
    return TARGET


def _mean(rows: Sequence[Row]) -> dict[str, Any]:
    """The mean of every figure over a concept's prompts; None where no row has it."""
    found: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows if isinstance(row[name], (int, float))]
        if values:
            found[name] = sum(values) / len(values)
    return found
