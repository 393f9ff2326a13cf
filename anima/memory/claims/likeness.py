"""Which older lines a new one replaces where no rule has anything to say; knows no ledger, no file.

The learned reader of pairs looks at the nearest older lines of the same speaker. From its `sure` on a
line is closed as a whole, or in part where it says more than one thing; from its `likely` on it is
closed in part only, so that the newer one is found before it. Where there is a reader of both texts
at once, it has the last word on what the first one leaves open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anima.memory.claims import replacing
from anima.memory.claims.claims import USER
from anima.memory.claims.known import Reading
from anima.memory.claims.race import LITTLE, Close, Plan
from anima.memory.claims.replacing import CANDIDATES, Replacing
from anima.memory.claims.together import Together
from anima.memory.line import Content, Vector
from anima.memory.ranking.vectors import unit

_ONE_THING = 10
"""Content words up to which a line without claims is held to say one thing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Older:
    """An open line: its reading, its text and its key `[d]`."""

    reading: Reading
    text: str
    key: Vector


def may_replace(plan: Plan, reader: Replacing, new: Reading, key: Vector | None) -> bool:
    """Whether it is worth looking for what a line replaces: the rules insert it, and it claims."""
    if plan.kind != "insert" or plan.closes or new.role != USER:
        return False
    return key is not None and key.size == reader.width and reader.claims(unit(key))


def read_over(
    plan: Plan,
    reader: Replacing,
    new: Reading,
    content: Content,
    olds: Sequence[Older],
    together: Together | None = None,
) -> Plan:
    """The plan of the rules, with the closings that the reader of pairs adds to an insertion."""
    if content.key is None or plan.kind != "insert" or plan.closes:
        return plan
    said = replacing.Line(text=content.text, key=unit(content.key))
    lines = [
        (old.reading, replacing.Line(text=old.text, key=unit(old.key)))
        for old in olds
        if old.reading.role == new.role
        and old.key.size == content.key.size
        and (old.reading.when, old.reading.seq) < (new.when, new.seq)
    ]
    near = sorted(lines, key=lambda old: -float(old[1].key @ said.key))[:CANDIDATES]
    chances = reader.chances(said, [line for _, line in near])
    if together is not None:
        chances = together.chances(said.text, [line.text for _, line in near], chances)
    last = reader if together is None else together
    closes = [
        _close(old, new, whole=chance >= last.sure)
        for (old, _), chance in zip(near, chances.tolist(), strict=True)
        if chance >= last.likely
    ]
    if not closes:
        return plan
    surest = float(chances.max())
    return replace(
        plan,
        kind="close",
        by="likeness",
        closes=closes,
        candidates={"close": surest, "insert": 1.0 - surest},
        reason=f"it reads as replacing {', '.join(f'line {each.target}' for each in closes)}",
    )


def _close(old: Reading, new: Reading, *, whole: bool) -> Close:
    slots = {claim.slot for claim in old.claims if claim.attribute}
    one_thing = old.rest <= LITTLE and len(slots) == 1 if slots else len(old.words) <= _ONE_THING
    whole = whole and one_thing
    # A slot that is closed is closed for the rules too: of a part nobody knows which slot it is.
    return Close(
        target=old.seq, when=new.when, by=new.seq, slots=sorted(slots) if whole else (), whole=whole
    )
