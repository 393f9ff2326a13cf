"""Whether an answer says what is right, without a judge: the words themselves, or the number."""

import re
import unicodedata
from collections.abc import Sequence

from anima.evaluation import measures

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"-?\d+")


def says(text: str, answers: Sequence[str]) -> bool:
    """Whether a text gives one of the answers, any of which is right.

    A whole number in digits has to be what the text comes to (`measures.gives_answer`); of other
    answers the words have to stand there one after the other. Case, accents and signs are passed
    over.
    """
    spoken = f" {_plain(text)} "
    return any(
        measures.gives_answer(text, answer)
        if _NUMBER.fullmatch(answer)
        else f" {_plain(answer)} " in spoken
        for answer in answers
    )


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(each for each in apart if not unicodedata.combining(each))
    return " ".join(_WORD.findall(bare))
