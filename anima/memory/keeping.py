"""What keeps a memory safe and moves it: verify, seal, encrypt, sql, export, import; ranks nothing."""

import io
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import IO

from anima.errors import UsageError
from anima.home import write_atomically
from anima.memory import crypto, exchange, temporal
from anima.memory.arriving import Imported, Present, moments_of
from anima.memory.book import Draft, Verdict
from anima.memory.chain import Seal
from anima.memory.crypto import Kdf, Secret
from anima.memory.line import CLOSE, LINE, MERGE, Line, content_of, header_of
from anima.memory.sealing import read_seal, seal_path
from anima.memory.writing import Writing


class Keeping(Writing):
    """The part of a memory that looks after it."""

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

    def encrypt(self, secret: Secret, *, kdf: Kdf = "scrypt", cost: int | None = None) -> None:
        """Keep every content under a secret, or under another one; no anchor changes.

        `kdf` makes the key of a passphrase, `cost` is scrypt's N. Nothing of what lay in clear is
        left in the ledger's files. Raises UsageError where this system has not the `kdf`.
        """
        with self._locked():
            self._book.keep_under(crypto.new_cipher(secret, kdf=kdf, cost=cost))

    def decrypt(self) -> None:
        """Keep every content in clear again; no anchor changes."""
        with self._locked():
            self._book.keep_under(crypto.Clear())

    def sql(self, question: str) -> temporal.Answer:
        """Answer one SELECT over a copy of every record, see `temporal`; raises UsageError."""
        with self._locked():
            standing = self._standing
            lines = (
                (
                    line,
                    standing.history.in_force(line.seq),
                    standing.intervals.closed_at(line.seq),
                )
                for line in self.lines()
            )
            return temporal.ask(lines, question)

    def export(self, path: Path) -> int:
        """Write every record as JSON, one a line; returns how many. See `exchange`."""
        with self._locked():
            rows = (self.as_json(line) for line in self.lines())
            content = io.BytesIO()
            count = exchange.write(rows, content)
            write_atomically(path, content.getvalue())
            return count

    def as_json(self, line: Line) -> str:
        """A line of this memory as an export has it."""
        return exchange.as_json(line, in_force=self.in_force(line.seq), encoder=self.encoder_name)

    def import_lines(self, file: IO[bytes], name: str) -> Imported:
        """Remember the lines in a file of JSON (`name` is for messages), all of them or none.

        What an export says was closed or merged is so here too. A record that is here already is
        passed over: one of this very memory, or one that says the same, of the same role and time.
        Raises UsageError that names the place of one that cannot be, or that claims the anchor of
        another line, and StorageError.
        """
        given = list(exchange.read(file, name, kinds=(LINE, CLOSE, MERGE)))
        with self._locked():
            moments = moments_of(
                each.timestamp for each in given if not self._has(each.anchor or "")
            )
            present = Present(self.lines() if moments else (), moments)
            here = [self._present(each, present) if each.kind == LINE else None for each in given]
            new = [each for each, seq in zip(given, here, strict=True) if seq is None]
            drafts: list[Draft] = []
            now: dict[int, int] = {}
            with self._encoding(self._unencoded(new)):
                for each, seq in zip(given, here, strict=True):
                    draft = None
                    if each.kind != LINE:
                        draft = self._after(each, now, present)
                    elif seq is None:
                        draft = self._draft_of(each)
                    drafts += [] if draft is None else [draft]
                    if each.kind == LINE and each.seq:
                        now[each.seq] = self.count + len(drafts) if seq is None else seq
            lines = tuple(line for line in self.commit(drafts) if line.kind == LINE)
            return Imported(lines=lines, known=tuple(seq for seq in here if seq is not None))

    def _has(self, anchor: str) -> bool:
        return self._standing.by_anchor(anchor) is not None

    def _present(self, given: exchange.Given, present: Present) -> int | None:
        """The number that a line of an export has here, None where it is new."""
        exchange.check(given)
        if self._is_erased(given) or not self._is_new(given):
            return self.find(given.anchor or "")
        if given.timestamp is None:
            return None
        own = self._own_key(given)
        return present.take(
            header_of(kind=LINE, role=given.role, timestamp=given.timestamp),
            content_of(
                text=given.text, context=given.context, value=given.value,
                key=None if isinstance(own, str) else own,
            ),
        )  # fmt: skip

    def _after(
        self, given: exchange.Given, now: Mapping[int, int], present: Present
    ) -> Draft | None:
        """The draft of a closing or a merge, about the lines as they are numbered `now`."""
        by = given.context.get("by") or 0
        if self._has(given.anchor or "") or given.target not in now or given.timestamp is None:
            return None
        context = (
            {**given.context, "by": now.get(by) if isinstance(by, int) else None}
            if given.kind == CLOSE
            else given.context
        )
        header = header_of(
            kind=given.kind, role=given.role, timestamp=given.timestamp, target=now[given.target]
        )
        content = content_of(text=given.text, context=context)
        if present.take(header, content) is not None:
            return None
        return Draft(header=header, content=content)

    def remember(self, given: Sequence[exchange.Given]) -> Sequence[Line]:
        """Remember lines as they are given, in one durable commit; returns the line of each.

        A line of this very memory is returned as it is. Raises as `import_lines` does.
        """
        with self._locked():
            fresh = [self._is_new(each) for each in given]
            with self._encoding(self._unencoded(given)):
                drafts = [
                    self._draft_of(each) for each, new in zip(given, fresh, strict=True) if new
                ]
            written = iter(self.commit(drafts))
            return [
                next(written) if new else self.line(each.anchor or "")
                for each, new in zip(given, fresh, strict=True)
            ]

    def _draft_of(self, given: exchange.Given) -> Draft:
        try:
            return self.draft(
                self._own_key(given),
                given.text if given.value is None else (given.text, given.value),
                given.context,
                role=given.role,
                timestamp=given.timestamp,
                valence=given.valence,
            )
        except UsageError as error:
            raise UsageError(f"{given.place}: {error}") from error

    def _unencoded(self, given: Sequence[exchange.Given]) -> Sequence[str]:
        """The texts of new lines that have no key yet."""
        return [
            each.text
            for each in given
            if each.kind == LINE
            and self._own_key(each) is None
            and self._standing.by_anchor(each.anchor or "") is None
        ]

    def _own_key(self, given: exchange.Given) -> object:
        """The key as it is given, None for one that another encoder made of a text."""
        foreign = given.encoder is not None and given.encoder != self.encoder_name
        return None if foreign and given.text.strip() else given.key

    def _is_new(self, given: exchange.Given) -> bool:
        seq = self._standing.by_anchor(given.anchor or "")
        if seq is None:
            return True
        line = self._existing(seq)
        if line.kind == LINE and (line.text, line.role) == (given.text, given.role):
            return False
        why = "says something else" if line.content is not None else "was erased"
        raise UsageError(
            f"{given.place} claims the anchor {line.short}, which is line {seq} of this memory and "
            f"{why}. Remove the anchor to remember it as a new line."
        )

    def _is_erased(self, given: exchange.Given) -> bool:
        """Whether a line of an export is one whose content was erased here since."""
        seq = self._standing.by_anchor(given.anchor or "")
        if seq is None or given.timestamp is None:
            return False
        line = self._existing(seq)
        return line.content is None and (line.kind, line.role, line.timestamp) == (
            LINE, given.role, given.timestamp,
        )  # fmt: skip
