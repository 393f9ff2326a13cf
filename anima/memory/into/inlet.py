"""Lets recalled lines into the model beside their quoted block: bias, kNN mixture, overlay.

It knows the trunk and recalled lines as they are recorded, and neither a memory nor a turn. All
three act at the last layer or on the logits, so that no key or value in the attention's cache ever
holds anything of them. Off by default: see `anima eval into` for what each gains and costs.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import Tensor

from anima.memory.into import logit_bias
from anima.memory.into.nearest import Datastore, Mixture
from anima.memory.into.overlay import Overlay, overlay_of
from anima.memory.into.states import StateReader, States
from anima.memory.into.ways import BIAS, KNN, OVERLAY, Ways
from anima.memory.line import Vector
from anima.organ import LogitBias
from anima.trunk.interface import NO_TAPS, Taps


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """What acts for one turn; empty where nothing does."""

    taps: Taps = field(default_factory=lambda: NO_TAPS)
    logit_bias: "Tensor | LogitBias | None" = None
    noted: Mapping[str, Any] = field(default_factory=dict)
    mixture: Mixture | None = None

    def record(self) -> dict[str, Any]:
        """What was applied, in JSON; enough, with the model, to apply it again."""
        if self.mixture is None:
            return dict(self.noted)
        mixture = self.mixture
        bent = {"steps": mixture.steps, "bent": mixture.bent, "most": mixture.most}
        return {**self.noted, "mixture": bent}


@dataclass(frozen=True, kw_only=True, eq=False)
class Inlet:
    """The ways in force on one model."""

    reader: StateReader
    ways: Ways

    @property
    def model(self) -> str:
        """What a value's numbers mean something to."""
        return self.reader.trunk.info.fingerprint[:12]

    def value(self, text: str) -> Vector | None:
        """The value `[d]` of a line, to be kept with it; None where the bias is off."""
        states = self.reader.read(text) if BIAS in self.ways.inner else None
        return None if states is None else states.value.numpy()

    def open(
        self,
        lines: Sequence[Mapping[str, Any]],
        *,
        gate: float,
        values: Mapping[int, Vector] | None = None,
    ) -> Opened:
        """Ready the ways for lines {seq, text, score}; `gate` in [0, 1] scales them all.

        `values` are those that the memory kept, by seq. Where there is no line, or the gate is
        shut, nothing acts.
        """
        inner = self.ways.inner
        if not inner or not lines or gate <= 0:
            return Opened()
        read = [self.reader.read(str(line["text"])) for line in lines]
        vector = self._vector(lines, read, values or {}) if BIAS in inner else None
        return self._opened(lines, [states for states in read if states], gate, vector)

    def reopen(self, noted: Mapping[str, Any]) -> Opened:
        """What a record of an earlier turn says was applied; nothing is looked up."""
        lines = noted["lines"]
        read = [self.reader.read(str(line["text"])) for line in lines]
        vector = _vector(noted["vector"]) if "vector" in noted else None
        return self._opened(lines, [states for states in read if states], noted["gate"], vector)

    def _vector(
        self,
        lines: Sequence[Mapping[str, Any]],
        read: Sequence[States | None],
        values: Mapping[int, Vector],
    ) -> Tensor | None:
        """The seed's Σ w·v / Σ w, with the values kept or else made now."""
        kept = [
            (float(line.get("score", 1.0)), _value(values.get(line["seq"]), states))
            for line, states in zip(lines, read, strict=True)
        ]
        pairs = [(weight, value) for weight, value in kept if value is not None]
        if not pairs:
            return None
        weights = torch.tensor([weight for weight, _ in pairs])
        return logit_bias.blended(torch.stack([value for _, value in pairs]), weights)

    def _opened(
        self,
        lines: Sequence[Mapping[str, Any]],
        read: Sequence[States],
        gate: float,
        vector: Tensor | None,
    ) -> Opened:
        strength, inner = self.ways.strength, self.ways.inner
        bias = self._bias(vector, gate, strength) if vector is not None else None
        mixture = self._mixture(read, gate, strength) if KNN in inner else None
        overlay = self._overlay(read, gate, strength) if OVERLAY in inner else None
        taps = [tap for tap in (None if mixture is None else mixture.hear, overlay) if tap]
        noted: dict[str, Any] = {
            "ways": list(inner),
            "strength": strength,
            "gate": gate,
            "lines": [{key: line.get(key) for key in ("seq", "text", "score")} for line in lines],
        }
        if vector is not None:
            noted["vector"] = base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()
        if overlay is not None:
            noted["overlay"] = overlay.norm
        return Opened(
            taps={self.reader.last: tuple(taps)} if taps else NO_TAPS,
            logit_bias=_together(bias, mixture),
            noted=noted,
            mixture=mixture,
        )

    def _bias(self, vector: Tensor, gate: float, strength: float) -> Tensor | None:
        if not bool(torch.isfinite(vector).all()) or not bool(vector.any()):
            return None
        output = self.reader.trunk.lens(vector[None].to(self.reader.trunk.info.device))[0].cpu()
        return logit_bias.bias_of(output, gate=gate, strength=strength * logit_bias.STRENGTH)

    def _mixture(self, read: Sequence[States], gate: float, strength: float) -> Mixture | None:
        if not read:
            return None
        states = torch.cat([each.second for each in read])
        tokens = torch.cat([each.ids for each in read])
        store = Datastore.of(states, tokens, self.reader.mean)
        return None if store is None else Mixture(store=store, gate=gate, strength=strength)

    def _overlay(self, read: Sequence[States], gate: float, strength: float) -> Overlay | None:
        if not read:
            return None
        first = torch.cat([each.first for each in read])
        changes = torch.cat([each.second - each.first for each in read])
        return overlay_of(first, changes, self.reader.mean, share=gate * strength)


def _together(bias: Tensor | None, mixture: Mixture | None) -> "Tensor | LogitBias | None":
    """Both at once: the mixture is one with the model as the bias has bent it."""
    if mixture is None:
        return bias
    if bias is None:
        return mixture.bias

    def both(logits: Tensor) -> Tensor:
        bent = logits.cpu() + bias
        more = mixture.bias(bent)
        return bias if more is None else bias + more

    return both


def _value(kept: Vector | None, states: States | None) -> Tensor | None:
    if kept is not None:
        return torch.from_numpy(numpy.array(kept, dtype=numpy.float32))
    return None if states is None else states.value


def _vector(text: str) -> Tensor:
    return torch.from_numpy(numpy.frombuffer(base64.b64decode(text), dtype="<f4").copy())
