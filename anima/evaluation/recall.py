"""`anima eval recall`: does the memory find what holds now, or held then, beside simpler rankings.

It knows how to ask and to count; the lives come from `recall_world`, the rankings from
`recall_arms`. A life is the unit. With `--locomo` or `--longmemeval` the same rankings are asked
the questions of a public set instead, see `recall_evidence`.
"""

from collections.abc import Sequence
from datetime import timedelta

from anima.encoding import Encoder, open_encoder
from anima.errors import UsageError
from anima.evaluation import recall_arms, recall_chat, recall_metrics
from anima.evaluation.harness import Cell, Request, Row, Study
from anima.evaluation.material import Half
from anima.evaluation.recall_arms import (
    OURS,
    Kept,
    Letters,
    Remembered,
    Remembering,
)
from anima.evaluation.recall_life import Life, Query
from anima.evaluation.recall_metrics import Tally
from anima.evaluation.recall_table import named_arms, tabulate
from anima.evaluation.recall_world import Measure, life

GAPS = {
    "1 hour": timedelta(hours=1), "1 day": timedelta(days=1), "30 days": timedelta(days=30),
}  # fmt: skip
"""How long after the last line the questions are asked."""

MIDDLE = "1 day"
"""At this gap the questions are told apart by kind as well."""

LITTLE = Measure(told=8, untold=4, chat=12)
_LIVES, _FEW = 40, 4
_FOUND = 10
_RACE, EARLIER, CHAT = "race and trace", "asked as of then", recall_chat.GROUP
_LETTERS = "letters"


def prepare(request: Request) -> Study:
    """The seeded lives, or the public set that the options name; see `open_encoders`."""
    public = {name: request.options.get(name) for name in ("locomo", "longmemeval")}
    given = {name: path for name, path in public.items() if path}
    if len(given) > 1:
        raise UsageError("Give --locomo or --longmemeval, one at a time.")
    encoders = open_encoders(request)
    for name, path in given.items():
        from anima.evaluation import recall_evidence

        return recall_evidence.study(request, name, path, encoders)
    return study(request, encoders)


def open_encoders(request: Request) -> list[Encoder]:
    """What makes vectors: those that --encoder names, else that of the settings.

    At smoke size, where none is named, it is `letters`, which needs no model.
    """
    names = list(request.options.get("encoder") or ())
    if not names:
        names = [_LETTERS if request.size == "smoke" else request.settings.encoder]
    return [_opened(name, request) for name in dict.fromkeys(names)]


def _opened(name: str, request: Request) -> Encoder:
    if name == _LETTERS:
        return Letters()
    return open_encoder(name, request.home, say=request.say)


def study(request: Request, encoders: Sequence[Encoder]) -> Study:
    """The seeded lives under every arm, and what ordinary chat does to what is remembered."""
    smoke = request.size == "smoke"
    half: Half = request.options.get("half") or "report"
    measure = LITTLE if smoke else Measure()
    arms = named_arms(encoders)
    chats = recall_chat.conversations(request.say, most=40 if smoke else 2000)
    first = next(encoder for _, encoder in arms.values() if encoder is not None)
    units = [str(at) for at in range(_FEW if smoke else _LIVES)]

    def of(unit: str) -> Life:
        return life(half, seed=request.seed, number=int(unit), measure=measure)

    def measured(cells: Sequence[Cell]) -> list[Row]:
        if cells[0].group == CHAT:
            plant = of("0")
            return [recall_chat.row(chats[cell.unit], plant, first) for cell in cells]
        return [_row(of(cell.unit), *arms[cell.arm], seed=request.seed) for cell in cells]

    cells = [Cell(unit=unit, arm=arm) for unit in units for arm in arms]
    cells += [Cell(unit=unit, arm=OURS, group=CHAT) for unit in chats]
    return Study(
        name="recall",
        unit="life or conversation",
        cells=tuple(cells),
        measure=measured,
        tabulate=tabulate,
        settings={
            "size": request.size,
            "seed": request.seed,
            "half": half,
            "encoders": [each.name for each in encoders],
        },
        batch=4,
    )


def _row(life: Life, arm: str, encoder: Kept | None, *, seed: int) -> Row:
    """Everything that is asked of one life under one arm."""
    tally = Tally()
    missed: dict[str, list[int]] = {}
    with recall_arms.remembered(arm, life.lines, encoder, seed=seed) as memory:
        for query in life.queries:
            for gap, after in GAPS.items():
                _ask(memory, life, query, gap, after, tally, missed)
        if arm == OURS and isinstance(memory, Remembering):
            _judge_race(memory, life, tally)
    return {**tally.row(), "missed": missed}


def _ask(
    memory: Remembered,
    life: Life,
    query: Query,
    gap: str,
    after: timedelta,
    tally: Tally,
    missed: dict[str, list[int]],
) -> None:
    group = f"after {gap}"
    if query.at is not None:
        if gap == MIDDLE:
            found = memory.ask(query.text, now=query.at, k=_FOUND).ids
            right = recall_metrics.right_then(found, query.gold, query.stale, 5)
            tally.add(EARLIER, **{"as of": right, **_hits(found, query)})
        return
    answer = memory.ask(query.text, now=life.end + after, k=_FOUND)
    if query.asks == "nothing":
        tally.surer(group, answer.confidence, told=False)
        _gate(tally, group, answer.abstained, told=False)
        return
    if query.asks == "now":
        tally.surer(group, answer.confidence, told=True)
        _gate(tally, group, answer.abstained, told=True)
    figures = _figures(answer.ids, query)
    if query.asks == "now":
        tally.add(group, **figures)
    if gap == MIDDLE:
        for kind in _kinds(query):
            tally.add(kind, **figures)
        if query.asks == "now":
            counts = missed.setdefault(query.slot, [0, 0, 0])
            counts[0] += 1
            counts[1] += not figures["hit@5"]
            counts[2] += bool(figures.get("stale"))


def _hits(found: Sequence[int], query: Query) -> dict[str, float]:
    return {f"hit@{k}": recall_metrics.hit(found, query.gold, k) for k in (1, 5, _FOUND)}


def _figures(found: Sequence[int], query: Query) -> dict[str, float]:
    figures = _hits(found, query)
    figures[f"recall@{_FOUND}"] = recall_metrics.recall(found, query.gold, _FOUND)
    slot = _all(query.gold) | query.stale
    # Where nothing of the slot was found, nothing stale came first; that is a miss, no merit.
    if query.stale and slot.intersection(found):
        figures["stale"] = recall_metrics.stale_first(found, query.gold, query.stale)
    if any(len(claim) > 1 for claim in query.gold):
        figures["said twice in 5"] = recall_metrics.crowding(found, query.gold, 5)
    return figures


def _kinds(query: Query) -> list[str]:
    """The kinds that a question is counted under, beside all of them together."""
    if query.asks != "now":
        return {"past": ["asks for the past"], "by date": ["asks by date"]}.get(query.asks, [])
    kinds = ["in few shared words" if query.paraphrased else "in shared words"]
    kinds.append("of feeling" if query.feeling else "neutral")
    kinds += ["of dates"] if query.dated else []
    kinds += ["of several"] if query.many else []
    kinds += ["late arrivals"] if query.late else []
    return kinds


def _gate(tally: Tally, group: str, abstained: bool | None, *, told: bool) -> None:
    if abstained is not None:
        tally.add(group, **{"silent, told" if told else "silent, untold": float(abstained)})


def _judge_race(memory: Remembering, life: Life, tally: Tally) -> None:
    """Whether what was replaced is closed, what holds is not, and what was said again is merged."""
    holding = memory.hold(life.end)
    there = frozenset(memory.places.values())
    current = {line for query in life.queries if query.asks == "now" for line in _all(query.gold)}
    replaced = {line for query in life.queries if query.asks == "now" for line in query.stale}
    for line in life.lines:
        if line.id in current and line.id in there:
            tally.add(_RACE, **{"closed wrongly": float(line.id not in holding)})
        elif line.id in replaced and line.id in there:
            tally.add(_RACE, **{"closed rightly": float(line.id not in holding)})
        elif line.id in there and line.role == "user":
            tally.add(_RACE, **{"others closed": float(line.id not in holding)})
    by_seq = {seq: life.lines[at] for seq, at in memory.places.items()}
    for line, decision in zip(life.lines, memory.decisions, strict=True):
        target = by_seq.get(decision.target)
        same = target is not None and (target.slot, target.value) == (line.slot, line.value)
        if line.kind == "again":
            tally.add(_RACE, **{"merged rightly": float(decision.kind == "merge" and same)})
        elif line.claims:
            tally.add(_RACE, lost=float(decision.kind in ("merge", "skip")))


def _all(gold: Sequence[frozenset[int]]) -> frozenset[int]:
    return frozenset[int]().union(*gold)
