"""Which strings are English words, by a packaged list; knows no grammar and no names."""

from collections.abc import Callable
from functools import cache

from anima.errors import UsageError

INSTALL = "Install what evaluations need: pip install 'anima-runtime[eval]'"


@cache
def english() -> Callable[[str], bool]:
    """Whether a lower-case word is among the 160,000 of pyspellchecker's English list.

    British spellings are partly missing, so compare arms by it and read no absolute figure.
    Raises UsageError where the `eval` extra is not installed.
    """
    try:
        from spellchecker import SpellChecker
    except ImportError as error:
        raise UsageError(
            f"Telling words from broken ones needs pyspellchecker. {INSTALL}"
        ) from error
    words = SpellChecker(distance=1).word_frequency

    def known(word: str) -> bool:
        return word in words

    return known
