"""What changes a memory: put, commit, pop, rewind, forget, erase; knows nothing of ranking."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from anima.errors import HeadMoved, StorageError, UsageError
from anima.memory.arguments import split_value
from anima.memory.book import Draft
from anima.memory.claims.replacing import wording
from anima.memory.core import ANCHOR, Core
from anima.memory.line import (
    CLOSE,
    ERASE,
    FORGET,
    LINE,
    MERGE,
    POP,
    RACE,
    REWIND,
    SHORT,
    Json,
    Line,
    content_of,
    header_of,
)

_TAKEN_BACK = frozenset({LINE, CLOSE, MERGE, RACE})


class Writing(Core):
    """The part of a memory that writes."""

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
            for at, draft in enumerate(drafts):
                self._require_target(draft, self.count + at)
                widths = widths.after(draft.content)
            if not drafts:
                return ()
            before = self.count
            keyed = self._encoded and any(draft.content.key is not None for draft in drafts)
            encoder = getattr(self._encoder, "name", None) if keyed else None
            lines = self._book.append(drafts, encoder=encoder)
            self._standing.take_in(lines)
            try:
                self._committed()
            except StorageError:
                # What could not be acknowledged was not said: the call changed nothing.
                self.roll_back(before)
                raise
            return lines

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
        """Take one line out of force, by a record; returns the record's anchor.

        What that line had closed holds again, unless a later line closed it too.
        """
        with self._locked():
            return self._record(FORGET, target=self._found_line(line)).anchor

    def take_back(self, seqs: Iterable[int]) -> Sequence[Line]:
        """Take all that one turn wrote out of force, in one durable commit.

        `seqs` are its lines, closings, merges and journals; those that no longer count are passed
        over. Returns the records of it. Raises UsageError for what is none of these.
        """
        with self._locked():
            found = sorted({self.find(seq) for seq in seqs})
            history = self._standing.history
            for seq in found:
                if history.kind(seq) not in _TAKEN_BACK:
                    raise UsageError(f"Line {seq} is a record ({history.kind(seq)}) and must stay.")
            return self.commit(
                [self._record_draft(FORGET, seq) for seq in found if history.in_force(seq)]
            )

    def erase(self, line: int | str) -> str:
        """Erase a line's content for good; its anchor stays, and the chain goes on verifying.

        What was merged into it goes first, so that a cut in between leaves nothing said that way
        twice. Returns the anchor of the record that says so. Copies made before know nothing of it.
        """
        with self._locked():
            target = self._found_line(line)
            for seq in (*self._standing.history.about(target, MERGE), target):
                record = self._book.erase(self._record_draft(ERASE, seq))
                self._standing.take_in([record])
            self._readers = None
            wording.cache_clear()  # both keep texts that they read
            self._committed()
            return record.anchor

    def change_chain_key(self) -> str:
        """Write every line from the next on under a new chain key; returns the record's anchor."""
        with self._locked():
            record = self._book.change_chain_key(self._record_draft("", 0))
            self._standing.take_in([record])
            self._committed()
            return record.anchor

    def roll_back(self, count: int) -> int:
        """Cut away what lies beyond the last commit of the persona: it was never acknowledged.

        Unlike a rewind this leaves no record. What was erased cannot come back, so the record of
        that stays, and what came before it is taken back by records. Returns how many records were
        cut or taken back. Raises TailMissing where fewer lines are there.
        """
        with self._locked():
            history = self._standing.history
            beyond = range(count + 1, self.count + 1)
            erasures = (seq for seq in beyond if history.kind(seq) == ERASE)
            kept = max(erasures, default=count)
            cut = self.count - kept
            if cut:
                self._book.cut(kept)
                self._standing = self._load()
            return cut + len(self._withdrawn(range(count + 1, kept + 1)))

    def _withdrawn(self, seqs: Iterable[int]) -> Sequence[Line]:
        history = self._standing.history
        left = [s for s in seqs if history.kind(s) in _TAKEN_BACK and history.in_force(s)]
        if not left:
            return ()
        records = self._book.append([self._record_draft(FORGET, seq) for seq in left])
        self._standing.take_in(records)
        return records

    def _committed(self) -> None:
        if self.after_commit is not None:
            self.after_commit()

    def _record(self, kind: str, target: int) -> Line:
        (line,) = self.commit([self._record_draft(kind, target)])
        return line

    def _record_draft(self, kind: str, target: int) -> Draft:
        header = header_of(kind=kind, role="", timestamp=self._clock(), target=target)
        return Draft(header=header, content=content_of())

    def _found_line(self, line: int | str) -> int:
        seq = self.find(line)
        if self._standing.history.kind(seq) != LINE:
            kind = self._standing.history.kind(seq)
            raise UsageError(
                f"#{seq} is no line that anybody said, but a record of the memory's own ({kind}), "
                "and must stay."
            )
        return seq

    def _require_head(self, prev_anchor: str | None) -> None:
        if prev_anchor is None:
            return
        if not ANCHOR.fullmatch(prev_anchor) or not self.head.startswith(prev_anchor):
            raise HeadMoved(
                f"The line was to follow {prev_anchor[:SHORT]!r}, and the last one is "
                f"{self.head[:SHORT]}. Read what came between, and put it again."
            )

    def _require_target(self, draft: Draft, before: int) -> None:
        target = draft.header.target
        if not 0 <= target <= before:
            raise UsageError(f"A record is about line {target}: {before} lines come before it.")
