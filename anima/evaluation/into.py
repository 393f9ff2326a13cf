"""`anima eval into`: what each way of memory into the model gains and costs; knows no session.

A memory holds all the facts; each question recalls from it by its words, and the lines found reach
the model in one way or several. The cost is the KL that the same ways cause on prompts that no
fact has to do with, with the best lines forced upon them.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anima.context import ChatFormat, Context, Segment, jinja_render
from anima.evaluation.harness import OFF, PLACEBO, Cell, Request, Row, Study, means
from anima.evaluation.matching import says
from anima.evaluation.material import Half, prompts
from anima.evaluation.opening import open_model
from anima.evaluation.told import Told, facts
from anima.memory.api import Memory
from anima.memory.into import quoting
from anima.memory.into.inlet import Inlet, Opened
from anima.memory.into.states import StateReader
from anima.memory.into.ways import Ways, ways_of
from anima.memory.recalling import NEAR
from anima.organ import Contribution
from anima.runtime.draft import bias_at
from anima.runtime.opening import CORE
from anima.trunk.generation import decode
from anima.trunk.interface import Cache
from anima.trunk.sampler import pick
from anima.trunk.settings import Sampling

if TYPE_CHECKING:
    from anima.trunk.loader import Loaded

LIMIT = 24
"""Tokens of an answer, and of a reply whose cost is taken."""

LINES = 3
"""Lines recalled for a question, as in a chat."""

IN_PROMPT = "fact in prompt"
WAYS = (
    "quote", "knn", "bias", "overlay", "quote+knn", "quote+bias", "quote+overlay",
    "bias+knn+overlay",
)  # fmt: skip
FACTS, UNRELATED = "facts", "unrelated"

_NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

Line = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way or several; `oracle` gives the right line alone, `wrong` lines drawn from the others."""

    name: str
    ways: Ways | None = None
    oracle: bool = False
    wrong: bool = False


def arms(strength: float = 1.0) -> list[Arm]:
    """Nothing, the fact in the prompt, each way, and the ways that act within on wrong lines."""
    ways = [Arm(name=name, ways=ways_of(name, strength)) for name in WAYS]
    wrong = [
        Arm(name=f"{name}, {PLACEBO}", ways=ways_of(name, strength), wrong=True)
        for name in ("knn", "bias", "overlay")
    ]
    return [
        Arm(name=OFF),
        Arm(name=IN_PROMPT, ways=ways_of("quote"), oracle=True),
        *ways,
        *wrong,
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A question ready for the model: its tokens, and what acts beside them."""

    ids: tuple[int, ...]
    opened: Opened


@dataclass(kw_only=True, eq=False)
class Stand:
    """A model and a memory of told facts; answers under an arm, greedily."""

    loaded: "Loaded"
    memory: Memory
    told: Mapping[str, Told]
    limit: int = LIMIT
    _reader: StateReader = field(init=False)
    _base: Context = field(init=False)

    def __post_init__(self) -> None:
        loaded = self.loaded
        render = jinja_render(loaded.chat_template, loaded.special_tokens, lambda: _NOON)
        core = [Segment(role="core", text=CORE)]
        self._base = Context.begin(loaded.tokenizer, ChatFormat.of(render), core)
        self._reader = StateReader(
            trunk=loaded.trunk, head=self._base.head.ids, encode=loaded.tokenizer.encode
        )

    def answer(self, arm: Arm, question: str) -> Row:
        """The answer to the question for a fact, and what the right one would have cost."""
        fact = self.told[question]
        lines, gate, found = self._lines(arm, question, fact)
        asked = self._asked(arm, question, lines, gate)
        cache, logits = self._heard(asked)
        # Both go on from one reading of the question: forked before anything is said.
        again = cache.fork([0])
        reply = self.loaded.tokenizer.decode(self._spoken(asked, cache, logits))
        right = self.loaded.tokenizer.encode(f" {fact.answer}")
        start = self.loaded.tokenizer.encode(fact.start)
        rows = self._rows(asked, again, start, right)
        nll = -rows.gather(1, torch.tensor(right)[:, None]).sum()
        return {
            "text": reply,
            "exact": float(says(reply, [fact.answer])),
            "NLL": float(nll),
            "recalled": None if found is None else float(found),
            "tokens": len(asked.ids),
        }

    def cost(self, arm: Arm, prompt: str) -> Row:
        """KL(arm ‖ bare) per token of the bare model's reply, the best lines forced upon the arm."""
        bare = self._asked(Arm(name=OFF), prompt, (), 0.0)
        cache, logits = self._heard(bare)
        again = cache.fork([0])
        reply = self._spoken(bare, cache, logits)
        if not reply:
            return {"KL": None}
        first, *more = reply
        lines, _, _ = self._lines(arm, prompt, None)
        forced = self._asked(arm, prompt, lines, 1.0)
        cache, _ = self._heard(forced)
        # The first token is forced too, so that both are asked from the second on.
        under = self._rows(forced, cache, [first], [*more, first])
        without = self._rows(bare, again, [first], [*more, first])
        return {"KL": float((under.exp() * (under - without)).sum(-1).clamp_min(0).mean())}

    def _lines(
        self, arm: Arm, question: str, fact: Told | None
    ) -> tuple[Sequence[Line], float, bool | None]:
        """The lines that act, how sure the memory is, and whether the right one is among them."""
        if arm.ways is None:
            return (), 0.0, None
        if arm.oracle and fact is not None:
            return [_line(0, fact.text, 1.0)], 1.0, None
        reply = self.memory.ask(question, LINES)
        best = max((hit.score for hit in reply.hits), default=0.0)
        scores = {hit.line.seq: hit.score for hit in reply.hits if hit.score >= NEAR * best}
        found = [line for line in (hit.line for hit in reply.hits) if line.seq in scores]
        right = None if fact is None else any(line.text == fact.text for line in found)
        if fact is not None and reply.abstained:
            return (), 0.0, right
        if arm.wrong or not found:
            others = [line for line in self.memory.peek(2 * LINES) if line.seq not in scores]
            found = others[: len(found) or LINES]
        lines = [_line(each.seq, each.text, scores.get(each.seq, 1.0)) for each in found]
        return lines, gate_of(reply.confidence), right

    def _asked(self, arm: Arm, question: str, lines: Sequence[Line], gate: float) -> Asked:
        segments = []
        opened = Opened()
        if arm.ways is not None and lines:
            if arm.ways.quoted:
                segments.append(Segment(role="memory", text=quoting.block(lines)))
            opened = Inlet(reader=self._reader, ways=arm.ways).open(lines, gate=gate)
        asked = self._base.ask([*segments, Segment(role="user", text=question)])
        return Asked(ids=asked.tokens().ids, opened=opened)

    def _heard(self, asked: Asked) -> tuple[Cache, Tensor]:
        """The cache that holds a question, and the logits `[V]` after it."""
        cache = self.loaded.trunk.cache()
        step = self.loaded.trunk.forward(
            torch.tensor([list(asked.ids)]), cache, taps=asked.opened.taps
        )
        return cache, step.logits[0, -1]

    def _spoken(self, asked: Asked, cache: Cache, logits: Tensor) -> list[int]:
        """The greedy reply, without its end."""
        opened = asked.opened
        part = Contribution(logit_bias=opened.logit_bias)
        greedy, generator = Sampling(temperature=0), torch.Generator()
        picks = decode(
            self.loaded.trunk, cache, logits,
            choose=lambda row, said: pick(
                row, greedy, generator, bias=bias_at(part, row, first=not said)
            ),
            end_ids=self.loaded.end_ids, limit=self.limit, taps=lambda: opened.taps,
        )  # fmt: skip
        said = [each.id for each in picks]
        return said[:-1] if said and said[-1] in self.loaded.end_ids else said

    def _rows(
        self, asked: Asked, cache: Cache, begun: Sequence[int], reply: Sequence[int]
    ) -> Tensor:
        """log p `[n, V]` before each token of a reply that is forced upon the model, once begun."""
        trunk, opened = self.loaded.trunk, asked.opened
        part = Contribution(logit_bias=opened.logit_bias)
        rows = []
        ids = list(begun)
        for token in reply:
            row = trunk.forward(torch.tensor([ids]), cache, taps=opened.taps).logits[0, -1]
            row = row.float().cpu()
            bias = bias_at(part, row, first=False)
            rows.append((row if bias is None else row + bias).log_softmax(-1))
            ids = [token]
        return torch.stack(rows)


def gate_of(confidence: float | None) -> float:
    """How far the ways are opened, from how sure the memory is; wide where it cannot say."""
    return 1.0 if confidence is None else min(1.0, max(0.0, confidence))


def prepare(request: Request) -> Study:
    """Every arm over the told facts of the report half, and over prompts that have none."""
    return study(request, open_model(request))


def study(
    request: Request,
    loaded: "Loaded",
    half: Half = "report",
    strength: float = 1.0,
    limit: int = LIMIT,
) -> Study:
    """The same on a model that is there already."""
    few = 6 if request.size == "smoke" else None
    told = {fact.question: fact for fact in facts(half, request.seed)}
    questions = list(told)[: few or 60]
    asked = (*prompts("neutral", half), *prompts("open", half))
    unrelated = [prompt.text for prompt in asked][: few or 16]
    held = ExitStack()
    folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="anima-")))
    memory = held.enter_context(Memory.open(folder / "memory.json", clock=lambda: _NOON))
    memory.commit([memory.draft(None, fact.text) for fact in told.values()])
    stand = Stand(loaded=loaded, memory=memory, told=told, limit=limit)
    chosen = {arm.name: arm for arm in arms(strength)}

    def measure(cells: Sequence[Cell]) -> list[Row]:
        arm = chosen[cells[0].arm]
        say: Callable[[Arm, str], Row] = stand.answer if cells[0].group == FACTS else stand.cost
        return [say(arm, cell.unit) for cell in cells]

    def close() -> None:
        held.close()
        loaded.trunk.close()

    cells = [Cell(group=FACTS, arm=name, unit=unit) for name in chosen for unit in questions]
    cells += [
        Cell(group=UNRELATED, arm=name, unit=unit)
        for name, arm in chosen.items()
        if arm.ways is not None and not arm.oracle and not arm.wrong
        for unit in unrelated
    ]
    info = loaded.trunk.info
    return Study(
        name="into",
        unit="fact or prompt",
        cells=tuple(cells),
        measure=measure,
        tabulate=means(["exact", "NLL", "recalled", "tokens", "KL"]),
        settings={
            "model": info.fingerprint, "engine": info.engine, "quantize": info.quantize,
            "size": request.size, "seed": request.seed, "half": half, "strength": strength,
        },
        batch=12,
        close=close,
    )  # fmt: skip


def _line(seq: int, text: str, score: float) -> Line:
    return {
        "seq": seq, "text": text, "role": "user", "timestamp": _NOON.isoformat(),
        "anchor": f"{seq:064x}", "score": score,
    }  # fmt: skip
