"""`anima eval prompting`: what asking for a mode does by itself; the arm that steering has to beat."""

from collections.abc import Sequence

from anima.evaluation.harness import OFF, PROMPT_ONLY, Cell, Request, Row, Study, means
from anima.evaluation.material import MODES, prompts, wording
from anima.evaluation.replies import COLUMNS, Arm, Bench, judged, model_settings, open_bench


def prepare(request: Request) -> Study:
    """Every mode, off and prompt only, over the report half of the open prompts."""
    return study(request, open_bench(request))


def study(request: Request, bench: Bench) -> Study:
    """The same on a bench that is there already."""
    asked = {prompt.text: prompt for prompt in prompts("open", "report")}
    units = list(asked)[: 4 if request.size == "smoke" else None]

    def measure(cells: Sequence[Cell]) -> list[Row]:
        mode = cells[0].group
        arm = Arm(name=cells[0].arm, system=wording(mode) if cells[0].arm == PROMPT_ONLY else "")
        rows = bench.measure(arm, [asked[cell.unit] for cell in cells])
        return [judged(row, mode) for row in rows]

    return Study(
        name="prompting",
        unit="prompt",
        cells=tuple(
            Cell(group=mode, arm=arm, unit=unit)
            for mode in MODES
            for arm in (OFF, PROMPT_ONLY)
            for unit in units
        ),
        measure=measure,
        tabulate=means(COLUMNS),
        settings=model_settings(request, bench),
        close=bench.loaded.trunk.close,
    )
