"""What an experiment puts in the place of pushes: the same sums, unwritten, reversed or astray."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from anima.steering.push import Push, unit
from anima.steering.state import State


def zombie(state: State) -> State:
    """Everything computed and recorded, nothing written."""
    return replace(state, applied=False)


def opposed(state: State) -> State:
    """The same pushes with the opposite sign: exactly minus the delta on every token."""
    return replace(state, rows=-state.rows)


def placebo(state: State, generator: torch.Generator) -> State:
    """One random direction in place of the delta, at the same length on every token."""
    noise = torch.randn(state.rows.shape[-1], generator=generator, dtype=torch.float64)
    return replace(state, instead=unit(noise).to(state.rows.device))


def shuffled(
    pushes: Sequence[Push], choices: Sequence[int], width: int, generator: torch.Generator
) -> list[Push]:
    """The same operations and strengths on features drawn from `choices`, on random directions."""
    order = torch.randperm(len(choices), generator=generator).tolist()
    drawn = iter(order)
    moved = []
    for push in pushes:
        if push.feature is not None:
            moved.append(replace(push, feature=int(choices[next(drawn)]), label=""))
        else:
            moved.append(replace(push, direction=torch.randn(width, generator=generator)))
    return moved
