"""The arms of a steering evaluation, brought to equal KL; knows states and rows, and no table.

Every arm is a way to push the same layer. Its strength is solved so that the 95th percentile of
KL(steered ‖ base) on the calibration prompts is that of the mechanism under test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anima.errors import UsageError
from anima.evaluation.harness import Cell, Request, Row, Size, Study, means, with_fresh
from anima.evaluation.material import STYLES, Prompt
from anima.evaluation.replies import (
    Bench,
    fluency,
    model_settings,
    open_bench,
    seed_of,
    topical,
)
from anima.prism import calibration
from anima.prism.build import CALIBRATION
from anima.prism.measuring import Asked, Said, said
from anima.prism.workshop import Workshop
from anima.runtime.furnishing import furnish
from anima.runtime.modes import open_workshop
from anima.steering.push import Push
from anima.steering.state import State

if TYPE_CHECKING:
    from anima.prism.shelf import Shelf

Make = Callable[[float], State | None]
"""A state at a strength; None for one that asks for nothing."""

_BATCH = 16  # prompts answered together
_STRONGEST = 0.5
_START = 0.15


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much a calibration may cost: prompts, greedy tokens of each, evaluations."""

    prompts: int
    tokens: int
    evaluations: int


LITTLE = Effort(prompts=4, tokens=20, evaluations=4)
"""For arms of which there are hundreds, each on a few prompts."""

EFFORTS: dict[Size, Effort] = {
    "smoke": Effort(prompts=3, tokens=16, evaluations=3),
    "full": Effort(prompts=8, tokens=32, evaluations=6),
}


@dataclass(kw_only=True, eq=False)
class Stand:
    """A bench with a workshop: speaks under pushes and solves strengths, each question read once."""

    bench: Bench
    workshop: Workshop
    shelf: "Shelf"
    effort: Effort
    _asked: dict[tuple[str, ...], Asked] = field(default_factory=dict)
    _solved: dict[tuple[str, ...], State | None] = field(default_factory=dict)

    def rows(self, push: State | None, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
        """Each prompt answered under a push: its text, styles, fluency and price."""
        texts = tuple(prompt.text for prompt in prompts)
        replies = said(
            self.workshop.reader.trunk, self._read(texts), layer=self.workshop.layer, push=push,
            limit=self.bench.limit, end_ids=self.workshop.end_ids, sampling=self.bench.sampling,
            seeds=[seed_of(self.bench.seed, text) for text in texts],
        )  # fmt: skip
        return self._judged(prompts, replies)

    def cost(self, state: State | None, effort: Effort | None = None) -> float:
        """The p95 of KL over greedy tokens on the calibration prompts, in nats."""
        own = effort or self.effort
        base = self._read(CALIBRATION[: own.prompts])
        return calibration.percentile(self.workshop.said(base, state, own.tokens))

    def equal(
        self,
        key: tuple[str, ...],
        make: Make,
        target: Callable[[], float],
        effort: Effort | None = None,
    ) -> State | None:
        """The state at the strength where its cost is nearest to `target`; solved once a key."""
        own = effort or self.effort
        if key not in self._solved:
            found = calibration.solve(
                lambda strength: self.cost(make(strength), own), target(),
                start=_START, lowest=0.005, highest=_STRONGEST, evaluations=own.evaluations,
            )  # fmt: skip
            self._solved[key] = make(found.strength)
        return self._solved[key]

    def along(self, direction: Tensor) -> Make:
        """A dense direction, added."""
        return lambda strength: self.workshop.state(
            [Push(operation="add", strength=strength, direction=direction)]
        )

    def random_features(self, count: int, operation: str, seed: int) -> Make:
        """So many live features drawn at random, pushed alike; a random direction without an SAE."""
        statistics = self.workshop.statistics
        if statistics is None:
            return self.along(self.noise(seed))
        live = statistics.live.nonzero()[:, 0]
        generator = torch.Generator().manual_seed(seed)
        drawn = live[torch.randperm(len(live), generator=generator)[:count]].tolist()
        return self.features(drawn, operation)

    def features(self, chosen: Sequence[int], operation: str) -> Make:
        """Features pushed alike, about as long together as one push of the strength.

        Decoder rows of different features are nearly orthogonal, so lengths add up as squares do.
        """
        share = 1 / len(chosen) ** 0.5
        return lambda strength: self.workshop.state(
            [
                Push(operation=operation, strength=strength * share, feature=feature)
                for feature in chosen
            ]
        )

    def noise(self, seed: int) -> Tensor:
        """A Gaussian direction `[d]`."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self.workshop.info.width, generator=generator)

    def _read(self, texts: Sequence[str]) -> Asked:
        key = tuple(texts)
        if key not in self._asked:
            self._asked[key] = self.workshop.prompts(key)
        return self._asked[key]

    def _judged(self, prompts: Sequence[Prompt], replies: Sequence[Said]) -> list[dict[str, Any]]:
        texts = self.workshop.texts(replies)
        styles = self.bench.classifier.probabilities(texts)
        return [
            {
                "text": text,
                "tokens": len(reply.ids),
                **{f"style {name}": float(p) for name, p in zip(STYLES, row, strict=True)},
                **fluency(text, self.bench.known),
                "on topic": topical(text, prompt),
                **_price(reply),
            }
            for prompt, reply, text, row in zip(prompts, replies, texts, styles, strict=True)
        ]


def _price(reply: Said) -> dict[str, float | None]:
    """NLL under the bare model and KL, in nats; the end token is none of the reply's own."""
    count = len(reply.ids)
    if count == 0:
        return {"NLL": None, "KL": None, "KL p95": None}
    kl = reply.kl[:count]
    return {
        "NLL": float(reply.surprisal[:count].mean()),
        "KL": float(kl.mean()),
        "KL p95": float(kl.quantile(0.95)),
    }


def open_stand(request: Request, evaluation: str) -> Stand:
    """The stand over a model with what ships for it; raises UsageError where it has no SAE."""
    bench = open_bench(request)
    furniture = furnish(request.settings.model, request.home)
    stand = Stand(
        bench=bench,
        workshop=open_workshop(bench.loaded, furniture.book),
        shelf=furniture.shelf,
        effort=EFFORTS[request.size],
    )
    need_sae(stand, evaluation)
    return stand


def need_sae(stand: Stand, evaluation: str) -> None:
    """Raise UsageError where there is no SAE to evaluate."""
    if stand.workshop.sae is None or stand.workshop.statistics is None:
        raise UsageError(
            f"anima eval {evaluation} needs an SAE with statistics, and "
            f"{stand.workshop.info.model} has none here: try --model smollm2."
        )


def study_of(
    name: str,
    request: Request,
    stand: Stand,
    cells: Sequence[Cell],
    measure: Callable[[Sequence[Cell]], Sequence[Row]],
    columns: Sequence[str],
    *,
    unit: str,
    modes: Sequence[str],
) -> Study:
    """Cells as an evaluation on a stand; its rows depend on the modes of these names."""
    return Study(
        name=name,
        unit=unit,
        cells=tuple(cells),
        measure=measure,
        tabulate=with_fresh(means(columns)),
        settings={
            **model_settings(request, stand.bench),
            "modes": {mode: stand.shelf.load(mode).digest for mode in modes},
        },
        batch=_BATCH,
        close=stand.bench.loaded.trunk.close,
    )
