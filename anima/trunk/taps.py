"""How taps combine: their deltas and their layers; knows tensors, and no model."""

from collections.abc import Sequence

from torch import Tensor

from anima.trunk.interface import Tap, Taps


def merged(first: Taps, second: Taps) -> Taps:
    """Both sets of taps, those of the first before those of the second on each layer."""
    if not first or not second:
        return first or second
    layers = {*first, *second}
    return {layer: (*first.get(layer, ()), *second.get(layer, ())) for layer in layers}


def without(taps: Taps, layer: int, tap: Tap) -> Taps:
    """The taps with one of them taken off one layer."""
    return {**taps, layer: tuple(other for other in taps.get(layer, ()) if other is not tap)}


def written(h: Tensor, taps: Sequence[Tap]) -> Tensor | None:
    """A new h `[B, q, d]` with the taps' deltas added, or None where none of them writes."""
    total = moved(h, taps)
    return None if total is None else h + total


def moved(h: Tensor, taps: Sequence[Tap]) -> Tensor | None:
    """What the taps add to h `[B, q, d]` together, in h's dtype; None where none of them writes.

    Deltas are summed in float32, then cast.
    """
    deltas = [delta for delta in (tap(h) for tap in taps) if delta is not None]
    if not deltas:
        return None
    if len(deltas) == 1 and deltas[0].dtype == h.dtype:  # the usual case, at every token
        return deltas[0]
    total = deltas[0].float()
    for delta in deltas[1:]:
        total = total + delta.float()
    return total.to(h.dtype)
