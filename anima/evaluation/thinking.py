"""`anima eval think`: is an answer right more often after a plan, a draft and a check of it?

It asks as `/think` asks, and knows no session. Beside it stand the plain answer and the better of
several plain ones, by the model's own likelihood, made of about as many tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anima.context import ChatFormat, Context, Segment, jinja_render
from anima.evaluation.costs import log_probabilities
from anima.evaluation.harness import Cell, Request, Row, Study, means
from anima.evaluation.matching import says
from anima.evaluation.opening import open_model
from anima.evaluation.questions import Question, arithmetic, facts, gsm8k
from anima.evaluation.replies import seed_of
from anima.runtime.opening import CORE, end_ids
from anima.runtime.thinking import STAGES, prompt_of
from anima.trunk.generation import generate_batch
from anima.trunk.settings import Sampling

if TYPE_CHECKING:
    from anima.trunk.loader import Loaded

LIMIT = 96
"""Tokens of an answer."""

PLAIN, THINK, BEST = "plain", "think", "best plain of 4"
ARMS = (PLAIN, THINK, BEST)

_COUNT = 16  # arithmetic questions of each kind, and those of a public set
_DRAWS = 4  # plain answers of the third arm
_VARIED = Sampling(temperature=0.7, top_p=0.9)
_NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stand:
    """A model that is asked; `usual` is the sampling of a chat with it."""

    loaded: "Loaded"
    base: Context
    ends: frozenset[int]
    usual: Sampling
    seed: int
    limit: int = LIMIT

    @classmethod
    def on(cls, loaded: "Loaded", seed: int, limit: int = LIMIT) -> "Stand":
        """Ready to ask a loaded model."""
        render = jinja_render(loaded.chat_template, loaded.special_tokens, lambda: _NOON)
        format = ChatFormat.of(render)
        base = Context.begin(loaded.tokenizer, format, [Segment(role="core", text=CORE)])
        usual = Sampling().changed(loaded.sampling)
        return cls(
            loaded=loaded,
            base=base,
            ends=end_ids(loaded, format),
            usual=usual,
            seed=seed,
            limit=limit,
        )

    def rows(self, arm: str, asked: Sequence[Question]) -> list[Row]:
        """What an arm answers to questions, whether it is right, and how many tokens it took."""
        if arm == PLAIN:
            return [_row(each, *self._text(said)) for each, said in self._plain(asked)]
        if arm == BEST:
            return self._best(asked)
        return self._thought(asked)

    def _plain(self, asked: Sequence[Question]) -> list[tuple[Question, Sequence[int]]]:
        prompts = [question.text for question in asked]
        return list(zip(asked, self._said(prompts, self.limit, self.usual, "answer"), strict=True))

    def _best(self, asked: Sequence[Question]) -> list[Row]:
        """Of several answers the one that the model finds likeliest, per token."""
        prompts = [question.text for question in asked]
        drawn = [self._said(prompts, self.limit, _VARIED, f"draw {n}") for n in range(_DRAWS)]
        rows: list[Row] = []
        for question, *answers in zip(asked, *drawn, strict=True):
            spoken = [answer for answer in answers if answer]
            best = max(spoken, key=lambda said: self._likelihood(question, said), default=())
            text, _ = self._text(best)
            rows.append(_row(question, text, sum(len(answer) for answer in answers)))
        return rows

    def _thought(self, asked: Sequence[Question]) -> list[Row]:
        before: list[dict[str, str]] = [{} for _ in asked]
        tokens = [0] * len(asked)
        for stage, limit in (*STAGES.items(), ("answer", self.limit)):
            prompts = [
                prompt_of(stage, question.text, known)
                for question, known in zip(asked, before, strict=True)
            ]
            for number, said in enumerate(
                self._said(prompts, min(limit, self.limit), self.usual, stage)
            ):
                before[number][stage] = self._text(said)[0].strip()
                tokens[number] += len(said)
        rows: list[Row] = [
            {
                **_row(question, known["answer"], count),
                "draft": float(says(known["draft"], question.answers)),
                "stages": {stage: known[stage] for stage in STAGES},
            }
            for question, known, count in zip(asked, before, tokens, strict=True)
        ]
        return rows

    def _said(
        self, prompts: Sequence[str], limit: int, sampling: Sampling, draw: str
    ) -> list[list[int]]:
        """A reply to each prompt; its draws depend on the prompt and on what it is for alone."""
        return generate_batch(
            self.loaded.trunk,
            [self._ids(prompt) for prompt in prompts],
            limit=limit,
            end_ids=self.ends,
            sampling=sampling,
            seeds=[seed_of(self.seed, f"{draw}\n{prompt}") for prompt in prompts],
        )

    def _ids(self, prompt: str) -> tuple[int, ...]:
        return self.base.ask([Segment(role="user", text=prompt)]).tokens().ids

    def _likelihood(self, question: Question, said: Sequence[int]) -> float:
        rows = log_probabilities(self.loaded.trunk, self._ids(question.text), said)
        return float(sum(rows[at, each] for at, each in enumerate(said))) / len(said)

    def _text(self, said: Sequence[int]) -> tuple[str, int]:
        return self.loaded.tokenizer.decode(said), len(said)


def prepare(request: Request) -> Study:
    """Every arm over arithmetic of one and two steps, facts, and `gsm8k`, a file, where one is given."""
    return study(request, open_model(request))


def study(request: Request, loaded: "Loaded", limit: int = LIMIT) -> Study:
    """The same on a model that is there already."""
    groups = {
        name: {question.text: question for question in asked}
        for name, asked in _questions(request).items()
    }
    stand = Stand.on(loaded, request.seed, limit)

    def measure(cells: Sequence[Cell]) -> list[Row]:
        asked = groups[cells[0].group]
        return stand.rows(cells[0].arm, [asked[cell.unit] for cell in cells])

    info = loaded.trunk.info
    return Study(
        name="think",
        unit="question",
        cells=tuple(
            Cell(group=group, arm=arm, unit=unit)
            for group, asked in groups.items()
            for arm in ARMS
            for unit in asked
        ),
        measure=measure,
        tabulate=means(["exact", "draft", "tokens"]),
        settings={
            "model": info.fingerprint, "engine": info.engine, "quantize": info.quantize,
            "size": request.size, "seed": request.seed, "groups": list(groups), "limit": limit,
        },
        batch=20,
        close=loaded.trunk.close,
    )  # fmt: skip


def _questions(request: Request) -> Mapping[str, Sequence[Question]]:
    few = 3 if request.size == "smoke" else _COUNT
    groups: dict[str, Sequence[Question]] = {
        "one step": arithmetic(request.seed, few, steps=1),
        "two steps": arithmetic(request.seed, few, steps=2),
        "facts": facts()[: 3 if request.size == "smoke" else None],
    }
    if path := request.options.get("gsm8k"):
        groups["gsm8k"] = gsm8k(Path(path), request.seed, few)
    return groups


def _row(question: Question, text: str, tokens: int) -> dict[str, Any]:
    return {"text": text, "exact": float(says(text, question.answers)), "tokens": tokens}
