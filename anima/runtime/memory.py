"""The memory of a runtime: what is put there by hand, and that it counts with the persona's commits.

It knows the memory's organ and who keeps the persona, and no turn and no screen.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from anima.errors import StateError
from anima.memory.api import Memory
from anima.memory.organ import NAME, MemoryOrgan
from anima.runtime.life import Keeper


class HeldMemory:
    """The memory that takes part in turns, or none; what is put there is durable at once."""

    def __init__(self, organ: MemoryOrgan | None, keeper: Keeper) -> None:
        self.organ = organ
        self._keeper = keeper
        self._joining = False
        if self._memory is not None:
            self._memory.after_commit = self._note

    @property
    def api(self) -> Memory:
        """The memory itself; raises StateError where it is off."""
        if self._memory is None:
            raise StateError("The memory is off: begin with the setting memory = on.")
        return self._memory

    def remember(self, text: str, session: str) -> Mapping[str, Any]:
        """Remember a text of the user's; see `Runtime.remember`."""
        if self.organ is None or self._memory is None:
            raise StateError("The memory is off: begin with the setting memory = on.")
        return self.organ.remember(text, {"session": session, "said": "/remember"})

    def read_ahead(self) -> bool:
        """Do a few milliseconds of what a turn would wait for; whether more of it is left."""
        return self.organ is not None and self.organ.read_ahead()

    def rehearse(self, deltas: Mapping[str, Any]) -> None:
        """Recall in the next turn, and in it alone, what the turn with these deltas recalled."""
        if self.organ is not None and NAME in deltas:
            self.organ.rehearse(deltas[NAME])

    def status(self) -> dict[str, Any] | None:
        """What it holds, None where it is off."""
        if self.organ is None or self._memory is None:
            return None
        return {
            "lines": len(self._memory),
            "records": self._memory.count,
            "ledger": self._memory.place.name,
            "encrypted": self._memory.encrypted,
            "conversations": "in clear",
            "late": self.organ.late,
        }

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is written to it meanwhile counts with the commit that ends this, and not before."""
        with contextlib.nullcontext() if self._memory is None else self._memory.hold():
            self._joining = True
            try:
                yield
            finally:
                self._joining = False

    def close(self) -> None:
        """Let go of it."""
        if self._memory is not None:
            self._memory.close()

    @property
    def _memory(self) -> Memory | None:
        return None if self.organ is None else self.organ.memory

    def _note(self) -> None:
        """It was written to: it counts with the persona's next commit, which is now."""
        if not self._joining and self.organ is not None:
            self._keeper.commit(states={NAME: self.organ.state()}, records=[])
