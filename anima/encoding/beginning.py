"""The tokens of a text's beginning, without reading a long text to its end; knows no model."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_CHARACTERS = 1 << 14
_LONGEST_WORD = 256  # characters; a word of more than a hundred is one unknown token


def beginning(tokenizer: "Tokenizer", text: str) -> "Encoding":
    """What a tokenizer that truncates makes of a text, the same as of all of it.

    It must split at spaces first, as BERT's do: then what follows a word changes nothing in it. Ten
    megabytes would take it twelve seconds, for 256 tokens.
    """
    size = _CHARACTERS
    while size < len(text):
        found = tokenizer.encode(text[:size])
        last = max((end for _, end in found.offsets), default=0)
        if found.overflowing and last + _LONGEST_WORD < size:
            return found
        size *= 4
    return tokenizer.encode(text)
