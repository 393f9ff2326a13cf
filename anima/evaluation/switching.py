"""`anima eval switching`: is an automatic choice of mode right, and how often does it switch.

It trains nothing and knows nothing of what modes do.

The texts are `material.unseen_turns` and `material.conversations`; no classifier may have seen
them. A choice is any function from a user's text to the chance of each mode.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy

from anima.errors import UsageError
from anima.evaluation.harness import Cell, Line, Request, Row, Study, grouped, means
from anima.evaluation.material import MODES, LabelledTurn, conversations, unseen_turns
from anima.evaluation.opening import open_model
from anima.evaluation.statistics import Estimate, bootstrap_macro_f1

if TYPE_CHECKING:
    from anima.trunk.interface import Trunk

Chances = Mapping[str, float]
Choice = Callable[[str], Chances]
Follow = Callable[[Sequence[Chances]], Sequence[str]]
"""From the chances of a conversation's turns to the mode in force at each; adds hysteresis."""

SEED_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "dream": ("imagine", "paint", "describe", "look", "see", "aria"),
    "system": ("system", "log", "status", "kernel", "override", "kael", "code"),
}
"""The known implementation's list, matched as substrings; anima where none is found."""

KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "anima": (
        "i feel", "feel", "sad", "happy", "love", "lonely", "afraid", "scared", "heart", "crying",
        "sorry", "friend", "worried", "angry", "tired", "miss", "i'm", "i am", "my", "me",
    ),
    "system": (
        "what is", "what are", "how many", "how do", "how does", "how much", "explain", "define",
        "list", "code", "function", "calculate", "convert", "data", "which", "when", "translate",
        "difference", "compare", "who", "average",
    ),
    "dream": (
        "dream", "imagine", "imaginary", "story", "poem", "tale", "magic", "moon", "invent",
        "fantasy", "describe", "song", "once upon", "make up", "myth", "legend", "lullaby",
        "haiku", "verse", "verses",
    ),
}  # fmt: skip
"""A longer list, matched as whole words: what a careful author would write."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Macro-F1 over all turns and over the traps alone, and how often each mode was confused."""

    macro_f1: Estimate
    on_traps: Estimate
    confusion: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """Switches per 100 turns, those that the talk calls for, and the share of turns in its mode."""

    switches: float
    called_for: float
    right: float
    turns: int


def most_likely(chances: Sequence[Chances]) -> list[str]:
    """The likeliest mode of each turn by itself: no hysteresis."""
    return [max(each, key=lambda mode: (each[mode], mode)) for each in chances]


def seed_keywords(text: str) -> dict[str, float]:
    """The known implementation's choice: the first of dream and system with a substring in the text."""
    low = text.lower()
    found = [mode for mode, words in SEED_KEYWORDS.items() if any(word in low for word in words)]
    return _certain(found[0] if found else "anima")


def keywords(text: str) -> dict[str, float]:
    """The mode with most of the longer list's words in the text, system where there is none."""
    low = text.lower()
    hits = {
        mode: sum(re.search(rf"\b{re.escape(word)}\b", low) is not None for word in words)
        for mode, words in KEYWORDS.items()
    }
    return _certain(max(hits, key=lambda mode: (hits[mode], mode == "system")))


def _certain(choice: str) -> dict[str, float]:
    return {mode: float(mode == choice) for mode in MODES}


def one_class(text: str) -> dict[str, float]:
    """The majority class, whatever the text."""
    return _certain("system")


def judge(
    choose: Choice, turns: Sequence[LabelledTurn], generator: numpy.random.Generator
) -> Judgement:
    """How right a choice is on single turns; a turn is the unit of the intervals."""
    truth = [turn.mode for turn in turns]
    said = most_likely([choose(turn.text) for turn in turns])
    traps = [index for index, turn in enumerate(turns) if turn.trap]
    return Judgement(
        macro_f1=bootstrap_macro_f1(truth, said, MODES, generator),
        on_traps=bootstrap_macro_f1(
            [truth[i] for i in traps], [said[i] for i in traps], MODES, generator
        ),
        confusion={
            mode: {
                other: sum(t == mode and s == other for t, s in zip(truth, said, strict=True))
                for other in MODES
            }
            for mode in MODES
        },
    )


def steadiness(
    choose: Choice, talk: Sequence[LabelledTurn], *, follow: Follow = most_likely
) -> Steadiness:
    """How often a choice switches over one conversation, under a rule that may add hysteresis."""
    modes = list(follow([choose(turn.text) for turn in talk]))
    truth = [turn.mode for turn in talk]
    return Steadiness(
        switches=100 * _changes(modes) / len(talk),
        called_for=100 * _changes(truth) / len(talk),
        right=sum(a == b for a, b in zip(modes, truth, strict=True)) / len(talk),
        turns=len(talk),
    )


def _changes(modes: Sequence[str]) -> int:
    return sum(before != after for before, after in pairwise(modes))


AUTO, STEADY, KEYWORD, SEED_KEYWORD, MAJORITY = (
    "auto", "auto with hysteresis", "keywords", "seed's keywords", "one class",
)  # fmt: skip
_TURNS, _TALKS = "turns", "talks"


def prepare(request: Request) -> Study:
    """The shipped choice of the model in force, beside keyword lists and the majority class.

    Raises UsageError where no choice of mode ships for the model.
    """
    from datetime import UTC, datetime

    from anima.context import ChatFormat, jinja_render
    from anima.prism.contrast import Reader
    from anima.runtime.furnishing import furnish

    switcher = furnish(request.settings.model, request.home).switcher
    if switcher is None:
        raise UsageError(
            f"No automatic choice of mode ships for {request.settings.model}: try --model smollm2."
        )
    loaded = open_model(request)
    render = jinja_render(loaded.chat_template, loaded.special_tokens, lambda: datetime.now(UTC))
    reader = Reader(trunk=loaded.trunk, encoder=loaded.tokenizer, format=ChatFormat.of(render))
    return study(request, switcher.on(reader).chances, loaded.trunk, digest=switcher.digest)


def study(
    request: Request, choose: Choice, trunk: "Trunk | None" = None, *, digest: str = ""
) -> Study:
    """The same for any choice; at smoke size over every fourth turn and one talk.

    `digest` is that of the classifier: cells of another one are not gone on with.
    """
    turns = {turn.text: turn for turn in unseen_turns()[:: 4 if request.size == "smoke" else 1]}
    talks = dict(list(conversations().items())[: 1 if request.size == "smoke" else None])
    choices = {AUTO: choose, KEYWORD: keywords, SEED_KEYWORD: seed_keywords, MAJORITY: one_class}

    def measure(cells: Sequence[Cell]) -> list[Row]:
        arm = cells[0].arm
        choice = choices[AUTO if arm == STEADY else arm]
        if cells[0].group == _TURNS:
            return [_turn_row(turns[cell.unit], choice) for cell in cells]
        follow = with_hysteresis if arm == STEADY else most_likely
        return [_talk_row(steadiness(choice, talks[cell.unit], follow=follow)) for cell in cells]

    cells = [Cell(group=_TURNS, arm=arm, unit=unit) for arm in choices for unit in turns]
    cells += [
        Cell(group=_TALKS, arm=arm, unit=unit) for arm in (*choices, STEADY) for unit in talks
    ]
    return Study(
        name="switching",
        unit="turn or talk",
        cells=tuple(cells),
        measure=measure,
        tabulate=_tabulate,
        settings={
            "size": request.size,
            "seed": request.seed,
            "model": "" if trunk is None else trunk.info.fingerprint,
            "classifier": digest,
        },
        batch=32,
        close=(lambda: None) if trunk is None else trunk.close,
    )


def with_hysteresis(chances: Sequence[Chances]) -> list[str]:
    """The mode at each turn under the Prism's own rule, beginning as a chat does: without a mode."""
    from anima.prism.force import OFF
    from anima.prism.switching import Hysteresis, Leaning, leaned

    leaning, modes = Leaning(mode=OFF), []
    for each in chances:
        leaning = leaned(leaning, each, Hysteresis())
        modes.append(leaning.mode)
    return modes


def _turn_row(turn: LabelledTurn, choose: Choice) -> Row:
    chances = choose(turn.text)
    said = most_likely([chances])[0]
    return {"mode": turn.mode, "trap": turn.trap, "said": said, "chance": float(chances[said])}


def _talk_row(found: Steadiness) -> Row:
    return {
        "switches per 100": found.switches,
        "called for": found.called_for,
        "right": found.right,
    }


def _tabulate(rows: Sequence[Row], generator: numpy.random.Generator) -> list[Line]:
    lines = []
    for (group, arm), members in grouped(rows).items():
        if group != _TURNS:
            continue
        figures = {"macro-F1": _f1_of(members, generator)}
        if traps := [row for row in members if row["trap"]]:
            figures["macro-F1 on traps"] = _f1_of(traps, generator)
        lines.append(Line(group=group, arm=arm, figures=figures))
    talks = [row for row in rows if row["group"] == _TALKS]
    return lines + means(["switches per 100", "called for", "right"])(talks, generator)


def _f1_of(rows: Sequence[Row], generator: numpy.random.Generator) -> Estimate:
    truth, said = [row["mode"] for row in rows], [row["said"] for row in rows]
    return bootstrap_macro_f1(truth, said, MODES, generator)
