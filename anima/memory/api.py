"""The PMLL memory: put, query, bias, peek, pop, rewind, verify, seal; knows no model and no screen.

One lock guards everything, so any thread may call anything; `AsyncMemory` mirrors it for event
loops. Nothing recurses, so no number of lines or rewinds is too many. Source: the seed's API
(PMLL 2.0), with what makes it hold: see `chain` and `history`.
"""

import contextlib
import io
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from anima.errors import CorruptStateError, HeadMoved, StateError, UsageError
from anima.home import write_atomically
from anima.memory import concert, crypto, exchange, temporal
from anima.memory.arguments import require_natural, split_value
from anima.memory.book import Book, Draft, Verdict
from anima.memory.chain import Seal
from anima.memory.crypto import Secret
from anima.memory.line import (
    ERASE,
    FORGET,
    LINE,
    POP,
    REWIND,
    SHORT,
    Json,
    Line,
    Vector,
    content_of,
    header_of,
    vector_of,
)
from anima.memory.recall import Encoder, ExactRecall, Question, Recall
from anima.memory.sealing import read_seal, seal_path
from anima.memory.standing import Standing

_ANCHOR = re.compile(rf"[0-9a-f]{{{SHORT},64}}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Hit:
    """A line that a query found, with its score and, where asked for, the terms it came from."""

    line: Line
    score: float
    terms: Mapping[str, float] | None


class Memory:
    """An open memory, held by this process alone until it is closed; `open` makes one.

    Every method raises StorageError where the disk refuses; the memory then stands as before the
    call and can be used on.
    """

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
        self._standing = self._load()

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

        Every line is read and checked. `recall` finds lines (exact cosine by default), `encoder`
        makes vectors of texts. Raises UsageError, BusyError, MemoryLocked, NewerVersionError,
        StorageError, and CorruptStateError: ChainBroken names a line that was changed, TailMissing
        says how many are gone.
        """
        with contextlib.ExitStack() as stack:
            book = stack.enter_context(Book.opened(path, secret))
            memory = cls(
                book=book,
                clock=clock,
                recall=ExactRecall() if recall is None else recall,
                encoder=encoder,
                held=stack,
            )
            memory._held = stack.pop_all()
        return memory

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

    def __len__(self) -> int:
        """Lines in force."""
        with self._locked():
            return sum(1 for _ in self._standing.history.newest())

    def put(
        self,
        key: object,
        value: object,
        ctx: Mapping[str, Json] | None = None,
        prev_anchor: str | None = None,
        *,
        role: str = "user",
        timestamp: datetime | None = None,
        valence: float | None = None,
    ) -> str:
        """Remember a value under a key; returns its anchor, durable by then.

        `key` is a vector `[d]`, a text for the encoder, or None for the value's own text; `value`
        is a text, a vector `[d]`, or both as a pair. `prev_anchor` is the line that this one must
        follow. Raises UsageError for what cannot be kept, HeadMoved, and StorageError.
        """
        with self._locked():
            draft = self.draft(key, value, ctx, role=role, timestamp=timestamp, valence=valence)
            (line,) = self.commit([draft], prev_anchor=prev_anchor)
            return line.anchor

    def draft(
        self,
        key: object,
        value: object,
        ctx: Mapping[str, Json] | None = None,
        *,
        role: str = "user",
        timestamp: datetime | None = None,
        valence: float | None = None,
    ) -> Draft:
        """A line for `commit`, checked, with its novelty as of now; see `put`."""
        text, vector = split_value(value)
        if not text.strip() and vector is None:
            raise UsageError("There is nothing to remember: the text is empty. Give some text.")
        # Checked before the encoder sees it: a wrong text must not cost an encoding.
        content = content_of(text=text, context=ctx, value=vector, valence=valence)
        with self._locked():
            found = self._key(key, text)
            if found is not None:
                content = replace(content, key=found, novelty=self._recall.novelty(found))
            return Draft(
                header=header_of(
                    kind=LINE,
                    role=role,
                    timestamp=self._clock() if timestamp is None else timestamp,
                ),
                content=content,
            )

    def commit(self, drafts: Sequence[Draft], *, prev_anchor: str | None = None) -> Sequence[Line]:
        """Write lines and records together in one durable commit, all of them or none.

        Raises UsageError for a vector of another width than those before it, HeadMoved where the
        last anchor is not `prev_anchor`, and StorageError.
        """
        with self._locked():
            self._require_head(prev_anchor)
            widths = self._standing.widths
            for draft in drafts:
                self._require_target(draft)
                widths = widths.after(draft.content)
            if not drafts:
                return ()
            lines = self._book.append(drafts)
            self._standing.take_in(lines)
            return lines

    def query(
        self, question: object, k: int = 5, *, explain: bool = False, at: datetime | None = None
    ) -> Sequence[Hit]:
        """The at most `k` lines that answer best, best first, by a vector `[d]` or a text.

        `at` stands for now. `explain` returns every term of each score.
        """
        require_natural("k", k, least=1)
        with self._locked():
            found = self._recall.search(self._question(question, at), k)
            return [
                Hit(
                    line=self._existing(each.seq),
                    score=each.score,
                    terms=dict(each.terms) if explain else None,
                )
                for each in found
            ]

    def bias_vector(self, question: object, k: int = 5) -> Vector:
        """Σ w·v / Σ w over the values `[d]` of the `k` lines that answer best, w their scores.

        Zero where no line that answers has a value. With the recall's "seed" ranking this is the
        seed's formula.
        """
        with self._locked():
            hits = [hit for hit in self.query(question, k) if hit.line.value is not None]
            width = self._standing.widths.value
            if not hits or width is None:
                return np.zeros(width or 0, np.float32)
            values = np.stack([hit.line.value for hit in hits if hit.line.value is not None])
            return concert.blend(np.array([hit.score for hit in hits]), values)

    def peek(self, n: int = 1) -> Sequence[Line]:
        """The newest `n` lines in force, newest first."""
        require_natural("n", n)
        with self._locked():
            return [self._existing(seq) for seq in self._newest(n)]

    def pop(self, n: int = 1) -> Sequence[Line]:
        """Take the newest `n` lines out of force, newest first, by a record; they stay in the chain."""
        with self._locked():
            lines = self.peek(n)
            if lines:
                self._record(POP, target=lines[-1].seq)
            return lines

    def rewind(self, to: int | str) -> str:
        """Put the memory back to how it was after a record, by a record; returns the new head.

        `to` is a number, 0 for the empty memory, or an anchor, whole or as it is shown. A rewind
        can itself be undone by a rewind to what came before it. Raises UsageError.
        """
        with self._locked():
            seq = 0 if to in (0, self._book.genesis) else self.find(to)
            return self._record(REWIND, target=seq).anchor

    def forget(self, line: int | str) -> str:
        """Take one line out of force, by a record; returns the record's anchor."""
        with self._locked():
            return self._record(FORGET, target=self._found_line(line)).anchor

    def erase(self, line: int | str) -> str:
        """Erase a line's content for good; its anchor stays, and the chain goes on verifying.

        Returns the anchor of the record that says so. Copies made before know nothing of it.
        """
        with self._locked():
            target = self._found_line(line)
            record = self._book.erase(self._record_draft(ERASE, target))
            self._standing.take_in([record])
            return record.anchor

    def change_chain_key(self) -> str:
        """Write every line from the next on under a new chain key; returns the record's anchor."""
        with self._locked():
            record = self._book.change_chain_key(self._record_draft("", 0))
            self._standing.take_in([record])
            return record.anchor

    def find(self, line: int | str) -> int:
        """The number of a record by its number or its anchor, whole or as it is shown."""
        with self._locked():
            if isinstance(line, int):
                if not 1 <= line <= self.count:
                    raise UsageError(f"There is no line {line}: the memory has {self.count}.")
                return line
            seq = self._standing.by_anchor(line) if _ANCHOR.fullmatch(line) else None
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

    def lines(self) -> Iterator[Line]:
        """Every record of the ledger as of now, in its order, each read when it is asked for."""
        for seq in range(1, self.count + 1):
            yield self.line(seq)

    def verify(self, expect: Seal | None = None) -> Verdict:
        """Walk over the whole ledger on disk and compare with a seal: `expect`, or the last one."""
        with self._locked():
            return self._book.verify(read_seal(self.place) if expect is None else expect)

    def seal(self, path: Path | None = None) -> Seal:
        """Note count and head in `seal.json` beside the ledger, or in a file kept elsewhere."""
        with self._locked():
            seal = self._book.seal(self._clock().astimezone(UTC).isoformat())
            write_atomically(seal_path(self.place) if path is None else path, seal.encode())
            return seal

    def encrypt(self, secret: Secret, *, cost: int | None = None) -> None:
        """Keep every content under a secret, or under another one; no anchor changes.

        `cost` is scrypt's N. Nothing of what lay in clear is left in the ledger's files.
        """
        with self._locked():
            cipher = (
                crypto.new_cipher(secret) if cost is None else crypto.new_cipher(secret, cost=cost)
            )
            self._book.keep_under(cipher)

    def decrypt(self) -> None:
        """Keep every content in clear again; no anchor changes."""
        with self._locked():
            self._book.keep_under(crypto.Clear())

    def sql(self, question: str) -> temporal.Answer:
        """Answer one SELECT over a copy of every record, see `temporal`; raises UsageError."""
        with self._locked():
            return temporal.ask(
                ((line, self._standing.history.in_force(line.seq)) for line in self.lines()),
                question,
            )

    def export(self, path: Path) -> int:
        """Write every record as JSON, one a line; returns how many. See `exchange`."""
        with self._locked():
            rows = (
                exchange.as_json(line, in_force=self._standing.history.in_force(line.seq))
                for line in self.lines()
            )
            content = io.BytesIO()
            count = exchange.write(rows, content)
            write_atomically(path, content.getvalue())
            return count

    def import_lines(self, file: IO[bytes], name: str) -> Sequence[Line]:
        """Remember the lines in a file of JSON (`name` is for messages), all of them or none.

        A line of this very memory is passed over. Raises UsageError that names the place of one
        that cannot be, or that claims the anchor of another line, and StorageError.
        """
        with self._locked():
            return self.commit(
                [self._draft_of(each) for each in exchange.read(file, name) if self._is_new(each)]
            )

    def roll_back(self, count: int) -> None:
        """Cut away what lies beyond the last commit of the persona: it was never acknowledged.

        Unlike a rewind this leaves no record. Raises TailMissing where fewer lines are there.
        """
        with self._locked():
            if count != self.count:
                self._book.cut(count)
                self._standing = self._load()

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
            return vector_of(self._encoder(words), "key", directed=True)
        if key is None:
            return None
        raise UsageError("A text as a key needs an encoder, which this memory was opened without.")

    def _question(self, question: object, at: datetime | None) -> Question:
        now = self._clock() if at is None else at
        if not isinstance(question, str):
            return Question(vector=vector_of(question, "question", directed=True), now=now)
        if not question.strip():
            raise UsageError("The question is empty: give some text or a vector.")
        vector = None if self._encoder is None else self._key(question, question)
        return Question(text=question, vector=vector, now=now)

    def _record(self, kind: str, target: int) -> Line:
        (line,) = self.commit([self._record_draft(kind, target)])
        return line

    def _record_draft(self, kind: str, target: int) -> Draft:
        header = header_of(kind=kind, role="", timestamp=self._clock(), target=target)
        return Draft(header=header, content=content_of())

    def _draft_of(self, given: exchange.Given) -> Draft:
        try:
            return self.draft(
                given.key,
                given.text if given.value is None else (given.text, given.value),
                given.context,
                role=given.role,
                timestamp=given.timestamp,
                valence=given.valence,
            )
        except UsageError as error:
            raise UsageError(f"{given.place}: {error}") from error

    def _is_new(self, given: exchange.Given) -> bool:
        seq = self._standing.by_anchor(given.anchor or "")
        if seq is None:
            return True
        line = self._existing(seq)
        if line.kind == LINE and (line.text, line.role) == (given.text, given.role):
            return False
        raise UsageError(
            f"{given.place} claims the anchor {line.short}, which is line {seq} of this memory and "
            "says something else. Remove the anchor to remember it as a new line."
        )

    def _newest(self, n: int) -> list[int]:
        return [seq for seq, _ in zip(self._standing.history.newest(), range(n), strict=False)]

    def _existing(self, seq: int) -> Line:
        line = self._book.line(seq)
        if line is None:
            raise CorruptStateError(f"Line {seq} of {self.place} is gone while it was in use.")
        return line

    def _found_line(self, line: int | str) -> int:
        seq = self.find(line)
        if self._standing.history.kind(seq) != LINE:
            raise UsageError(
                f"Line {seq} is a record ({self._standing.history.kind(seq)}) and must stay."
            )
        return seq

    def _require_head(self, prev_anchor: str | None) -> None:
        if prev_anchor is None:
            return
        if not _ANCHOR.fullmatch(prev_anchor) or not self.head.startswith(prev_anchor):
            raise HeadMoved(
                f"The line was to follow {prev_anchor[:SHORT]!r}, and the last one is "
                f"{self.head[:SHORT]}. Read what came between, and put it again."
            )

    def _require_target(self, draft: Draft) -> None:
        target = draft.header.target
        if not 0 <= target <= self.count:
            raise UsageError(f"A record is about line {target}: the memory has {self.count}.")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StateError(f"The memory {self.place} is closed; open it again.")
            yield
