"""What every part of a memory stands on: its book, what of it counts, its lock; finds no line by meaning."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from anima.errors import CorruptStateError, StateError, UsageError
from anima.memory.arguments import require_natural
from anima.memory.book import Book
from anima.memory.line import SHORT, Line, Vector, content_of, vector_of
from anima.memory.ranking.reading import Readers
from anima.memory.ranking.recall import Encoder, Recall
from anima.memory.standing import Standing

ANCHOR = re.compile(rf"[0-9a-f]{{{SHORT},64}}")
"""An anchor, whole or as it is shown."""

_FEW = 4  # texts that are encoded one by one: some of them may need no vector


class Core:
    """A memory that is open, and its records by number and anchor. The parts extend this."""

    def __init__(
        self,
        *,
        book: Book,
        clock: Callable[[], datetime],
        recall: Recall,
        encoder: Encoder | None,
        held: contextlib.ExitStack,
    ) -> None:
        self._book = book
        self._clock = clock
        self._recall = recall
        self._encoder = encoder
        self._held = held
        self._lock = threading.RLock()
        self._closed = False
        self._encoded = False
        self._made: Mapping[str, Vector] = {}
        self._readers: Readers | None = None
        self.after_commit: Callable[[], None] | None = None
        """Called after every commit, before it is acknowledged; where it raises, so does the call."""
        self._standing = self._load()

    @property
    def place(self) -> Path:
        return self._book.place

    @property
    def count(self) -> int:
        """Records in the ledger, those of pops and rewinds among them."""
        return self._book.count

    @property
    def head(self) -> str:
        """The last anchor, 64 hexadecimal digits; of an empty memory its genesis."""
        return self._book.head

    @property
    def encrypted(self) -> bool:
        return self._book.encrypted

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other threads out while several calls make one change."""
        with self._locked():
            yield

    @property
    def encoder_name(self) -> str | None:
        """What made the keys of its texts, by name; None before the first one, or where it has none."""
        return self._book.encoder

    @property
    def value_width(self) -> int | None:
        """Numbers in a value vector, None while no line has one."""
        return self._standing.widths.value

    def __len__(self) -> int:
        """Lines in force."""
        with self._locked():
            return sum(1 for _ in self._standing.history.newest())

    def find(self, line: int | str) -> int:
        """The number of a record by its number or its anchor, whole or as it is shown."""
        with self._locked():
            if isinstance(line, int):
                if not 1 <= line <= self.count:
                    raise UsageError(f"There is no line {line}: the memory has {self.count}.")
                return line
            seq = self._standing.by_anchor(line) if ANCHOR.fullmatch(line) else None
            if seq is None or not self._existing(seq).anchor.startswith(line):
                raise UsageError(f"There is no line with the anchor {line!r} in the memory.")
            return seq

    def line(self, line: int | str) -> Line:
        """One record by its number or its anchor, whether in force or not; raises UsageError."""
        with self._locked():
            return self._existing(self.find(line))

    def in_force(self, line: int | str) -> bool:
        """Whether a record counts now: not popped, rewound, forgotten or erased."""
        with self._locked():
            return self._standing.history.in_force(self.find(line))

    def peek(self, n: int = 1) -> Sequence[Line]:
        """The newest `n` lines in force, newest first."""
        require_natural("n", n)
        with self._locked():
            return [self._existing(seq) for seq in self._newest(n)]

    def lines(self) -> Iterator[Line]:
        """Every record of the ledger as of now, in its order, each read when it is asked for."""
        for seq in range(1, self.count + 1):
            yield self.line(seq)

    def _load(self) -> Standing:
        """Read and check everything, and tell the recall what is in force in the end."""
        self._recall.clear()
        standing = Standing(recall=self._recall, read=self._existing)
        standing.take_in(self._book.read())
        return standing

    def _key(self, key: object, text: str) -> Vector | None:
        if key is not None and not isinstance(key, str):
            return vector_of(key, "key", directed=True)
        words = text if key is None else key
        if self._encoder is not None and words.strip():
            self._require_encoder()
            made = self._made.get(words)
            if made is None:
                made = self._encoder(words)
            if made is not None:
                self._encoded = True
                return vector_of(made, "key", directed=True)
        if key is None:
            return None
        raise UsageError("A text as a key needs an encoder, which this memory was opened without.")

    @contextlib.contextmanager
    def _encoding(self, texts: Sequence[str]) -> Iterator[None]:
        """Have the keys of many texts made at once, where the encoder has `many` for it.

        That takes half the time of one after the other. A text that cannot be kept is left out.
        """
        many = getattr(self._encoder, "many", None)
        if many is not None and len(texts) > _FEW:
            self._require_encoder()
            sound = [text for text in dict.fromkeys(texts) if text.strip() and _is_sound(text)]
            self._made = dict(zip(sound, many(sound), strict=False))
        try:
            yield
        finally:
            self._made = {}

    def _require_encoder(self) -> None:
        """Refuse an encoder whose vectors cannot be compared with the keys that are there."""
        given, noted = getattr(self._encoder, "name", None), self._book.encoder
        if given is not None and noted is not None and given != noted:
            raise UsageError(
                f"The keys of {self.place} were made by the encoder {noted}, and this one is "
                f"{given}: open it with {noted}, or use `anima memory convert --encoder {given}`."
            )

    def _newest(self, n: int) -> list[int]:
        return [seq for seq, _ in zip(self._standing.history.newest(), range(n), strict=False)]

    def _existing(self, seq: int) -> Line:
        line = self._book.line(seq)
        if line is None:
            raise CorruptStateError(f"Line {seq} of {self.place} is gone while it was in use.")
        return line

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StateError(f"The memory {self.place} is closed; open it again.")
            yield


def _is_sound(text: str) -> bool:
    try:
        content_of(text=text)
    except UsageError:
        return False
    return True
