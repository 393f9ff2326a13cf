"""`anima eval judge`: how well the blind style classifiers tell styles apart; runs no language model."""

from collections.abc import Callable, Sequence

import numpy

from anima.evaluation.classifier import by_words, open_classifier
from anima.evaluation.harness import SHUFFLED, Cell, Line, Request, Row, Study, grouped
from anima.evaluation.material import STYLES, StyledReplies, styled_replies
from anima.evaluation.statistics import bootstrap, bootstrap_macro_f1, by_unit

MAJORITY = "one class"
Judge = Callable[[Sequence[str]], list[str]]


def prepare(request: Request) -> Study:
    """Held-out questions, judged by sentences (unless `--judge words`), words, and two controls."""
    trained = styled_replies("train")
    judges: dict[str, Judge] = {}
    if request.judge == "sentences":
        found = open_classifier(request.home, "sentences", say=request.say)
        judges[found.name] = found.predict
    judges["words"] = by_words(trained).predict
    judges[SHUFFLED] = by_words(_shuffled(trained, request.seed)).predict
    judges[MAJORITY] = lambda texts: [STYLES[-1]] * len(texts)
    held_out = {reply.question: reply for reply in styled_replies("test")}
    units = list(held_out)[: 6 if request.size == "smoke" else None]

    def measure(cells: Sequence[Cell]) -> list[Row]:
        judge = judges[cells[0].arm]
        return [
            {"said": judge([held_out[cell.unit].replies[style] for style in STYLES])}
            for cell in cells
        ]

    return Study(
        name="judge",
        unit="question",
        cells=tuple(Cell(arm=arm, unit=unit) for arm in judges for unit in units),
        measure=measure,
        tabulate=_tabulate,
        settings={"size": request.size, "seed": request.seed, "judge": request.judge},
        batch=64,
    )


def _tabulate(rows: Sequence[Row], generator: numpy.random.Generator) -> list[Line]:
    lines = []
    for (group, arm), members in grouped(rows).items():
        truth = [style for _ in members for style in STYLES]
        said = [style for row in members for style in row["said"]]
        units = [row["unit"] for row in members for _ in STYLES]
        right = [(u, float(t == s)) for u, t, s in zip(units, truth, said, strict=True)]
        figures = {
            "accuracy": bootstrap(list(by_unit(right).values()), generator),
            "macro-F1": bootstrap_macro_f1(truth, said, STYLES, generator, groups=units),
        }
        lines.append(Line(group=group, arm=arm, figures=figures))
    return lines


def _shuffled(replies: Sequence[StyledReplies], seed: int) -> list[StyledReplies]:
    """The same replies, each question's styles dealt anew: nothing is left to learn."""
    generator = numpy.random.default_rng(seed)
    dealt = []
    for reply in replies:
        order = [STYLES[i] for i in generator.permutation(len(STYLES))]
        texts = {style: reply.replies[other] for style, other in zip(STYLES, order, strict=True)}
        dealt.append(StyledReplies(question=reply.question, replies=texts))
    return dealt
