"""What ordinary chat does to what is remembered: nothing in it should close a fact.

The lines are people's own, from the PyPI package `chitchat_dataset`; each person's part of a
conversation is sent through race and trace after a few facts of a life. Every closing is counted as
wrong, which is an upper bound: some people do correct themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from anima.errors import UsageError
from anima.evaluation.recall_arms import Kept, remembering
from anima.evaluation.recall_life import Life, Said
from anima.evaluation.recall_metrics import Tally

GROUP = "ordinary chat"


@dataclass(frozen=True, kw_only=True)
class Talk:
    """What one person said in one conversation."""

    texts: tuple[str, ...]


def conversations(say: Callable[[str], None], *, most: int) -> dict[str, Talk]:
    """One person's part of each conversation until there are `most` lines; none without the package."""
    try:
        return dict(_talks(most))
    except UsageError:
        say("chitchat_dataset is not installed: wrong closings in ordinary chat are left out")
        return {}


@cache
def _talks(most: int) -> Mapping[str, Talk]:
    from anima.features.corpus import chitchat

    found: dict[str, Talk] = {}
    left = most
    for at, conversation in enumerate(chitchat().conversations):
        texts = conversation.turns[::2][:left]
        if not texts:
            break
        found[f"chat-{at:04}"] = Talk(texts=texts)
        left -= len(texts)
    return found


def row(talk: Talk, life: Life, encoder: Kept | None) -> dict[str, Any]:
    """The facts of a life, then the talk: how many lines closed something, and which."""
    facts = planted(life)
    start = max(line.when for line in facts)
    lines = [
        *facts,
        *(
            Said(id=len(facts) + at, text=text, when=start + timedelta(minutes=at + 1), kind="chat")
            for at, text in enumerate(talk.texts)
        ),
    ]
    tally, closings = Tally(), []
    with remembering(lines, encoder, race=True) as memory:
        by_seq = {seq: lines[at] for seq, at in memory.places.items()}
        for line, decision in zip(lines, memory.decisions, strict=True):
            if line.kind == "chat":
                tally.add(GROUP, **{"closed by a line": float(bool(decision.closed))})
                closings += [(line.text, by_seq[seq].text) for seq in decision.closed]
        holding = memory.hold(lines[-1].when)
        for line in facts:
            tally.add(GROUP, **{"facts closed": float(line.id not in holding)})
    return {**tally.row(), "closings": closings}


def planted(life: Life) -> Sequence[Said]:
    """The first fact of every slot of a life, in one order, as if nothing had changed."""
    firsts: dict[str, Said] = {}
    for line in sorted(life.lines, key=lambda each: each.when):
        if line.kind == "fact":
            firsts.setdefault(line.slot, line)
    return [
        Said(
            id=at, text=line.text, when=line.when, kind="fact", slot=line.slot, value=line.value,
            valence=line.valence,
        )
        for at, line in enumerate(firsts.values())
    ]  # fmt: skip
