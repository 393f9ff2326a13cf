"""The seed's controller loop: plan, draft, reflect, then the answer; knows no session and no disk.

Each stage is a reply of the model itself to a prompt that shows it the stages before. Only the
answer enters the context, as the reply to what the user wrote; the stages are kept in the turn's
record. They are read and made over the turn's own context, which is cropped back each time.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from anima.context import Context
from anima.events import Event, Perceived, Reason, Recomputed, Replied, Thinking, Thought, Token
from anima.organ import Reading
from anima.runtime.draft import Draft
from anima.runtime.feed import Feed
from anima.runtime.record import run_of
from anima.runtime.speaking import Speaker

STAGES: Mapping[str, int] = {"plan": 64, "draft": 96, "reflect": 64}
"""The stages before the answer, and the most tokens of each."""

_SEEDS = 1_000_003  # between the seeds of a turn's stages: far from those of the turns around it


def prompt_of(stage: str, text: str, before: Mapping[str, str]) -> str:
    """What the model is asked at a stage, `answer` among them, after the texts of those before."""
    match stage:
        case "plan":
            return (
                f"{text}\n\nDo not answer yet. First say, in one or two short sentences, how the "
                "answer can be found."
            )
        case "draft":
            return f"{text}\n\nPlan: {before['plan']}\n\nFollow the plan and answer step by step."
        case "reflect":
            return (
                f"{text}\n\nA draft of the answer: {before['draft']}\n\nCheck the draft. Is it "
                "right? Say in one or two short sentences what is wrong with it, if anything."
            )
    return (
        f"{text}\n\nA draft of the answer: {before['draft']}\n\nA check of the draft: "
        f"{before['reflect']}\n\nNow give the final answer, in short."
    )


def think(
    speaker: Speaker,
    draft: Draft,
    feed: Feed,
    rebuilt: Reason | None,
    hear: Callable[[Reading], None],
) -> Generator[Event, None, None]:
    """Yield what happens while the stages are made and the draft fills in with the answer.

    Where it is stopped in a stage, the answer stays empty. `hear` gets the answer's tokens alone.
    """
    yield from draft.contribution.events
    base = draft.context.without_last()
    before: dict[str, str] = {}
    for number, stage in enumerate(STAGES):
        step = _step(speaker, draft, base, stage, number, before)
        step.dropped = 0 if number else draft.dropped
        yield from _mused(speaker, feed, draft, step, None if number else rebuilt)
        before[stage] = step.text.strip()
        if step.finish == "stopped":
            draft.finish = "stopped"
            yield Perceived(
                turn=draft.turn.number,
                seed=draft.turn.seed,
                prompt_tokens=len(draft.context),
                new_tokens=step.new_tokens,
            )
            yield speaker.replied(draft)
            return
    final = _step(speaker, draft, base, "", 0, before)
    try:
        with closing(speaker.speak(final, feed, None, hear)) as spoken:
            for event in spoken:
                draft.take(final)
                yield speaker.replied(draft) if isinstance(event, Replied) else event
    finally:
        draft.take(final)


def _step(
    speaker: Speaker,
    draft: Draft,
    base: Context,
    stage: str,
    number: int,
    before: Mapping[str, str],
) -> Draft:
    """The draft of a stage, of the answer where `stage` is empty."""
    turn = draft.turn
    limit = min(STAGES[stage], draft.max_tokens) if stage else draft.max_tokens
    seed = turn.seed + _SEEDS * (number + 1) if stage else turn.seed
    step = speaker.draft(
        base,
        replace(turn, text=prompt_of(stage or "answer", turn.text, before), seed=seed),
        replace(draft.contribution, events=()),
        draft.sampling,
        limit,
        started=draft.started,
        stopped=draft.stopped,
        dictated=draft.dictated,
    )
    step.stage = stage
    return step


def _mused(
    speaker: Speaker, feed: Feed, draft: Draft, step: Draft, rebuilt: Reason | None
) -> Generator[Event, None, None]:
    """A stage as it comes, then whole; its record goes to the draft however it is left."""
    first = not draft.thoughts
    try:
        with closing(speaker.speak(step, feed, rebuilt, lambda reading: None)) as spoken:
            for event in spoken:
                if isinstance(event, Token):
                    yield Thinking(stage=step.stage, text=event.text)
                elif isinstance(event, Recomputed):
                    yield event
    finally:
        step.finish_text()
        step.finish = step.finish or "stopped"
        draft.fresh = step.fresh if first else draft.fresh
        draft.thoughts.append(_record(step))
    yield Thought(stage=step.stage, text=step.text, tokens=len(step.ids), finish=step.finish)


def _record(step: Draft) -> dict[str, Any]:
    return {
        "stage": step.stage,
        "seed": step.turn.seed,
        "text": step.text,
        "finish": step.finish,
        **run_of(step),
    }


def said_of(thoughts: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """The stages of a turn's record that have any text, with it."""
    return tuple((each["stage"], each["text"]) for each in thoughts if each["text"].strip())
