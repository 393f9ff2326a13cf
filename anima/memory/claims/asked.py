"""Which slot a question asks for by its name; English, and knows no line.

"What's my name?" and "Hi, I'm Tomas. I work as a gardener in Leeds." share no word and little
meaning, and yet the one answers the other: both are about the name of the user.
"""

import re
from typing import Final

from anima.memory.claims.values import attribute_of, subject_of

Slot = tuple[str, str]
"""A subject and an attribute, each in its one form."""

_LONGEST: Final = 120
_BEFORE: Final = (
    r"(?:(?:and|so|hey|ok|okay|please|sorry),? )*"
    r"(?:(?:do you (?:still )?(?:know|remember)|can you tell me|tell me|remind me),? )?"
)
_AFTER: Final = r"(?: (?:again|now|these days|at the moment|currently|please|exactly))*"
_BE: Final = r"(?:'s|s| is| are| was)"

_OF_USER: Final = {
    r"who am i|what am i called|what(?:'s| is) it i am called": "name",
    r"how old am i": "age",
    r"where do (?:i|we) live|(?:which|what) (?:city|town) do (?:i|we) live in": "city",
    r"(?:where|who) do i work(?: for| at)?": "employer",
    r"what do i do(?: for a living| for work)?|what do i work as": "job",
}
_FIXED: Final = {re.compile(pattern): attribute for pattern, attribute in _OF_USER.items()}
_NAME_OF: Final = re.compile(rf"what{_BE} the name of (?:my|our) (.+)")
_NAMED: Final = re.compile(rf"(?:what|who|when|where|which){_BE} (?:my|our) (.+?)( called)?")
_LIVES: Final = re.compile(r"where (?:does|do) (my .+?) live")
_WHOLE: Final = re.compile(rf"{_BEFORE}(.+?){_AFTER}")


def slot_asked(question: str) -> Slot | None:
    """The slot whose value a question asks for, None where it names none."""
    plain = " ".join(question.casefold().replace("\u2019", "'").split()).rstrip(" ?!.")
    whole = _WHOLE.fullmatch(plain) if len(plain) <= _LONGEST else None
    if whole is None:
        return None
    asked = whole[1]
    for pattern, attribute in _FIXED.items():
        if pattern.fullmatch(asked):
            return "user", attribute_of(attribute)
    if found := _LIVES.fullmatch(asked):
        return subject_of(found[1]), attribute_of("city")
    if found := _NAME_OF.fullmatch(asked):
        return _named(found[1])
    if found := _NAMED.fullmatch(asked):
        return _named(found[1]) if found[2] else ("user", attribute_of(found[1]))
    return None


def _named(thing: str) -> Slot:
    """The slot that holds the name of a person or a thing of the user's."""
    subject = subject_of(f"my {thing}")
    return (subject, "name") if subject.startswith("user's ") else ("user", attribute_of(thing))
