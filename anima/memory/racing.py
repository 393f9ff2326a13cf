"""The part of a memory that races what is said, and answers what held when; decides nothing itself."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from anima.errors import UsageError
from anima.memory.book import Draft
from anima.memory.line import CLOSE, LINE, MERGE, RACE, Line, content_of, header_of
from anima.memory.ranking.recall import Question
from anima.memory.writing import Writing

if TYPE_CHECKING:
    # The rules' patterns take as long to compile as all else that a question needs.
    from anima.memory.claims.known import Known, Reading
    from anima.memory.claims.race import Close, Decision, Likelihood, Plan, Said

_NEAR = 0.95  # cosine above which two lines may be one
_LOOKED_AT = 5
_READ_OVER = 24  # lines that are found for the reader of pairs, other people's among them


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """What a line said of a slot and how long it held: `until` None while it does.

    `holds` is False for the news that something ended. `confidence` starts at 1 and is halved by
    every race that the claim lost, as the journal has it.
    """

    line: Line
    attribute: str
    value: str
    holds: bool
    since: datetime
    until: datetime | None
    confidence: float


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """A plan with the drafts that it becomes, the first of which gets the number `first`."""

    plan: "Plan"
    first: int
    drafts: Sequence[Draft]
    has_line: bool


class Racing(Writing):
    """The part of a memory that knows what its lines claim."""

    def race(
        self, said: "Sequence[Said]", *, likelihood: "Likelihood | None" = None
    ) -> "Sequence[Decision]":
        """Remember what was said by race and trace, all of it in one durable commit.

        Each is decided as though those before it were written; see `race` for how. `likelihood`
        lets the model score the candidates where there is a choice. Raises UsageError for what
        cannot be kept and StorageError; then nothing of it is there.
        """
        with self._locked(), self._encoding([each.text for each in said]):
            known = self._known()
            planned: list[_Planned] = []
            taken: dict[int, Line] = {}
            try:
                for each in said:
                    first = self.count + sum(len(one.drafts) for one in planned) + 1
                    one = self._planned(each, first, taken, likelihood)
                    planned.append(one)
                    taken |= self._count_in(one, known)
                lines = self.commit([draft for one in planned for draft in one.drafts])
            except BaseException:
                for seq in reversed(taken):
                    known.unread(seq)
                    self._standing.intervals.drop(seq)
                raise
            return [_decision(one, lines) for one in planned]

    def as_of(self, when: datetime) -> Sequence[Line]:
        """The lines that held at a time, in whole or in part, oldest first."""
        with self._locked():
            moment = _aware(when).timestamp()
            held = [
                (reading.when, reading.seq)
                for reading in self._known().readings()
                if reading.when <= moment < self._standing.intervals.closed_at(reading.seq)
            ]
            return [self._existing(seq) for _, seq in sorted(held)]

    def history(self, subject: str, attribute: str) -> Sequence[Held]:
        """What was ever said of a slot, with its intervals, oldest first.

        "user" or "I" is the person, "my sister" or a name somebody else; "city", "home" and the
        like are one attribute. What has a day, a time and a place is found by its plain name.
        """
        from anima.memory.claims.values import attribute_of, subject_of

        with self._locked():
            known = self._known()
            slot = (subject_of(subject), attribute_of(attribute))
            found = [
                self._span(reading, claim.attribute, claim.value, holds=claim.holds)
                for facet in known.facets(slot)
                for reading, claim in known.holders(facet)
            ]
            return sorted(found, key=lambda each: (each.since, each.line.seq))

    def holding(self, question: str) -> Sequence[Line]:
        """The lines that hold and say what a question asks for by name, the newest first."""
        from anima.memory.claims.asked import slot_asked

        with self._locked():
            slot = slot_asked(question)
            found = [] if slot is None else self.history(*slot)
            return [each.line for each in reversed(found) if each.holds and each.until is None]

    def intervals_of(self, line: int | str) -> tuple[datetime, datetime | None]:
        """From when and until when a line holds, None while any of it does."""
        with self._locked():
            found = self._existing(self.find(line))
            return found.timestamp, _moment(self._standing.intervals.closed_at(found.seq))

    def _span(self, reading: "Reading", attribute: str, value: str, *, holds: bool) -> Held:
        from anima.memory.claims.race import confidence

        line = self._existing(reading.seq)
        intervals = self._standing.intervals
        closings = [slot for slot in intervals.slots_closed(reading.seq) if slot[1] == attribute]
        until = min(
            (intervals.slot_closed_at(reading.seq, slot) for slot in closings),
            default=intervals.closed_at(reading.seq),
        )
        lost = (not math.isinf(until)) + self._known().races_about(reading.seq)
        return Held(
            line=line,
            attribute=attribute,
            value=value,
            holds=holds,
            since=line.timestamp,
            until=_moment(until),
            confidence=confidence(lost),
        )

    def read_claims(self, limit: int) -> int:
        """Read what up to `limit` more lines claim, ahead of the first race; returns how many are left.

        Races need it of every line, and it takes a fraction of a millisecond a line: whoever has
        time calls this until it returns 0. What it does changes no decision.
        """
        from anima.memory.claims.known import read

        with self._locked():
            standing = self._standing
            if standing.known is not None:
                return 0
            last = min(standing.read_to + limit, self.count)
            for seq in range(standing.read_to + 1, last + 1):
                if standing.history.in_force(seq) and standing.history.kind(seq) == LINE:
                    line = self._existing(seq)
                    standing.ahead[seq] = read(seq, line.role, line.timestamp, line.text)
            standing.read_to = last
            return self.count - last

    def _known(self) -> "Known":
        """What the lines claim, read now as far as `read_claims` has not read it."""
        from anima.memory.claims.known import Known

        standing = self._standing
        if standing.known is None:
            known = Known()
            for seq in range(1, self.count + 1):
                if seq in standing.ahead:
                    known.hold(standing.ahead[seq])
                elif standing.history.in_force(seq) and standing.history.kind(seq) in (LINE, RACE):
                    known.add(self._existing(seq))
            standing.known = known
            standing.ahead.clear()
        return standing.known

    def _planned(
        self,
        said: "Said",
        first: int,
        taken: Mapping[int, Line],
        likelihood: "Likelihood | None",
    ) -> _Planned:
        """The plan for one thing said; `taken` are the lines of this commit that come before it."""
        from anima.memory.claims import race
        from anima.memory.claims.known import read

        when = _aware(self._clock() if said.timestamp is None else said.timestamp)
        if not said.text.strip():
            raise UsageError("There is nothing to remember: the text is empty. Give some text.")
        new = read(first, said.role, when, said.text)
        judge = race.Race(
            known=self._known(),
            intervals=self._standing.intervals,
            text_of=lambda seq: (taken.get(seq) or self._existing(seq)).text,
            likelihood=likelihood,
        )
        plan, draft = judge.at_once(new, said.text), None
        if plan is None:
            draft = self.draft(
                None, said.text if said.value is None else (said.text, said.value), said.context,
                role=said.role, timestamp=when, valence=said.valence,
            )  # fmt: skip
            plan = judge.decide(new, said.text, self._near(draft))
            plan = self._read_over(plan, new, draft, taken)
        if plan.kind == "merge":
            target = taken.get(plan.target) or self._existing(plan.target)
            plan = race.in_session(plan, said.context, target.context)
        return _Planned(
            plan=plan,
            first=first,
            drafts=list(self._drafts(plan, said, when, draft)),
            has_line=draft is not None and plan.kind in ("insert", "close"),
        )

    def _near(self, draft: Draft) -> Sequence[int]:
        """The lines in force whose key is almost that of a draft, nearest first."""
        key, novelty = draft.content.key, draft.content.novelty
        if key is None or novelty is None or novelty >= 1 - _NEAR:
            return ()
        now = draft.header.timestamp
        found = self._recall.search(Question(vector=key, now=now), _LOOKED_AT).found
        return [each.seq for each in found]

    def _read_over(
        self, plan: "Plan", new: "Reading", draft: Draft, taken: Mapping[int, Line]
    ) -> "Plan":
        """The plan, with what the learned reader of pairs closes where the rules have no say."""
        from anima.memory.claims import likeness
        from anima.memory.claims.replacing import replacing_for
        from anima.memory.claims.together import together_for

        name = getattr(self._encoder, "name", None)
        reader = None if name is None else replacing_for(name)
        content = draft.content
        if reader is None or not likeness.may_replace(plan, reader, new, content.key):
            return plan
        question = Question(vector=content.key, now=draft.header.timestamp)
        found = [each.seq for each in self._recall.search(question, _READ_OVER).found]
        intervals = self._standing.intervals
        olds = [
            likeness.Older(reading=reading, text=line.text, key=line.key)
            for line in (taken.get(seq) or self._existing(seq) for seq in {*found, *taken})
            if (reading := self._known().reading(line.seq)) is not None
            and line.key is not None
            and math.isinf(intervals.closed_at(line.seq))
        ]
        together = together_for(self._encoder)
        return likeness.read_over(plan, reader, new, content, olds, together)

    def _drafts(
        self, plan: "Plan", said: "Said", when: datetime, draft: Draft | None
    ) -> list[Draft]:
        """The records of a plan: a line and what it closes, a merge, or a journal alone."""
        if plan.kind == "merge":
            header = header_of(kind=MERGE, role=said.role, timestamp=when, target=plan.target)
            context = {"context": dict(said.context), "race": plan.journal}
            content = content_of(text=said.text, context=context, valence=said.valence)
            return [Draft(header=header, content=content)]
        if plan.kind == "skip" or draft is None:
            content_of(text=said.text, context=said.context, valence=said.valence)
            return [self._journalled(plan, when)]
        closings = [_closing(each, plan) for each in plan.closes]
        return [draft, *closings, *([self._journalled(plan, when)] if plan.contested else [])]

    def _journalled(self, plan: "Plan", when: datetime) -> Draft:
        header = header_of(kind=RACE, role="", timestamp=when, target=plan.target)
        return Draft(header=header, content=content_of(context={"race": plan.journal}))

    def _count_in(self, one: _Planned, known: "Known") -> Mapping[int, Line]:
        """Let what is about to be written count for what is decided next."""
        lines = [
            Line(seq=one.first + at, anchor="", header=draft.header, content=draft.content)
            for at, draft in enumerate(one.drafts)
        ]
        for line in lines:
            known.add(line)
            self._standing.intervals.add(line)
        return {line.seq: line for line in lines}


def _closing(close: "Close", plan: "Plan") -> Draft:
    when = datetime.fromtimestamp(close.when, UTC)
    context = {
        "by": close.by,
        "slots": [list(slot) for slot in close.slots],
        "whole": close.whole,
        "race": plan.journal,
    }
    header = header_of(kind=CLOSE, role="", timestamp=when, target=close.target)
    return Draft(header=header, content=content_of(context=context))


def _decision(one: _Planned, lines: Sequence[Line]) -> "Decision":
    from anima.memory.claims.race import Decision

    own = [line for line in lines if one.first <= line.seq < one.first + len(one.drafts)]
    plan = one.plan
    return Decision(
        kind=plan.kind,
        line=own[0] if one.has_line else None,
        target=plan.target or None,
        closed=tuple(each.target for each in plan.closes),
        reason=plan.reason,
        candidates=dict(plan.candidates),
        records=tuple(line.seq for line in own),
    )


def _aware(when: datetime) -> datetime:
    if when.tzinfo is None:
        raise UsageError(f"The time {when.isoformat()} has no zone: give one, such as +00:00.")
    return when


def _moment(seconds: float) -> datetime | None:
    return None if math.isinf(seconds) else datetime.fromtimestamp(seconds, UTC)
