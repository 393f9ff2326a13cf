"""What a CUDA graph does, on the CPU: a piece's operations recorded once, replayed in place.

A replay runs no Python of the piece, takes its inputs from where they lay and leaves its outputs
where they were, so whatever a real graph would not see or would freeze goes wrong here too.
"""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from anima.trunk.static_graphs import Runner

Operation = tuple[Any, Any, Any, Any]


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "the host waits in a piece"
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.operations.append((func, args, kwargs or {}, out))
        return out


class Captured(Runner):
    """Records each piece when it is first run, and replays it from then on."""

    def __init__(self) -> None:
        self.captures = 0

    def __call__(self, graphs: dict[Any, Any], key: Hashable, piece: Callable[[], None]) -> None:
        if key not in graphs:
            with _Recorder() as recorder:
                piece()
            graphs[key] = recorder.operations
            self.captures += 1
        for func, args, kwargs, before in graphs[key]:
            after = func(*args, **kwargs)
            for was, now in zip(tree_leaves(before), tree_leaves(after), strict=True):
                if isinstance(was, Tensor) and was is not now:
                    was.copy_(now)

    def synchronise(self) -> None:
        pass
