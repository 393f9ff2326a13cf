"""Questions with exact answers: arithmetic from a seed, packaged facts, a public set; runs no model."""

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anima.errors import UsageError
from anima.evaluation.texts import read

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")

ONE_STEP = (
    ("What is {a} plus {b}?", lambda a, b: a + b),
    ("What is {a} minus {b}?", lambda a, b: a - b),
    ("What is {a} times {b}?", lambda a, b: a * b),
    ("Ann has {a} marbles and finds {b} more. How many marbles does she have now?",
     lambda a, b: a + b),
    ("A shelf holds {a} books. {b} of them are taken away. How many books are left?",
     lambda a, b: a - b),
    ("There are {b} boxes with {a} pens in each. How many pens are there?", lambda a, b: a * b),
)  # fmt: skip

TWO_STEPS = (
    ("Add {b} to {a}, then multiply by {c}. What do you get?", lambda a, b, c: (a + b) * c),
    ("What is {a} times {c}, minus {b}?", lambda a, b, c: a * c - b),
    ("Tom has {a} apples, eats {b} of them and buys {c} new ones. How many apples does he have?",
     lambda a, b, c: a - b + c),
    ("There are {c} bags with {a} sweets in each, and {b} sweets are eaten. How many are left?",
     lambda a, b, c: a * c - b),
    ("A pen costs {c} coins. Lea buys {b} pens and had {a}0 coins before. How many coins are left?",
     lambda a, b, c: 10 * a - b * c),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question and its right answers, any of which will do."""

    text: str
    answers: tuple[str, ...]


def arithmetic(seed: int, count: int, *, steps: int) -> list[Question]:
    """So many different questions of one or two steps with small whole numbers, none negative."""
    chance = random.Random(f"{steps} {seed}")
    forms = ONE_STEP if steps == 1 else TWO_STEPS
    made: dict[str, Question] = {}
    while len(made) < count:
        form, result = forms[len(made) % len(forms)]
        numbers = {"a": chance.randint(6, 20), "b": chance.randint(2, 5)}
        if steps == 2:
            numbers["c"] = chance.randint(2, 4)
        text = form.format(**numbers)
        made[text] = Question(text=text, answers=(str(result(**numbers)),))
    return list(made.values())


def facts() -> list[Question]:
    """The packaged questions of common knowledge."""
    return [
        Question(text=entry["question"], answers=tuple(entry["answers"]))
        for entry in read("questions")["fact"]
    ]


def gsm8k(path: Path, seed: int, count: int) -> list[Question]:
    """So many questions of a GSM8K file (JSON, or one JSON object a line), drawn by the seed.

    An entry has `question` and `answer` (the number after ####), or `instruction` and `output`
    (its last number). Raises UsageError for a file that is not like that.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}. Give a GSM8K file.") from error
    try:
        entries = _entries(text)
        found = [each for each in map(_question, entries) if each is not None]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is no GSM8K file: {error!r}.") from error
    if not found:
        raise UsageError(f"{path} holds no question with a whole number for an answer.")
    return random.Random(seed).sample(found, min(count, len(found)))


def _entries(text: str) -> list[Mapping[str, Any]]:
    if text.lstrip().startswith("["):
        return list(json.loads(text))
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _question(entry: Mapping[str, Any]) -> Question | None:
    asked = entry["question"] if "question" in entry else entry["instruction"]
    worked = entry["answer"] if "answer" in entry else entry["output"]
    numbers = _NUMBER.findall(worked.rpartition("####")[2])
    answer = numbers[-1].replace(",", "").removesuffix(".00") if numbers else ""
    return Question(text=asked, answers=(answer,)) if re.fullmatch(r"-?\d+", answer) else None
