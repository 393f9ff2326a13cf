"""`anima eval stability`: does the same vector hold on prompts unlike those it was made with?

Every shipped mode, its strength as it ships, on everyday prompts and on stories, code, arithmetic
and French; beside it the model without, noise of the same norm, and the difference of means at the
same KL on everyday prompts. The prompt is the unit.
"""

from collections.abc import Sequence

from anima.evaluation import material
from anima.evaluation.arms import Stand, open_stand, study_of
from anima.evaluation.harness import (
    MEAN_DIFFERENCE,
    OFF,
    PLACEBO,
    Cell,
    Request,
    Row,
    Study,
)
from anima.evaluation.material import MODES
from anima.evaluation.replies import COLUMNS
from anima.evaluation.steering import PRISM, ModeArms

ARMS = (OFF, PRISM, MEAN_DIFFERENCE, PLACEBO)
EVERYDAY = "everyday"


def prepare(request: Request) -> Study:
    """Every shipped mode on every kind of prompt; raises UsageError without an SAE."""
    return study(request, open_stand(request, "stability"))


def study(request: Request, stand: Stand) -> Study:
    """The same on a stand that is there already."""
    few = 2 if request.size == "smoke" else None
    everyday = [prompt for prompt in material.prompts("open", "report") if not prompt.fresh]
    kinds = {EVERYDAY: everyday, **material.out_of_distribution()}
    asked = {kind: {p.text: p for p in prompts[:few]} for kind, prompts in kinds.items()}
    names = [name for name in MODES if name in stand.shelf.names()]
    modes = ModeArms(stand=stand)

    def measure(cells: Sequence[Cell]) -> list[Row]:
        mode, kind = cells[0].group.split(": ")
        return modes.rows(mode, cells[0].arm, [asked[kind][cell.unit] for cell in cells])

    cells = [
        Cell(group=f"{mode}: {kind}", arm=arm, unit=unit)
        for mode in names
        for kind, prompts in asked.items()
        for arm in ARMS
        for unit in prompts
    ]
    return study_of(
        "stability", request, stand, cells, measure, COLUMNS, unit="prompt", modes=names
    )
