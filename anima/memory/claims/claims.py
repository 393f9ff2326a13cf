"""What a claim is: a value in the slot of a subject and an attribute; knows no text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Slot = tuple[str, str]
"""A subject and an attribute, both in their one form."""

USER: Final = "user"
HOME: Final = ("city", "state", "country")
"""The attributes of where somebody lives, finest first."""

PLENTY: Final = frozenset(
    ["likes", "dislikes", "allergy", "language", "plays", "drinks", "grew up", "hobby"]
)
"""The attributes of which somebody has any number, so that one more closes none."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that a text says of somebody or something.

    `many`: others of the same slot may hold beside it, so that making it closes nothing. `holds` is
    False for what ended, with "" as the value where all of the slot did. `old` is the value that it
    replaces, where that was said; with `attribute` "" the slot is the one that has `old`. `known`
    counts only where the slot is known already; `corrects` where a change was spoken of; `all_said`
    where its clause says nothing else. `span` is where in the text it stands.
    """

    subject: str
    attribute: str
    value: str
    many: bool = False
    holds: bool = True
    old: str = ""
    known: bool = False
    corrects: bool = False
    all_said: bool = False
    span: tuple[int, int] = (0, 0)

    @property
    def slot(self) -> Slot:
        return (self.subject, self.attribute)


@dataclass(frozen=True, kw_only=True)
class Told:
    """The claims of a clause, and of whom and of what it spoke for the clauses after it.

    `claims` may hold one without an attribute and without an old value, for “not X” to complete.
    """

    claims: Sequence[Claim] = ()
    person: str = ""
    topic: Slot | None = None
