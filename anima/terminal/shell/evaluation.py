"""`anima eval`: measures a mechanism beside its controls, and shows the table.

At start this module imports click and the errors, nothing else.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anima.errors import UsageError
from anima.terminal import flags

if TYPE_CHECKING:
    from anima.evaluation.harness import Outcome, Request, Study
    from anima.evaluation.statistics import Estimate
    from anima.terminal.screen import Screen

_FILE, _FOLDER = click.Path(dir_okay=False), click.Path(file_okay=False)

_OWN: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "locomo": (
        ("recall",), {"type": _FILE, "metavar": "PATH"},
        "ask the questions of LoCoMo (locomo10.json) instead.",
    ),
    "longmemeval": (
        ("recall",), {"type": _FILE, "metavar": "PATH"},
        "ask the questions of LongMemEval (longmemeval_s.json) instead.",
    ),
    "encoder": (
        ("recall",), {"multiple": True, "metavar": "NAME"},
        "what makes vectors of texts; several are compared. 'letters' needs no model.",
    ),
    "half": (
        ("recall", "lives"), {"type": click.Choice(["tune", "report"])},
        "the wordings to tune on, or those held out for the figures (the default).",
    ),
    "lives": (
        ("lives",), {"type": _FOLDER, "metavar": "FOLDER"},
        "where lived lives are kept, so that each is lived through once.",
    ),
    "gsm8k": (
        ("think",), {"type": _FILE, "metavar": "PATH"},
        "ask questions of GSM8K too, from a file of yours.",
    ),
}  # fmt: skip
"""The options of few evaluations: whose they are, what they take, what they do."""


def _own(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_OWN`, each with the evaluations it belongs to in its help."""
    for name, (owners, takes, does) in reversed(_OWN.items()):
        command = click.option(f"--{name}", help=f"{', '.join(owners)}: {does}", **takes)(command)
    return command


@click.command("eval")
@click.argument("name", required=False)
@click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the table and every row there; what is finished is kept beside it.",
)
@click.option(
    "--size",
    type=click.Choice(["smoke", "full"]),
    default="smoke",
    help="A few units, to see that it runs (the default), or all of them.",
)
@click.option("--budget", type=float, metavar="MINUTES", help="Stop after this long; go on later.")
@click.option("--seed", type=int, default=0, metavar="N", help="The seed of all that is drawn.")
@click.option(
    "--judge",
    type=click.Choice(["sentences", "words"]),
    default="sentences",
    help="What judges style: a sentence encoder (fetched once, 35 MB), or words alone.",
)
@_own
@flags.running
@flags.home
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    name: str | None,
    file: str | None,
    size: Any,
    budget: float | None,
    seed: int,
    judge: Any,
    **options: Any,
) -> None:
    """Measure what a mechanism does, beside its controls.

    Without NAME it shows what there is. With --json FILE a run that was stopped goes on where it
    was when the same command is given again. Every figure comes with a 95 % interval over whole
    units, never over tokens.
    """
    from anima.evaluation import catalog, harness

    if budget is not None and not budget > 0:
        raise UsageError(f"--budget {budget:g} cannot be: it is minutes, above 0.")
    if seed < 0:
        raise UsageError(f"--seed {seed} cannot be: it is a whole number from 0 up.")
    home, settings, screen = flags.surroundings(ctx)
    if name is None:
        _list(screen)
        return
    request = harness.Request(
        home=home,
        settings=settings,
        size=size,
        seed=seed,
        judge=judge,
        say=screen.progress,
        options=_own_options(name, options),
    )
    target = None if file is None else Path(file).absolute()
    outcome = _measured(catalog.prepare(name, request), request, target, budget)
    if target is not None:
        harness.write_report(target, outcome)
    _show(screen, outcome, target)


def _own_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given and are of few evaluations; UsageError for another one."""
    given = {option: value for option, value in options.items() if value}
    for option in given:
        if name not in _OWN[option][0]:
            owners = " and ".join(f"`anima eval {owner}`" for owner in _OWN[option][0])
            raise UsageError(f"--{option} belongs to {owners}, not to {name!r}.")
    return given


def _measured(
    study: "Study", request: "Request", target: Path | None, minutes: float | None
) -> "Outcome":
    """Run a study to its end or its budget's, and give back what it holds."""
    import time

    from anima.evaluation import harness

    try:
        return harness.run(
            study,
            seed=request.seed,
            journal=None if target is None else harness.journal_of(target),
            minutes=minutes,
            clock=time.monotonic,
            say=request.say,
        )
    finally:
        study.close()


def _list(screen: "Screen") -> None:
    from anima.evaluation.catalog import EVALUATIONS
    from anima.terminal.reports import print_table

    print_table(
        screen, ("EVALUATION", ""), [(each.name, each.help) for each in EVALUATIONS.values()]
    )
    screen.note("anima eval NAME runs one; --size full for figures to report.")


def _show(screen: "Screen", outcome: "Outcome", target: Path | None) -> None:
    """The table, then what is missing and where the rest is."""
    from anima.terminal.reports import print_table

    columns = list(dict.fromkeys(name for line in outcome.lines for name in line.figures))
    grouped = any(line.group for line in outcome.lines)
    head = [*(["GROUP"] if grouped else []), "ARM", "N", *(name.upper() for name in columns)]
    rows = []
    for line in outcome.lines:
        n = max((figure.n for figure in line.figures.values()), default=0)
        cells = [_cell(line.figures.get(name)) for name in columns]
        rows.append([*([line.group] if grouped else []), line.arm, str(n), *cells])
    print_table(screen, head, rows)
    screen.note(f"n counts {outcome.unit}s; in brackets the 95 % interval over them.")
    if not outcome.complete:
        again = (
            "the same command goes on" if target else "with --json FILE it could be gone on with"
        )
        screen.note(f"{len(outcome.rows)} of {outcome.wanted} cells were measured: {again}.")
    if target is not None:
        screen.note(f"Wrote {target}.")


def _cell(figure: "Estimate | None") -> str:
    if figure is None:
        return ""
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
