"""A runtime that says what a test tells it to; the real one is exercised by the slow tests."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from anima.errors import StateError, UsageError
from anima.events import Event, Perceived, Persisted, Recomputed, Replied, Token
from anima.runtime.figures import Figures


@dataclass
class ScriptedRuntime:
    """Answers each turn with the next of `replies`, word by word.

    `before_token(n)` runs before the nth token of every reply, counted from 0.
    """

    replies: list[str] = field(default_factory=lambda: ["Good day."])
    persona: str = "default"
    session: str = "20260101-120000-abcd"
    notices: tuple[str, ...] = ()
    before_token: Callable[[int], None] = lambda n: None
    heard: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    system: str | None = None
    closed: bool = False
    committed: int = 0
    said: str = "Good day."
    recomputed: Recomputed | None = None
    stops: int = 0
    values: dict[str, float | None] = field(default_factory=lambda: {"temperature": 0.2, "seed": 1})
    changed: dict[str, float] = field(default_factory=dict)
    previews: list[dict[str, Any]] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)
    steering: dict[str, Any] = field(default_factory=dict)
    learned: tuple[Event, ...] = ()
    memory: Any = None
    organs: dict[str, bool] = field(default_factory=lambda: {"sampling": True})
    _stopping: bool = False

    @property
    def turns(self) -> int:
        return len(self.heard)

    def read_ahead(self) -> bool:
        """There is no memory to read ahead in."""
        return False

    @property
    def last(self) -> dict[str, Any] | None:
        if not self.heard:
            return None
        return {"text": self.heard[-1], "reply": self.said, "seed": 7}

    def turn(self, text: str) -> Iterator[Event]:
        self.asked.append(text)
        return self._turn(text)

    def preview(self, text: str | None = None, **given: Any) -> Iterator[Event]:
        self.previews.append({"text": text, **given})
        return self._turn(text or "", keep=False)

    def _turn(self, text: str, *, keep: bool = True) -> Iterator[Event]:
        self._stopping = False
        said: list[str] = []
        try:
            if self.recomputed:
                yield self.recomputed
            yield Perceived(turn=self.turns + 1, seed=7, prompt_tokens=12, new_tokens=5)
            words = self.replies.pop(0).split(" ")
            for number, word in enumerate(words):
                self.before_token(number)
                if self._stopping:
                    break
                said.append(word if number == 0 else f" {word}")
                yield Token(id=number, text=said[-1], surprisal=0.5, entropy=0.5)
            yield Replied(
                turn=self.turns + 1,
                text="".join(said),
                finish="stopped" if self._stopping else "end",
                tokens=len(said),
                per_second=None if len(said) < 2 else 20.0,
                context_used=12 + len(said),
                context_window=2048,
            )
        finally:
            if keep:
                self.said = "".join(said)
                self.heard.append(text)
                self.committed += 1
        if not keep:
            return
        yield from self.learned
        yield Persisted(generation=self.committed)

    def regenerate(self) -> Iterator[Event]:
        return self.turn(self.undo())

    def undo(self) -> str:
        if not self.heard:
            raise StateError("There is no turn to take back in this session.")
        return self.heard.pop()

    def set(self, name: str, value: float | None) -> float | None:
        if name not in self.values:
            raise UsageError(f"There is no sampling setting {name!r}.")
        self.values[name] = value
        return value

    def settings(self) -> dict[str, float | None]:
        return dict(self.values)

    def set_system(self, text: str | None) -> None:
        self.system = text

    def clear(self) -> str:
        self.session, self.heard = "20260101-130000-ef01", []
        return self.session

    def fork(self) -> str:
        self.session = "20260101-140000-ab12"
        return self.session

    def load(self, session: str) -> str:
        if session not in self.others:
            raise StateError(f"There is no session {session!r}.")
        self.session, self.heard = session, self.others[session]
        return session

    def figures(self) -> Figures:
        return Figures(
            turns=self.turns, taken_back=1, stopped=2, tokens_read=90, tokens_said=40,
            per_second=20.0, seconds=1.9, context_used=130, context_window=2048,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        return {
            "persona": self.persona,
            "session": self.session,
            "model": "scripted",
            "context_used": 130,
            "context_window": 2048,
            "turns": self.turns,
            "settings": self.settings(),
            "organs": self.organs,
            "mode": "off",
            "auto": False,
            "share": None,
            "nominal": 0.0,
            **self.steering,
        }

    def stop(self) -> None:
        self.stops += 1
        self._stopping = True

    def close(self) -> None:
        self.closed = True


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True
