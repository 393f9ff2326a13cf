"""What of a memory a turn is given: lines worth quoting, or what a control puts in their place.

It knows a memory and words, and neither the model nor what becomes of what is said.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from anima.errors import UsageError
from anima.events import Event, Recalled
from anima.memory.api import Memory
from anima.memory.asking import Hit, Reply
from anima.memory.into import quoting
from anima.memory.line import LINE, Line
from anima.memory.ranking.manner import asked_of_the_listener
from anima.organ import Turn

Control = Literal["none", "off", "zombie", "placebo", "shuffled"]

BLOCK = 512
"""Most tokens of a quoted block, however much room there is."""

NEAR = 0.5
"""The share of the best line's score that a line needs to be quoted beside it."""

ASSISTANT = "assistant"
"""The role of the model's own lines."""

_LOOKED_AT = 5  # lines that are looked at for each that may be quoted
_DRAWN = 64  # newest lines among which a control draws
_TRIED = 8  # other texts for which it looks


@dataclass(frozen=True, kw_only=True, eq=False)
class TurnRecall:
    """What a turn recalled, as its record holds it, and what of it stands in the context.

    `framed` says that the reply was kept from beginning as the frame of a quote; older records say
    nothing of that, and their replies were not.
    """

    recalled: Sequence[Mapping[str, Any]] = ()
    quoted: Sequence[Mapping[str, Any]] = ()
    abstained: bool = False
    confidence: float | None = None
    framed: bool = True

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "TurnRecall":
        """What a recorded turn recalled, by its delta."""
        recalled = values.get("recalled", ())
        return cls(
            recalled=recalled,
            quoted=values.get("quoted", recalled),
            abstained=bool(values.get("abstained")),
            confidence=values.get("confidence"),
            framed=bool(values.get("framed")),
        )

    def as_json(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "recalled": [dict(line) for line in self.recalled],
            "abstained": self.abstained,
            "confidence": self.confidence,
            "framed": self.framed,
        }
        if self.quoted != self.recalled:
            values["quoted"] = [dict(line) for line in self.quoted]
        return values

    @property
    def events(self) -> Sequence[Event]:
        """What is told of it."""
        lines = tuple(dict(line) for line in self.recalled)
        return [Recalled(lines=lines, abstained=self.abstained)]


@dataclass(frozen=True, kw_only=True)
class Recaller:
    """Looks up what at most `lines` lines say to a turn; `measure` counts a text's tokens."""

    lines: int
    control: Control
    clock: Callable[[], datetime]
    measure: Callable[[str], int]

    def recall(self, memory: Memory, turn: Turn) -> TurnRecall:
        """What a turn recalls, and what is quoted of it; see `Control`."""
        known = _known(turn.past)
        hits, abstained, confidence = self._asked(memory, turn.text, known)
        fitting = self._fitting(self._told(hits), turn.room)
        return TurnRecall(
            recalled=fitting,
            quoted=self._quoted(memory, turn, fitting, known),
            abstained=abstained,
            confidence=confidence,
        )

    def _asked(
        self, memory: Memory, text: str, known: frozenset[int]
    ) -> tuple[list[Hit], bool, float | None]:
        """The lines worth quoting for a text, best first, and how sure the memory is of them."""
        if not memory.count:
            return [], True, None
        try:
            reply = self._ask(memory, text, known)
            telling, rest = _sifted(reply.hits, text)
            if rest and telling[:1] != reply.hits[:1]:
                # What is not quoted must not make the memory sure of what would be.
                reply = self._ask(memory, text, known | rest)
                telling, _ = _sifted(reply.hits, text)
        except UsageError:
            # A text of signs alone: nothing can be looked for.
            return [], True, None
        named = self._named(memory, text, known)
        if reply.abstained:
            return named, not named, reply.confidence
        best = max((hit.score for hit in telling), default=0.0)
        near = [hit for hit in telling if hit.score >= NEAR * best]
        # What a rule reads of the slot is surer than any score, and the newest of it holds.
        first = _first(named[0], near) if named else near
        return first[: self.lines], not first, reply.confidence

    def _named(self, memory: Memory, text: str, known: frozenset[int]) -> list[Hit]:
        """What holds of the slot that a text asks for by name, the newest first."""
        return [
            Hit(line=line, score=1.0, terms={"slot": 1.0}, merged=())
            for line in memory.holding(text)
            if line.seq not in known and _worth_quoting(line, text)
        ][: self.lines]

    def _ask(self, memory: Memory, text: str, without: frozenset[int]) -> Reply:
        # More than are quoted: what was only asked before stands among what was told.
        return memory.ask(text, _LOOKED_AT * self.lines, explain=True, without=without)

    def _told(self, hits: Sequence[Hit]) -> list[Mapping[str, Any]]:
        zone = self.clock().tzinfo
        return [_as_json(hit, zone) for hit in hits]

    def _fitting(self, lines: Sequence[Mapping[str, Any]], room: int) -> list[Mapping[str, Any]]:
        """As many of the best lines as fit into the room that the turn leaves."""
        kept: list[Mapping[str, Any]] = []
        for line in lines:
            if self.measure(quoting.block([*kept, line])) > min(room, BLOCK):
                break
            kept.append(line)
        return kept

    def _quoted(
        self,
        memory: Memory,
        turn: Turn,
        recalled: Sequence[Mapping[str, Any]],
        known: frozenset[int],
    ) -> Sequence[Mapping[str, Any]]:
        """What stands in the context: what was recalled, or what a control puts in its place."""
        if self.control in ("none", "off") or not recalled:
            return recalled
        if self.control == "zombie":
            return ()
        chance = random.Random(f"{self.control} {turn.seed} {turn.number}")
        passed = known | _seqs(recalled)
        if self.control == "placebo":
            others = _others(memory, passed)
            drawn = chance.sample(others, min(len(recalled), len(others)))
        else:
            drawn = self._for_another(memory, chance, passed)
        return self._fitting(self._told(drawn[: len(recalled)]), turn.room)

    def _for_another(
        self, memory: Memory, chance: random.Random, passed: frozenset[int]
    ) -> list[Hit]:
        """What is recalled for something else that was said, the first that recalls anything."""
        asked = [hit.line for hit in _others(memory, passed)]
        for line in chance.sample(asked, min(len(asked), _TRIED)):
            drawn, _, _ = self._asked(memory, line.text, passed | {line.seq})
            if drawn:
                return drawn
        return []


def _first(named: Hit, hits: Sequence[Hit]) -> list[Hit]:
    """The hits with this one before all others, as they have it where they do."""
    found = next((hit for hit in hits if hit.line.seq == named.line.seq), named)
    return [found, *(hit for hit in hits if hit is not found)]


def _others(memory: Memory, passed: frozenset[int]) -> list[Hit]:
    """The newest lines in force but for those that are passed over."""
    return [
        Hit(line=line, score=0.0, terms={}, merged=())
        for line in _newest(memory)
        if line.seq not in passed and line.text.strip()
    ]


def _newest(memory: Memory) -> Sequence[Line]:
    return [line for line in memory.peek(_DRAWN) if line.kind == LINE]


def _known(past: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """The lines that stand in the context already: what its turns said, and what they quoted."""
    known: set[int] = set()
    for values in past:
        quoted = values.get("quoted", values.get("recalled", ()))
        known |= _seqs(quoted)
        for line in values.get("remembered", ()):
            known |= {int(seq) for seq in (line["seq"], line["target"]) if seq}
    return frozenset(known)


def _seqs(lines: Sequence[Mapping[str, Any]]) -> set[int]:
    """The numbers of recorded lines and of the questions that they reply to."""
    asked = [line["asked"] for line in lines if "asked" in line]
    return {int(line["seq"]) for line in (*lines, *asked)}


def _sifted(hits: Sequence[Hit], asked: str) -> tuple[list[Hit], frozenset[int]]:
    """The hits that are worth quoting, and the numbers of the others but those they reply to."""
    telling = [hit for hit in hits if _worth_quoting(hit.line, asked)]
    kept = {hit.line.seq for hit in telling}
    kept |= {hit.asked.seq for hit in telling if hit.asked is not None}
    return telling, frozenset(hit.line.seq for hit in hits if hit.line.seq not in kept)


def _worth_quoting(line: Line, asked: str) -> bool:
    """Whether a line tells anything to who asks: not the same question, or one like it.

    What the model said itself it takes up again word for word, so it is quoted only where the text
    speaks of the one it is said to ("what did you tell me?"). Quoted everywhere, SmolLM2-135M-Instruct
    answered .75 of 32 questions about what it had been told a week before, this way .91 (8 talks, the
    difference .16 [.03, .31]).
    """
    if line.role == ASSISTANT and not asked_of_the_listener(asked):
        return False
    text = line.text
    return bool(text.strip()) and not (
        quoting.adds_nothing(text, [asked]) or quoting.only_asks(text)
    )


def _as_json(hit: Hit, zone: Any) -> dict[str, Any]:
    """A line that was found as events and records have it, its time in the zone of the clock.

    With `asked`, the question that it replies to, where it was found by that.
    """
    asked = {} if hit.asked is None else {"asked": _said(hit.asked, zone)}
    return {**_said(hit.line, zone), "score": hit.score, "terms": dict(hit.terms or {}), **asked}


def _said(line: Line, zone: Any) -> dict[str, Any]:
    return {
        "seq": line.seq,
        "anchor": line.anchor,
        "text": line.text,
        "role": line.role,
        "timestamp": line.timestamp.astimezone(zone).isoformat(),
    }
