"""Race and trace: what becomes of a thing that was said, insert, merge, close or skip; writes nothing.

    race   the candidates that what is known allows, each with a score
    trace  the winner is written, the losers' confidence halves, the decision is journalled

Only claims in one slot may close each other, in the order of when they were said, ties by number; a
late arrival older than what is known is kept with its interval closed. By `rules` the score is 1
for the candidate that the table below names and 0 for the others. By `likelihood` it is

    −( NLL(what was said | memory with the candidate applied)
       + NLL(its value | that memory and the question for the slot) + .1 · lines in that memory )

per token, asked for only where there is a choice. Source: the seed's “Race/Trace”, which names it
and gives no rule.

    nothing but filler, such as “thanks”                       skip
    a known wording, or a near-duplicate that says no more     merge; skip in the same session
    the same value in the same slot, and nothing else          merge
    another value in a slot that has one value; an ending      close
    anything else                                              insert

Where a rule inserts, a reader of pairs that was learned may still close, see `likeness`.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from anima.memory.claims import values
from anima.memory.claims.claims import PLENTY, USER, Claim, Slot
from anima.memory.claims.frames import FRAME
from anima.memory.claims.intervals import Intervals
from anima.memory.claims.known import Known, Reading, says_no_more
from anima.memory.claims.vocabulary import FILLER
from anima.memory.line import Json, Line, Vector

Kind = Literal["insert", "merge", "close", "skip"]

LITTLE: Final = 2
"""Words outside its claims up to which a line says nothing else."""

PER_LINE: Final = 0.1
"""What a line of memory costs in nats per token: of two memories that explain as much, the smaller."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """One thing that was said, to be remembered; the clock's time where it has none."""

    text: str
    role: str = "user"
    timestamp: datetime | None = None
    context: Mapping[str, Json] = field(default_factory=dict)
    valence: float | None = None
    value: Vector | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """What became of it.

    `line` is the new line, None where none was written; `target` the line into which it was merged
    or which made it superfluous; `closed` the lines whose interval it ended in whole or in part, its
    own number among them where it arrived late; `candidates` the score of each, the higher the
    better; `records` every record that was written for it, for `Memory.take_back`.
    """

    kind: Kind
    line: Line | None
    target: int | None
    closed: Sequence[int]
    reason: str
    candidates: Mapping[str, float]
    records: Sequence[int] = ()


class Likelihood(Protocol):
    """The model's mean NLL in nats per token of a text that follows a context."""

    def __call__(self, context: str, text: str) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Close:
    """An interval to end: of which line, when, by which line, in which slots, all of it or not."""

    target: int
    when: float
    by: int
    slots: Sequence[Slot]
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A decision before it is written; `target` 0 for none."""

    kind: Kind
    reason: str
    target: int = 0
    closes: Sequence[Close] = ()
    candidates: Mapping[str, float] = field(default_factory=dict)
    by: Literal["rules", "likelihood", "likeness"] = "rules"
    contested: bool = False

    @property
    def journal(self) -> dict[str, Any]:
        return {
            "winner": self.kind,
            "candidates": dict(self.candidates),
            "by": self.by,
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True)
class Race:
    """Decides by what is known. `text_of` gives the words of a known line, for the likelihood arm."""

    known: Known
    intervals: Intervals
    text_of: Callable[[int], str]
    likelihood: Likelihood | None = None

    def at_once(self, new: Reading, text: str) -> Plan | None:
        """The decision that needs no vector: filler, and a wording that is known."""
        if filler(text):
            return _ruled(Plan(kind="skip", reason="it says nothing"), "insert")
        for old in self.known.worded(new.role, new.form):
            if self._open(old.seq) and (new.when >= old.when or not new.claims):
                return _ruled(Plan(kind="merge", target=old.seq, reason="the same words"), "insert")
        return None

    def decide(self, new: Reading, text: str, near: Sequence[int]) -> Plan:
        """The decision on what is no known wording; `near` are lines with a cosine above .95."""
        claims = tuple(self._resolved(new))
        closes = tuple(self._closes(new, claims))
        others = [each for each in closes if each.target != new.seq]
        if others:
            return self._raced(
                new, text, claims, Plan(kind="close", closes=closes, reason=_why(others))
            )
        if closes:
            return _ruled(Plan(kind="insert", closes=closes, reason="said before what is known"))
        same = self._same(new, claims)
        if same is not None:
            return self._raced(
                new, text, claims, Plan(kind="merge", target=same.seq, reason="the same value")
            )
        for seq in near:
            old = self.known.reading(seq)
            if old is not None and self._open(seq) and says_no_more(new, old):
                plan = Plan(kind="merge", target=seq, reason="a near-duplicate that says no more")
                return self._raced(new, text, claims, plan)
        return _ruled(Plan(kind="insert", reason="nothing like it is known"))

    def _open(self, seq: int) -> bool:
        """Whether all of a line holds."""
        return math.isinf(self.intervals.closed_at(seq)) and not self.intervals.slots_closed(seq)

    def _resolved(self, new: Reading) -> Iterator[Claim]:
        """The claims with their slots: what “it” is, and of what “from tea to coffee” speaks."""
        for claim in new.claims:
            if not claim.attribute:
                slots = {each.slot for _, each in self._holding(self.known.with_value(claim.old))}
                if len(slots) == 1 and claim.value != claim.old:
                    (slot,) = slots
                    found = replace(claim, subject=slot[0], attribute=slot[1])
                    # “I sold my Golf” says what ended, and not what came after.
                    ended = replace(found, value=claim.old, holds=False)
                    yield found if claim.value else ended
                continue
            if any(True for _ in self._holding(self.known.holders(claim.slot))):
                yield claim
                continue
            like = [
                slot
                for slot in self.known.slots_like(claim.slot)
                if any(True for _ in self._holding(self.known.holders(slot)))
            ]
            if (claim.corrects or claim.known) and len(like) == 1:
                yield replace(claim, subject=like[0][0], attribute=like[0][1])
            elif not claim.known:
                yield claim

    def _holding(self, holders: Sequence[tuple[Reading, Claim]]) -> Iterator[tuple[Reading, Claim]]:
        """Those whose claim still holds."""
        for reading, claim in holders:
            if claim.holds and math.isinf(self.intervals.slot_closed_at(reading.seq, claim.slot)):
                yield reading, claim

    def _closes(self, new: Reading, claims: Sequence[Claim]) -> Iterator[Close]:
        """The intervals that end: of older lines by this one, and of this one by a newer."""
        ended: dict[int, set[Slot]] = {}
        late: dict[int, set[Slot]] = {}
        for claim in claims:
            for old, held in self.known.holders(claim.slot):
                if old.seq == new.seq or not _contradict(claim, held):
                    continue
                if (old.when, old.seq) > (new.when, new.seq):
                    if claim.holds and held.holds and not held.many:
                        late.setdefault(old.seq, set()).add(claim.slot)
                elif self.intervals.slot_closed_at(old.seq, held.slot) > new.when:
                    ended.setdefault(old.seq, set()).add(held.slot)
        for seq, slots in ended.items():
            yield self._close(self.known.reading(seq), slots, new.seq, new.when)
        yield from self._late(new, late)

    def _late(self, new: Reading, late: Mapping[int, set[Slot]]) -> Iterator[Close]:
        """One closing of the new line for each newer line that is the first to contradict it."""
        settled: set[Slot] = set()
        for seq in sorted(late, key=lambda each: self._when(each)):
            slots = late[seq] - settled
            settled |= slots
            if slots:
                whole = new.rest <= LITTLE and {c.slot for c in new.claims} <= settled
                yield Close(
                    target=new.seq, when=self._when(seq), by=seq, slots=sorted(slots), whole=whole
                )

    def _when(self, seq: int) -> float:
        reading = self.known.reading(seq)
        return math.inf if reading is None else reading.when

    def _close(self, old: Reading | None, slots: set[Slot], by: int, when: float) -> Close:
        assert old is not None
        telling = _telling(old)
        left = {
            claim.slot
            for claim in telling
            if math.isinf(self.intervals.slot_closed_at(old.seq, claim.slot))
        }
        # Two things that one line likes are two claims of one slot: closing one leaves the other.
        gone = {claim.slot for claim in telling} - left
        whole = old.rest <= LITTLE and left <= slots and len(telling) <= len(slots | gone)
        return Close(target=old.seq, when=when, by=by, slots=sorted(slots), whole=whole)

    def _same(self, new: Reading, claims: Sequence[Claim]) -> Reading | None:
        """The open line that already holds every claim, where nothing else is said."""
        if not claims or new.rest > LITTLE:
            return None
        if not all(claim.holds and not claim.attribute.startswith(FRAME) for claim in claims):
            return None
        for old, _ in self.known.holders(claims[0].slot):
            if old.seq != new.seq and old.when <= new.when and self._open(old.seq):
                held = [claim for claim in old.claims if claim.holds]
                said = all(claim.all_said for claim in claims) or _no_more_words(new, old)
                if said and all(any(_covers(each, claim) for each in held) for claim in claims):
                    return old
        return None

    def _raced(self, new: Reading, text: str, claims: Sequence[Claim], plan: Plan) -> Plan:
        """Let the candidate of the rules race against plain insertion, where the model is asked."""
        if self.likelihood is None:
            return _ruled(plan, "insert")
        others = [c.target for c in plan.closes if c.target != new.seq] or [plan.target]
        old = [self.text_of(seq) for seq in sorted(others)[-3:]]
        memories: dict[Kind, list[str]] = {
            "insert": [*old, text],
            plan.kind: [text] if plan.kind == "close" else old,
        }
        scores: dict[str, float] = {
            name: -self._cost(memory, text, claims) for name, memory in memories.items()
        }
        won = max(scores, key=lambda name: (scores[name], name == plan.kind))
        if won == plan.kind:
            return replace(plan, candidates=scores, by="likelihood")
        own = [each for each in plan.closes if each.target == new.seq]
        reason = f"{plan.kind} explained it less well: {plan.reason}"
        return Plan(
            kind="insert", target=max(others), closes=own, candidates=scores, by="likelihood",
            contested=True, reason=reason,
        )  # fmt: skip

    def _cost(self, memory: Sequence[str], text: str, claims: Sequence[Claim]) -> float:
        assert self.likelihood is not None
        context = "What is known:\n" + "".join(f"- {each}\n" for each in memory)
        cost = self.likelihood(context + "What was said:\n", text) + PER_LINE * len(memory)
        for claim in claims:
            if claim.holds and claim.value:
                question = f"{context}Question: {probe(claim.slot)}\nAnswer:"
                cost += self.likelihood(question, f" {claim.value}")
        return cost


def in_session(plan: Plan, new: Mapping[str, Json], old: Mapping[str, Json]) -> Plan:
    """A merge as a skip where the words came in the session and the context of the line itself.

    What a merge would keep is a context; there is none to keep. Turns are not compared.
    """
    if plan.kind != "merge" or new.get("session") is None:
        return plan
    one, other = ({k: v for k, v in each.items() if k != "turn"} for each in (new, old))
    if one != other:
        return plan
    scores = dict(plan.candidates)
    scores["skip"] = scores.pop("merge", 1.0)
    return replace(
        plan, kind="skip", candidates={**scores, "merge": 0.0} if plan.by == "rules" else scores
    )


def probe(slot: Slot) -> str:
    """The question for what a slot holds."""
    subject, attribute = slot
    owner = "the user's" if subject == USER else f"{subject}'s"
    return f"What is {owner} {attribute}?"


def filler(text: str) -> bool:
    """Whether a text is nothing but a reaction, such as “ok, thanks” or “lol”."""
    words = re.findall(r"[^\W_][\w']*|[:;][)(dp]", text.casefold())
    if not words:
        # Without a letter or a digit there is nothing to find it by.
        return not any(character.isalnum() for character in text) and len(text) < 20
    return len(words) <= 6 and all(
        word in FILLER or re.fullmatch(r"(?:ha|he)+h?|l+o+l+|h+m+|o+h+", word) for word in words
    )


def confidence(lost: int) -> float:
    """A claim's confidence after it lost so many races: each halves it."""
    return 0.5**lost


def _ruled(plan: Plan, *losers: Kind) -> Plan:
    return replace(plan, candidates={plan.kind: 1.0, **dict.fromkeys(losers, 0.0)})


def _telling(old: Reading) -> Sequence[Claim]:
    """The claims for which a line is kept: what holds, and what ended only where nothing holds."""
    sure = [claim for claim in old.claims if claim.attribute and not claim.known] or old.claims
    return [claim for claim in sure if claim.holds] or sure


def _contradict(new: Claim, old: Claim) -> bool:
    """Whether a new claim ends an older one of its slot."""
    if not old.holds:
        # “I work at Google again” ends “I no longer work at Google”.
        return new.holds and bool(old.value) and not old.old and values.agree(new.value, old.value)
    if not new.holds:
        return not new.value or values.agree(new.value, old.value)
    if new.old and values.agree(new.old, old.value) and new.value != old.value:
        return True
    few, most = sorted((set(new.value.split()), set(old.value.split())), key=len)
    if (
        new.corrects
        and not new.many
        and few < most
        and (len(old.value) < len(new.value) or _dated(new))
    ):
        # “I'm the head baker now” takes the place of the baker.
        return True
    if (new.many and not new.corrects) or values.agree(new.value, old.value):
        return False
    if new.many:
        # Only what was said in the same loose way, and never one of several things liked.
        return old.many and new.attribute not in PLENTY
    # “I have a dog named Rex” leaves room for another dog, unless this corrects it.
    return not old.many or new.corrects


def _dated(claim: Claim) -> bool:
    return claim.attribute.endswith((" day", "birthday"))


def _covers(held: Claim, claim: Claim) -> bool:
    """Whether a claim says no more than one that is held."""
    return (
        held.attribute == claim.attribute
        and set(claim.value.split()) <= set(held.value.split())
        and values.agree(held.value, claim.value)
    )


def _no_more_words(new: Reading, old: Reading) -> bool:
    """Whether a line has at most one word that neither another has nor its slots' names."""
    named = {
        values.stem(word)
        for claim in (*new.claims, *old.claims)
        for word in f"{claim.subject} {claim.attribute}".split()
    }
    return len(new.words - old.words - named) <= 1


def _why(closes: Sequence[Close]) -> str:
    names = sorted(
        {f"{subject}: {attribute}" for each in closes for subject, attribute in each.slots}
    )
    return f"it says otherwise of {', '.join(names)}"
