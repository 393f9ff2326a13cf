"""Loads something slow in a thread while a person already types; knows not what it loads."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Waking(Generic[T]):
    """`load` runs once in a thread; what it returns or raises comes out of `result`.

    `load` gets a function for notes on its progress; the latest is in `note`. The thread is a
    daemon: a person who leaves does not wait for it.
    """

    def __init__(self, load: Callable[[Callable[[str], None]], T]) -> None:
        self.note = ""
        self._load = load
        self._done = threading.Event()
        self._value: T | None = None
        self._error: BaseException | None = None
        self._then: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="anima-waking", daemon=True)

    def start(self, then: Callable[[], None] = lambda: None) -> None:
        """Begin, once; `then` is called in the thread at the end, whatever the end is."""
        if self._thread.ident is None:
            self._then = then
            self._thread.start()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    @property
    def failed(self) -> bool:
        return self._error is not None

    @property
    def value(self) -> T | None:
        """What was loaded, or None while there is nothing."""
        return self._value

    def wait(self, seconds: float) -> bool:
        """Wait that long at most, and say whether the loading has ended."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """What was loaded, waiting for it; raises what the loading raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._value is not None
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._load(self._tell)
        except BaseException as error:  # handed over to the thread that asks for the result
            self._error = error
        self._done.set()
        self._then()

    def _tell(self, note: str) -> None:
        self.note = note
