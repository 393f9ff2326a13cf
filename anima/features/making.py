"""From conversations to a shipped SAE in one resumable run; knows the order of the steps.

harvest → choose the layer → train → calibrate, round, measure, describe. Every step leaves files
under `work` and is not made again, so a run that was stopped goes on where it was.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from anima.context import ChatFormat, Context, Segment, Tokens
from anima.features import choosing, corpus, replies, shipping
from anima.features.activations import Rows
from anima.features.corpus import Corpus, Part
from anima.features.harvest import Progress, claim, harvest, opened
from anima.features.sae import Sae, load_folder
from anima.features.scoring import PROMPT
from anima.features.training import Recipe, Told, train
from anima.home import make_folder, write_atomically
from anima.trunk.loader import Loaded
from anima.trunk.reference import ReferenceTrunk

SMALL = Recipe(
    features=2048, k=40, samples=204_800, batch=1024, dead_after=60_000, auxiliary_rows=256
)
"""The SAE that each depth is judged by."""
_CALIBRATION = 16_384  # rows that the threshold is set on
_LOSS_TEXTS = 40
_REMEDY = "Choose another place with --out."


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be made. `tokens` are content tokens to train on from each source, at most.

    `limit` is the longest piece of a conversation; `talks` the batches of its own replies;
    `minutes` the time after which training ends with what it has.
    """

    work: Path
    out: Path
    layers: Sequence[int]
    layer: int | None = None
    tokens: int = 1_500_000
    held: int = 150_000
    texts: Sequence[Path] = ()
    talks: int = 8
    limit: int = 512
    minutes: float | None = None
    recipe: Recipe = field(default_factory=Recipe)
    small: Recipe = SMALL
    talk: replies.Talk = field(default_factory=replies.Talk)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What it is made with: `reader` runs the harvest, `loaded` everything that is measured."""

    reader: ReferenceTrunk
    loaded: Loaded
    format: ChatFormat
    prefix: Sequence[Segment]
    clock: Callable[[], float]
    say: Callable[[str], None]


def make(plan: Plan, bench: Bench, command: str) -> Path:
    """Carry the plan out and return the folder of the SAE, with its statistics and its card."""
    sources = [(one, _kept(plan, bench, one)) for one in _corpora(plan, bench)]
    pieces = _held_texts(plan, bench, [one for one, _ in sources])
    candidates = [] if plan.layer is not None else _candidates(plan, bench, sources, pieces)
    layer = choosing.best(candidates).layer if plan.layer is None else plan.layer
    bench.say(f"layer {layer}")
    rows = _rows(sources, "train", layer)
    trained, steps = _trained(plan.recipe, rows, layer, plan, bench, plan.work / f"layer-{layer}")
    sae = shipping.write_sae(trained, plan.out)
    held = {one.source: _rows([(one, folder)], "held", layer).h for one, folder in sources}
    found = shipping.figures(sae, held, [rows.h], bench.loaded.trunk, pieces)
    found.statistics.save(plan.out)
    info = bench.loaded.trunk.info
    story = shipping.Story(
        model=info.model, fingerprint=info.fingerprint, candidates=candidates,
        sources=[_source(one, folder, layer) for one, folder in sources],
        recipe=plan.recipe, steps=steps, command=command, versions=_versions(),
        notes=shipping.notes_in(plan.out),
    )  # fmt: skip
    text = shipping.card(sae, story, found)
    write_atomically(plan.out / "README.md", text.encode(), remedy=_REMEDY)
    bench.say(text)
    return plan.out


def _corpora(plan: Plan, bench: Bench) -> Iterator[Corpus]:
    own = [corpus.read_text(path) for path in plan.texts] or [corpus.chitchat()]
    yield from own
    if plan.talks:
        path = plan.work / "replies.jsonl"
        make_folder(plan.work)
        given = [turn for one in own[0].of("train") for turn in one.turns[2:6:2] if len(turn) > 25]
        replies.talk(
            bench.loaded, bench.format, bench.prefix, path, given=given or ["Hello."],
            batches=plan.talks, settings=replace(plan.talk, seed=plan.recipe.seed),
            report=lambda batch, batches: bench.say(f"own replies: batch {batch} of {batches}"),
        )  # fmt: skip
        yield replace(
            corpus.read_text(path), source=f"own replies of {bench.loaded.trunk.info.model}"
        )


def _kept(plan: Plan, bench: Bench, source: Corpus) -> Path:
    """Harvest a source and return its folder."""
    folder = place_of(plan.work, source)
    info = bench.reader.info
    claim(folder, {
        "fingerprint": info.fingerprint, "dtype": info.dtype, "layers": sorted(plan.layers),
        "limit": plan.limit, "prefix": [one.text for one in bench.prefix], "source": source.sha256,
    })  # fmt: skip
    for part, most in _amounts(plan):
        start = bench.clock()

        def report(progress: Progress, part: str = part, start: float = start) -> None:
            seconds = bench.clock() - start
            bench.say(f"{source.source}, {part}: {progress.kept:,} tokens, {seconds:.0f} s")

        harvest(
            bench.reader.model, _pieces(plan, bench, source, part), folder / part,
            layers=sorted(plan.layers), tokens=most, report=report,
        )  # fmt: skip
    return folder


def place_of(work: Path, source: Corpus) -> Path:
    """Where a source's harvest lies under the folder of a run."""
    name = "".join(c if c.isalnum() or c in ".-" else "-" for c in source.source)
    return work / f"{name}-{source.sha256[:8]}"


def _amounts(plan: Plan) -> tuple[tuple[Part, int], ...]:
    return (("held", plan.held), ("train", plan.tokens))


def _pieces(plan: Plan, bench: Bench, source: Corpus, part: Part) -> Iterator[Tokens]:
    for one in source.of(part):
        yield from corpus.rendered(
            one, bench.loaded.tokenizer, bench.format, bench.prefix, limit=plan.limit
        )


def _held_texts(plan: Plan, bench: Bench, sources: Sequence[Corpus]) -> list[Tokens]:
    """As many held-out texts of each source, for the loss."""
    share = _LOSS_TEXTS // len(sources)
    texts = []
    for source in sources:
        found = _pieces(plan, bench, source, "held")
        texts += [piece for piece, _ in zip(found, range(share), strict=False)]
    return texts


def _rows(sources: Sequence[tuple[Corpus, Path]], part: Part, layer: int) -> Rows:
    return Rows.of([shard for _, folder in sources for shard in opened(folder / part, layer)])


def _source(source: Corpus, folder: Path, layer: int) -> shipping.Source:
    train_tokens, held = (
        sum(len(shard) for shard in opened(folder / part, layer)) for part in ("train", "held")
    )
    return shipping.Source(name=source.source, sha256=source.sha256, train=train_tokens, held=held)


def _candidates(
    plan: Plan, bench: Bench, sources: Sequence[tuple[Corpus, Path]], pieces: Sequence[Tokens]
) -> list[choosing.Candidate]:
    context = Context.begin(bench.loaded.tokenizer, bench.format, bench.prefix)
    asked = context.ask([Segment(role="user", text="Tell me something about yourself.")])
    prompt = asked.reply(bench.loaded.tokenizer.encode(PROMPT)).tokens().ids
    found = []
    for layer in plan.layers:
        rows = _rows(sources, "train", layer)
        sae, _ = _trained(plan.small, rows, layer, plan, bench, plan.work / f"small-{layer}")
        held = _rows(sources, "held", layer).h[:50_000]
        found.append(choosing.candidate(sae, held, bench.loaded.trunk, pieces[:12], prompt))
        bench.say(str(found[-1]))
    return found


def _trained(
    recipe: Recipe, rows: Rows, layer: int, plan: Plan, bench: Bench, folder: Path
) -> tuple[Sae, int]:
    """Train, set the threshold to the recipe's k, and say after how many steps."""
    model = bench.loaded.trunk.info.model
    start = bench.clock()

    def report(told: Told) -> None:
        seconds = bench.clock() - start
        if told.step % 100 == 0 or told.step == told.steps:
            bench.say(
                f"layer {layer}: step {told.step} of {told.steps}, FVU {told.fvu:.3f}, "
                f"{told.dead} dead, {seconds:.0f} s"
            )

    def spent() -> float:
        return 0.0 if plan.minutes is None else (bench.clock() - start) / (60 * plan.minutes)

    trained = train(
        rows, recipe, folder, model=model, layer=layer, report=report, spent=spent
    )  # fmt: skip
    trained.sae.save_inference_model(folder / "sae")
    sae = replace(
        load_folder(folder / "sae"),
        name=f"{model}-l{layer}-{recipe.features // 1024}k",
        l0=recipe.k,
    )
    sample = _sample(rows.h, _CALIBRATION, recipe.seed)
    return choosing.calibrated(sae, sample, recipe.k), trained.steps


def _sample(rows: Tensor, count: int, seed: int) -> Tensor:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order[:count]]


def _versions() -> dict[str, str]:
    python = ".".join(str(part) for part in sys.version_info[:3])
    packages = {name: version(name) for name in ("sae-lens", "torch", "transformers")}
    return {"python": python, **packages}
