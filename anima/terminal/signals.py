"""Ctrl-C, SIGTERM and SIGHUP as facts that a loop looks at; knows not what they stop."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self

_LEAVE = ("SIGTERM", "SIGHUP")  # SIGHUP is not known everywhere


class Signals:
    """While entered, no signal interrupts Python code: each is counted, then `calling` is called.

    `presses` counts Ctrl-C since the last `forget`; `leave` is the exit code that SIGTERM or
    SIGHUP asks for, 128 and the number of the signal as in a shell.
    """

    def __init__(self) -> None:
        self.presses = 0
        self.leave: int | None = None
        self.hung_up = False
        self._action: Callable[[], None] | None = None
        self._before: list[tuple[signal.Signals, object]] = []

    def __enter__(self) -> Self:
        names = ("SIGINT", *_LEAVE)
        for number in [getattr(signal, name) for name in names if hasattr(signal, name)]:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup: it stays ignored
                self._before.append((number, signal.signal(number, self._receive)))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    @contextlib.contextmanager
    def calling(self, action: Callable[[], None]) -> Iterator[None]:
        """Call `action` at each signal, and at once if one came since the last `forget`."""
        before, self._action = self._action, action
        try:
            if self.called:
                action()
            yield
        finally:
            self._action = before

    @property
    def called(self) -> bool:
        return self.presses > 0 or self.leave is not None

    def forget(self) -> None:
        """Begin to count Ctrl-C anew."""
        self.presses = 0

    def press(self) -> None:
        """Count what is as good as Ctrl-C, from any thread."""
        self.presses += 1
        if self._action:
            self._action()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.press()
            return
        self.leave = 128 + number
        self.hung_up = number != signal.SIGTERM
        if self._action:
            self._action()
