"""Threads that run one compiled function together; knows nothing of what it computes."""

import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Any

Shared = Callable[..., None]
"""A compiled function that lets other threads run; its first argument is its thread's number."""


class Crew:
    """So many threads: the caller is number 0, the others wait for work in the background."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._posts: list[SimpleQueue[tuple[Shared, tuple[Any, ...]]]] = []
        for number in range(1, threads):
            post: SimpleQueue[tuple[Shared, tuple[Any, ...]]] = SimpleQueue()
            self._posts.append(post)
            name = f"anima-crew-{number}"
            threading.Thread(target=_serve, args=(number, post), name=name, daemon=True).start()

    @property
    def pieces(self) -> int:
        """Into how many pieces a phase is best cut: some to spare, so that all end together."""
        return 1 if self.threads == 1 else 4 * self.threads

    def __call__(self, function: Shared, *arguments: Any) -> None:
        """Run the function on every thread; it must return only when the work is done."""
        for post in self._posts:
            post.put((function, arguments))
        function(0, *arguments)


def _serve(number: int, post: "SimpleQueue[tuple[Shared, tuple[Any, ...]]]") -> None:
    while True:
        function, arguments = post.get()
        function(number, *arguments)
        # What the call used must not live on until the next one.
        del function, arguments


@cache
def crew(threads: int) -> Crew:
    """The crew of so many threads, made once."""
    return Crew(threads)
