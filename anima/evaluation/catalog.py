"""The evaluations by name and which module makes each ready; imports none of them by itself."""

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from anima.errors import UsageError
from anima.evaluation.harness import Request, Study


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation: its line of help, and the module whose `prepare(Request) → Study` it is."""

    name: str
    help: str
    module: str


EVALUATIONS = {
    evaluation.name: evaluation
    for evaluation in (
        Evaluation(
            name="judge",
            help="How well the blind style classifier tells the styles apart.",
            module="anima.evaluation.judging",
        ),
        Evaluation(
            name="prompting",
            help="What asking alone does: a mode's wording as a system text, beside none.",
            module="anima.evaluation.prompting",
        ),
        Evaluation(
            name="switching",
            help="Whether the automatic choice of a mode is right, and how often it switches.",
            module="anima.evaluation.switching",
        ),
        Evaluation(
            name="steering",
            help="What modes and single features do, beside controls at equal KL and asking.",
            module="anima.evaluation.steering",
        ),
        Evaluation(
            name="negative",
            help="Does suppressing beat asking? Clamp, cap and ablation beside refusal by prompt.",
            module="anima.evaluation.negative",
        ),
        Evaluation(
            name="stability",
            help="Does a mode hold on stories, code, arithmetic and another language?",
            module="anima.evaluation.stability",
        ),
        Evaluation(
            name="recall",
            help="Does the memory find what holds, and only that? On seeded lives or public sets.",
            module="anima.evaluation.recall",
        ),
        Evaluation(
            name="lives",
            help="Does it know what it was told, after much other talk and a restart?",
            module="anima.evaluation.lives",
        ),
        Evaluation(
            name="into",
            help="What recalled lines do: quoted, as logit bias, kNN mixture, overlay on the model.",
            module="anima.evaluation.into",
        ),
        Evaluation(
            name="think",
            help="Does planning, drafting and checking before an answer make it right more often?",
            module="anima.evaluation.thinking",
        ),
    )
}


def prepare(name: str, request: Request) -> Study:
    """Make an evaluation ready; UsageError, naming the nearest, for one that is not there."""
    found = EVALUATIONS.get(name)
    if found is None:
        near = get_close_matches(name, EVALUATIONS, 1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"There is no evaluation {name!r}.{hint} There are: {', '.join(EVALUATIONS)}."
        )
    study = import_module(found.module).prepare(request)
    assert isinstance(study, Study)
    return study
