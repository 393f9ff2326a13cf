"""Has a model answer prompts under an arm and measures the answers; knows no mode's insides.

An arm is what is done to the model: a system text, taps, a way to ask. Answers are judged by the
measures fixed beforehand and priced under the bare model after the plain prompt.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anima.context import ChatFormat, Context, Segment, jinja_render
from anima.encoding import Encoder, similarity
from anima.evaluation import measures
from anima.evaluation.classifier import (
    StyleClassifier,
    by_sentences,
    by_words,
    sentence_encoder,
)
from anima.evaluation.costs import percentile, price
from anima.evaluation.harness import Request, Row
from anima.evaluation.material import STYLES, Concept, Prompt, styled_replies
from anima.evaluation.opening import open_model
from anima.evaluation.statistics import harmonic_mean
from anima.evaluation.vocabulary import english
from anima.runtime.opening import CORE
from anima.trunk.generation import generate_batch
from anima.trunk.settings import Sampling

if TYPE_CHECKING:
    from anima.trunk.interface import Taps
    from anima.trunk.loader import Loaded

LIMIT = 64
"""Tokens of a reply; what the constraints are made for."""

SAMPLING = Sampling(temperature=0.7, top_p=0.9)
"""Warm enough that arms differ in more than a few words, the same for every arm."""


def _plainly(text: str) -> str:
    return text


def _no_taps() -> "Taps":
    return {}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is done to the model: `system` after the core, `taps` asked anew for each batch.

    `asked` rewrites the prompt, for arms that ask for something in the user's turn.
    """

    name: str
    system: str = ""
    taps: Callable[[], "Taps"] = _no_taps
    asked: Callable[[str], str] = _plainly


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A loaded model and all that judges its replies; `seed` and prompt decide each draw."""

    loaded: "Loaded"
    classifier: StyleClassifier
    known: Callable[[str], bool]
    encoder: Encoder | None = None
    seed: int = 0
    limit: int = LIMIT
    sampling: Sampling = field(default_factory=lambda: SAMPLING)

    def ids(self, text: str, system: str = "") -> tuple[int, ...]:
        """The tokens of a first turn after the core and a system text, up to the reply."""
        render = jinja_render(self.loaded.chat_template, self.loaded.special_tokens, lambda: _NOON)
        prefix = [Segment(role="core", text=CORE), Segment(role="system", text=system)]
        context = Context.begin(self.loaded.tokenizer, ChatFormat.of(render), prefix)
        return context.ask([Segment(role="user", text=text)]).tokens().ids

    def speak(self, arm: Arm, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The reply to each text under an arm, as token ids; a text's draws depend on it alone."""
        replies = generate_batch(
            self.loaded.trunk,
            [self.ids(arm.asked(text), arm.system) for text in texts],
            limit=self.limit,
            end_ids=self.loaded.end_ids,
            sampling=self.sampling,
            seeds=[seed_of(self.seed, text) for text in texts],
            taps=arm.taps(),
        )
        return [tuple(reply) for reply in replies]

    def measure(self, arm: Arm, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
        """Have an arm answer prompts, and what can be said of each answer whatever the mode."""
        replies = self.speak(arm, [prompt.text for prompt in prompts])
        texts = [self.loaded.tokenizer.decode(reply) for reply in replies]
        styles = self.classifier.probabilities(texts)
        return [
            {
                "text": text,
                "tokens": len(reply),
                **{f"style {name}": float(p) for name, p in zip(STYLES, row, strict=True)},
                **fluency(text, self.known),
                "on topic": topical(text, prompt),
                **self._price(arm, prompt.text, reply),
            }
            for prompt, reply, text, row in zip(prompts, replies, texts, styles, strict=True)
        ]

    def _price(self, arm: Arm, text: str, reply: Sequence[int]) -> Row:
        if not reply:
            return {"NLL": None, "KL": None, "KL p95": None}
        cost = price(
            self.loaded.trunk,
            reply,
            prompt=self.ids(text),
            arm_prompt=self.ids(arm.asked(text), arm.system),
            taps=arm.taps(),
        )
        return {"NLL": cost.nll, "KL": cost.kl, "KL p95": percentile(cost.divergence, 0.95)}


_NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)  # a template that prints the date prints this one


def open_bench(request: Request) -> Bench:
    """Load what an evaluation of replies needs; raises ModelError, UsageError, StorageError."""
    encoder = None
    if request.judge == "sentences":
        encoder = sentence_encoder(request.home, say=request.say)
    replies = styled_replies("train")
    classifier = by_words(replies) if encoder is None else by_sentences(encoder, replies)
    known = english()
    loaded = open_model(request)
    return Bench(
        loaded=loaded, classifier=classifier, known=known, encoder=encoder, seed=request.seed
    )


def fluency(text: str, known: Callable[[str], bool]) -> dict[str, float]:
    """Costs that the text itself shows, and `fluency` = share of real words × (1 − rep-3)."""
    real, repeated = measures.real_words(text, known), measures.repetition(text)
    return {
        "words": float(len(measures.words(text))),
        "rep-3": repeated,
        "distinct-2": measures.distinct(text),
        "real words": real,
        "fluency": real * (1 - repeated),
    }


def judged(row: Row, mode: str) -> dict[str, Any]:
    """A row with what a mode's own measures say of its text.

    `effect` is the mode's style probability; `overall` the harmonic mean of constraint rate, topic
    and fluency, AxBench's shape (arXiv 2501.17148) without its judge.
    """
    rate = measures.constraint_rate(row["text"], mode)
    parts = [rate, 1.0 if row["on topic"] is None else float(row["on topic"]), row["fluency"]]
    checks = {
        f"is {name}": met for name, met in measures.constraints_met(row["text"], mode).items()
    }
    return {
        **row,
        "effect": row[f"style {mode}"],
        "constraints": rate,
        "overall": harmonic_mean(parts),
        **checks,
    }


def judged_concept(row: Row, concept: Concept, encoder: Encoder | None = None) -> dict[str, Any]:
    """A row with what the blind measures of a single concept say of its text.

    `effect` is 1 where a judged word occurs, `density` how many different ones per 100 words,
    `similarity` the cosine with the concept's definition where there is an encoder.
    """
    text = row["text"]
    spoken = measures.on_topic(text, concept.judged)
    found = {word for word in measures.words(text) if measures.on_topic(word, concept.judged)}
    return {
        **row,
        "effect": float(spoken),
        "density": 100 * len(found) / max(1, len(measures.words(text))),
        "similarity": similarity(encoder, [text], concept.definition)[0] if encoder else None,
        "overall": harmonic_mean([float(spoken), row["fluency"]]),
    }


def judged_sober(row: Row) -> dict[str, Any]:
    """A row with what `anima eval negative` asks: how much fantasy and imagery is left.

    `fanciful` counts different words of both lexicons per 100 words, `effect` is 1 where the
    *system* mode's constraint against fantasy holds, `overall` weighs it with fluency.
    """
    text = row["text"]
    sober = float(measures.constraints_met(text, "system")["no fantasy"])
    return {
        **row,
        "effect": sober,
        "fanciful": measures.hits_per_hundred(text, "fantasy")
        + measures.hits_per_hundred(text, "imagery"),
        "dreaming": row["style dream"],
        "overall": harmonic_mean([sober, row["fluency"]]),
    }


COLUMNS = (
    "effect",
    "constraints",
    "overall",
    "on topic",
    "fluency",
    "rep-3",
    "NLL",
    "KL",
    "KL p95",
)
"""The columns of a table of replies."""


def topical(text: str, prompt: Prompt) -> bool | None:
    """Whether a reply is on a prompt's topic or gives its answer; None where it has neither."""
    if prompt.answer is not None:
        return measures.gives_answer(text, prompt.answer)
    return measures.on_topic(text, prompt.about) if prompt.about else None


def seed_of(seed: int, text: str) -> int:
    """The seed of a text's draws: its own, whatever stands beside it."""
    digest = hashlib.blake2b(f"{seed}\0{text}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def model_settings(request: Request, bench: Bench) -> Mapping[str, Any]:
    """What rows of replies depend on, for a journal to be resumed only by its like."""
    info = bench.loaded.trunk.info
    return {
        "model": info.model,
        "fingerprint": info.fingerprint,
        "engine": info.engine,
        "quantize": info.quantize,
        "size": request.size,
        "seed": request.seed,
        "judge": bench.classifier.name,
        "limit": bench.limit,
        "temperature": bench.sampling.temperature,
        "top_p": bench.sampling.top_p,
    }
