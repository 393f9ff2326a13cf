"""`anima eval stability`: does the same vector hold on prompts unlike those it was made with?

Every shipped mode, its strength as it ships, on everyday prompts and on stories, code, arithmetic
and French; beside it the model without, noise of the same norm, and the difference of means at the
same KL on everyday prompts. The prompt is the unit.
"""

from collections.abc import Sequence

from anima.evaluation import material
from anima.evaluation.arms import Stand, need_sae, open_stand
from anima.evaluation.harness import (
    MEAN_DIFFERENCE,
    OFF,
    PLACEBO,
    Cell,
    Request,
    Row,
    Study,
    means,
)
from anima.evaluation.material import MODES
from anima.evaluation.replies import COLUMNS, model_settings, open_bench
from anima.evaluation.steering import PRISM, ModeArms

ARMS = (OFF, PRISM, MEAN_DIFFERENCE, PLACEBO)
EVERYDAY = "everyday"


def prepare(request: Request) -> Study:
    """Every shipped mode on every kind of prompt; raises UsageError without an SAE."""
    stand = open_stand(request, open_bench(request))
    need_sae(stand, "anima eval stability")
    return study(request, stand)


def study(request: Request, stand: Stand) -> Study:
    """The same on a stand that is there already."""
    few = 2 if request.size == "smoke" else None
    kinds = {EVERYDAY: material.prompts("open", "report"), **material.out_of_distribution()}
    asked = {kind: {p.text: p for p in prompts[:few]} for kind, prompts in kinds.items()}
    names = [name for name in MODES if name in stand.shelf.names()]
    modes = ModeArms(stand=stand)

    def measure(cells: Sequence[Cell]) -> list[Row]:
        mode, kind = cells[0].group.split(": ")
        return modes.rows(mode, cells[0].arm, [asked[kind][cell.unit] for cell in cells])

    return Study(
        name="stability",
        unit="prompt",
        cells=tuple(
            Cell(group=f"{mode}: {kind}", arm=arm, unit=unit)
            for mode in names
            for kind, prompts in asked.items()
            for arm in ARMS
            for unit in prompts
        ),
        measure=measure,
        tabulate=means(COLUMNS),
        settings={
            **model_settings(request, stand.bench),
            "modes": {name: stand.shelf.load(name).digest for name in names},
        },
        batch=12,
        close=stand.bench.loaded.trunk.close,
    )
