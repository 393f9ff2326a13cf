"""Text to token ids and back; knows which strings are special, and nothing of turns or models."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer as Backend

from anima.errors import CorruptModelError


class Tokenizer:
    """A `tokenizers` tokenizer with two doors: text, where nothing is special, and literals."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.fingerprint = hashlib.sha256(backend.to_str().encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """The ids of a text in which special tokens are plain characters.

        What a person types must not open a turn of its own.
        """
        self._backend.encode_special_tokens = True
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_literal(self, text: str) -> list[int]:
        """The ids of a template's own literal, in which special tokens are special."""
        self._backend.encode_special_tokens = False
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out; incomplete characters become U+FFFD."""
        return str(self._backend.decode(list(ids), skip_special_tokens=True))

    def token_id(self, token: str) -> int | None:
        """The id of one token by its exact string, or None."""
        found = self._backend.token_to_id(token)
        return None if found is None else int(found)


def read_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer.json; raises CorruptModelError naming the file."""
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)  # the library has no error of its own for a file that is not JSON
    except (OSError, ValueError) as error:
        raise CorruptModelError(f"{path} cannot be read as a tokenizer: {error}") from error
    return Tokenizer(Backend.from_str(text))


class TextStream:
    """Turns ids into text as they come, never cutting a character: feed ids, then finish.

    The pieces joined are the text of all ids decoded at once.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0  # decoding begins here, a few tokens back, because a decoder may look left
        self._shown = 0  # characters of the window already given out

    def feed(self, token: int) -> str:
        """The text that became certain with this token; may be empty."""
        self._ids.append(token)
        window = self._tokenizer.decode(self._ids[self._start :])
        # Only the last replacement character can still become a real one.
        certain = len(window) - window.endswith("\ufffd")
        piece = window[self._shown : certain]
        self._shown = max(self._shown, certain)
        self._slide(window, certain)
        return piece

    def finish(self) -> str:
        """What is left when no token follows: an incomplete character as U+FFFD, or nothing."""
        window = self._tokenizer.decode(self._ids[self._start :])
        piece = window[self._shown :]
        self._shown = len(window)
        return piece

    def _slide(self, window: str, certain: int) -> None:
        if certain < len(window) or len(self._ids) - self._start < 32:
            return
        kept = len(self._ids) - 8
        tail = self._tokenizer.decode(self._ids[kept:])
        if tail and window.endswith(tail) and not tail.startswith("\ufffd"):
            self._start, self._shown = kept, len(tail)
