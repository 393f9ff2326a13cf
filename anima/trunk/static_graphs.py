"""Runs a piece of tensor code, on CUDA as a graph captured once; knows no model."""

from collections.abc import Callable, Hashable
from typing import Any, Protocol

import torch

_WARM_UPS = 2
"""Runs before the capture: in them libraries choose kernels and allocate, which a capture cannot."""
_MOST = 64
"""Graphs kept per arena; taps that wander over the layers would otherwise fill the device."""


class Runner(Protocol):
    """How pieces are run."""

    def __call__(self, graphs: dict[Any, Any], key: Hashable, piece: Callable[[], None]) -> None:
        """Run a piece whose inputs and outputs are tensors at fixed addresses.

        Running a piece twice leaves what running it once does; `key` names it among the `graphs`
        of its addresses.
        """

    def synchronise(self) -> None:
        """Wait until nothing is running."""


class Eager:
    """Runs each piece as it stands: on the CPU and on MPS, where there are no graphs."""

    def __call__(self, graphs: dict[Any, Any], key: Hashable, piece: Callable[[], None]) -> None:
        piece()

    def synchronise(self) -> None:
        """Nothing is left running that would mind."""


class Graphs:
    """Captures each piece as a CUDA graph when it is first run, and replays it.

    One launch then stands for hundreds, which at one row take longer to launch than to run.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # All captures share a pool, as their intermediates never outlive a replay and replays
        # follow each other on one stream; and a stream, whose library workspaces the warm-up makes
        # outside the pool, so that no graph depends on the memory of another.
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, graphs: dict[Any, Any], key: Hashable, piece: Callable[[], None]) -> None:
        graph = graphs.get(key)
        if graph is None:
            if len(graphs) >= _MOST:
                self.synchronise()
                graphs.clear()
            graph = graphs[key] = self._captured(piece)
        graph.replay()

    def synchronise(self) -> None:
        """Wait until nothing is running: a graph must not be destroyed while it runs."""
        torch.cuda.synchronize(self._device)

    def _captured(self, piece: Callable[[], None]) -> "torch.cuda.CUDAGraph":
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                piece()
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        # Only this thread's calls can spoil the capture: others may be loading or drawing.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            piece()
        return graph


def runner_for(device: torch.device) -> Runner:
    return Graphs(device) if device.type == "cuda" else Eager()
