"""The memory for event loops: the same calls, awaited; knows nothing that `api` does not."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from anima.memory.api import Hit, Memory, Reply
from anima.memory.book import Draft, Verdict
from anima.memory.chain import Seal
from anima.memory.line import Json, Line, Vector
from anima.memory.racing import Held

if TYPE_CHECKING:
    from anima.memory.claims.race import Decision, Likelihood, Said


class AsyncMemory:
    """Each call of `Memory` in a worker thread, so that a sync of the disk holds up no loop."""

    def __init__(self, memory: Memory) -> None:
        self.sync = memory

    @classmethod
    async def open(
        cls, path: Path, *, clock: Callable[[], datetime], **given: Any
    ) -> "AsyncMemory":
        return cls(await asyncio.to_thread(Memory.open, path, clock=clock, **given))

    async def put(
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
        return await asyncio.to_thread(
            self.sync.put,
            key,
            value,
            ctx,
            prev_anchor,
            role=role,
            timestamp=timestamp,
            valence=valence,
        )

    async def commit(
        self, drafts: Sequence[Draft], *, prev_anchor: str | None = None
    ) -> Sequence[Line]:
        return await asyncio.to_thread(self.sync.commit, drafts, prev_anchor=prev_anchor)

    async def query(
        self, question: object, k: int = 5, *, explain: bool = False, at: datetime | None = None
    ) -> Sequence[Hit]:
        return await asyncio.to_thread(self.sync.query, question, k, explain=explain, at=at)

    async def ask(
        self, question: object, k: int = 5, *, explain: bool = False, at: datetime | None = None
    ) -> Reply:
        return await asyncio.to_thread(self.sync.ask, question, k, explain=explain, at=at)

    async def race(
        self, said: "Sequence[Said]", *, likelihood: "Likelihood | None" = None
    ) -> "Sequence[Decision]":
        return await asyncio.to_thread(self.sync.race, said, likelihood=likelihood)

    async def take_back(self, seqs: Sequence[int]) -> Sequence[Line]:
        return await asyncio.to_thread(self.sync.take_back, seqs)

    async def as_of(self, when: datetime) -> Sequence[Line]:
        return await asyncio.to_thread(self.sync.as_of, when)

    async def history(self, subject: str, attribute: str) -> Sequence[Held]:
        return await asyncio.to_thread(self.sync.history, subject, attribute)

    async def bias_vector(self, question: object, k: int = 5) -> Vector:
        return await asyncio.to_thread(self.sync.bias_vector, question, k)

    async def peek(self, n: int = 1) -> Sequence[Line]:
        return await asyncio.to_thread(self.sync.peek, n)

    async def pop(self, n: int = 1) -> Sequence[Line]:
        return await asyncio.to_thread(self.sync.pop, n)

    async def rewind(self, to: int | str) -> str:
        return await asyncio.to_thread(self.sync.rewind, to)

    async def forget(self, line: int | str) -> str:
        return await asyncio.to_thread(self.sync.forget, line)

    async def erase(self, line: int | str) -> str:
        return await asyncio.to_thread(self.sync.erase, line)

    async def verify(self, expect: Seal | None = None) -> Verdict:
        return await asyncio.to_thread(self.sync.verify, expect)

    async def seal(self, path: Path | None = None) -> Seal:
        return await asyncio.to_thread(self.sync.seal, path)

    async def close(self) -> None:
        await asyncio.to_thread(self.sync.close)

    async def __aenter__(self) -> "AsyncMemory":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
