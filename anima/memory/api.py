"""The PMLL memory: put, query, bias, peek, pop, rewind, verify, seal; knows no model and no screen.

One lock guards everything, so any thread may call anything; `AsyncMemory` mirrors it for event
loops. Nothing recurses, so no number of lines or rewinds is too many. Source: the seed's API
(PMLL 2.0), with what makes it hold: see `chain` and `history`.
"""

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType

from anima.memory.asking import Asking, Hit, Reply
from anima.memory.book import Book
from anima.memory.crypto import Secret
from anima.memory.keeping import Keeping
from anima.memory.racing import Racing
from anima.memory.ranking.hybrid import HybridRecall
from anima.memory.ranking.recall import Encoder, Recall

__all__ = ["Hit", "Memory", "Reply"]


class Memory(Keeping, Racing, Asking):
    """An open memory, held by this process alone until it is closed; `open` makes one.

    Every method raises StorageError where the disk refuses; the memory then stands as before the
    call and can be used on.
    """

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], datetime],
        secret: Secret | None = None,
        recall: Recall | None = None,
        encoder: Encoder | None = None,
    ) -> "Memory":
        """Open the memory at `path`, whose ending says which ledger it is; made on first use.

        Every line is read and checked. `recall` finds lines (words and vectors by default), `encoder`
        makes vectors of texts. Raises UsageError, BusyError, MemoryLocked, NewerVersionError,
        StorageError, and CorruptStateError: ChainBroken names a line that was changed, TailMissing
        says how many are gone.
        """
        with contextlib.ExitStack() as stack:
            book = stack.enter_context(Book.opened(path, secret))
            memory = cls(
                book=book,
                clock=clock,
                recall=HybridRecall() if recall is None else recall,
                encoder=encoder,
                held=stack,
            )
            memory._held = stack.pop_all()
        return memory

    def close(self) -> None:
        """Let go of the memory. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            self._held.close()

    def __enter__(self) -> "Memory":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
