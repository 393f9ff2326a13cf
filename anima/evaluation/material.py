"""The packaged texts as typed values: prompts, concepts, styles, turns; runs no model.

Every prompt belongs to one half: `tune` to choose a strength, `report` for the figures. None of
these texts may be used to find or calibrate a feature, a vector or a mode.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from anima.errors import UsageError
from anima.evaluation.texts import read

Half = Literal["tune", "report"]
STYLES = ("anima", "system", "dream", "neutral")
MODES = ("anima", "system", "dream")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One request; `about` holds words of which an answer on the topic uses one (see `on_topic`).

    `answer` is the right one where there is exactly one, as in arithmetic. `fresh` prompts were
    written after the modes that ship were made, and before any reply to them was read.
    """

    text: str
    half: Half = "report"
    fresh: bool = False
    about: tuple[str, ...] = ()
    answer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Concept:
    """A single concept to steer towards.

    `promised` words make the output score of a feature, `texts` are for discovery. `judged` words
    and `definition` alone decide whether a text speaks of it; no promised word is a judged one.
    """

    name: str
    definition: str
    promised: tuple[str, ...]
    judged: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StyledReplies:
    """One question and its reply in each style of `STYLES`; the unit of the style classifier."""

    question: str
    replies: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class LabelledTurn:
    """A user's turn and the mode that it calls for; a trap's words point to another mode."""

    text: str
    mode: str
    trap: bool = False


def prompts(
    kind: Literal["open", "neutral", "fantastic"], half: Half | None = None
) -> list[Prompt]:
    """The prompts of one kind, of one half or of both.

    `open` are everyday requests, `neutral` call for no topic, `fantastic` call forth fantasy.
    """
    found = [_prompt(entry) for entry in read("prompts")[kind]]
    return [prompt for prompt in found if half in (None, prompt.half)]


def out_of_distribution() -> dict[str, list[Prompt]]:
    """Prompts unlike all others, by kind: stories, code, arithmetic, french."""
    sets = read("prompts")["out_of_distribution"]
    return {kind: [_prompt(entry) for entry in entries] for kind, entries in sets.items()}


def wording(mode: str, *, negated: bool = False) -> str:
    """The system text that asks for a mode, or, negated, that asks to avoid its opposite."""
    words = read("prompts")["wording"]
    if mode not in words:
        raise UsageError(f"There is no wording for mode {mode!r}. There are: {', '.join(words)}.")
    return str(words[mode]["do_not" if negated else "do"])


def refusal(place: Literal["system", "user", "fantasy_user"], **fields: str) -> str:
    """A request not to speak of something; `user` takes prompt and topic, `system` a topic."""
    return str(read("prompts")["refusal"][place]).format(**fields)


def concepts() -> list[Concept]:
    """The single concepts, in their fixed order."""
    return [
        Concept(
            name=entry["name"],
            definition=entry["definition"],
            promised=tuple(entry["promised"]),
            judged=tuple(entry["judged"]),
            texts=tuple(entry["texts"]),
        )
        for entry in read("concepts")["concept"]
    ]


def styled_replies(part: Literal["train", "test"]) -> list[StyledReplies]:
    """Every second question for training, the others for the test, so that no topic is in both."""
    entries = read("styles")["reply"][0 if part == "train" else 1 :: 2]
    return [
        StyledReplies(question=entry["question"], replies={s: entry[s] for s in STYLES})
        for entry in entries
    ]


def unseen_turns() -> list[LabelledTurn]:
    """The turns on which an automatic choice of mode is judged; none may be trained on."""
    data = read("switching")
    return [
        LabelledTurn(text=text, mode=mode, trap=part == "traps")
        for part in ("texts", "traps")
        for mode in MODES
        for text in data[part][mode]
    ]


def conversations() -> dict[str, list[LabelledTurn]]:
    """Scripted talks of 100 turns by name, each turn with the mode it calls for."""
    return {
        entry["name"]: [_turn(line) for line in entry["turns"].strip().splitlines()]
        for entry in read("switching")["conversation"]
    }


def _prompt(entry: Mapping[str, Any]) -> Prompt:
    return Prompt(
        text=entry["text"],
        half=entry.get("half", "report"),
        fresh=entry.get("fresh", False),
        about=tuple(entry.get("about", ())),
        answer=entry.get("answer"),
    )


def _turn(line: str) -> LabelledTurn:
    mode, _, text = line.partition("|")
    return LabelledTurn(text=text, mode=mode)
