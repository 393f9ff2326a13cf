"""The workshop that modes are made in: a model that reads texts and answers under pushes.

It knows the model, its SAE and prompts, and neither sessions, files nor what a mode is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from anima.prism.contrast import Reader
from anima.prism.measuring import Asked, Said, asked, prompt, said
from anima.steering.preparing import ready
from anima.steering.push import Push
from anima.steering.state import State

if TYPE_CHECKING:
    from anima.features.sae import Sae
    from anima.features.statistics import FeatureStatistics
    from anima.trunk.interface import TrunkInfo


@dataclass(frozen=True, kw_only=True, eq=False)
class Workshop:
    """What a mode is made with: the model that reads texts, and its SAE where it has one.

    `layer` and `norm` are the SAE's where there is one; `end_ids` end a reply.
    """

    reader: Reader
    info: "TrunkInfo"
    end_ids: frozenset[int]
    layer: int
    norm: float
    sae: "Sae | None" = None
    statistics: "FeatureStatistics | None" = None
    _streams: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def residuals(self, texts: Sequence[str]) -> list[Tensor]:
        """The layer's stream on each text's own tokens `[t, d]`, each text read once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._streams]
        self._streams.update(zip(new, self.reader.residuals(new, self.layer), strict=True))
        return [self._streams[text] for text in texts]

    def prompts(self, texts: Sequence[str]) -> Asked:
        """Questions read once, to be answered under one push after another."""
        reader = self.reader
        rows = [prompt(reader.encoder, reader.format, text, reader.prefix) for text in texts]
        return asked(reader.trunk, rows)

    def state(self, pushes: Sequence[Push]) -> State | None:
        """Pushes made ready on this model."""
        return ready(
            pushes, norm=self.norm, width=self.info.width, sae=self.sae, device=self.info.device
        )

    def said(self, base: Asked, push: State | None, limit: int) -> list[Said]:
        """Greedy replies under a push, scored beside the model without it."""
        return said(
            self.reader.trunk, base, layer=self.layer, push=push, limit=limit, end_ids=self.end_ids
        )

    def texts(self, replies: Sequence[Said]) -> list[str]:
        """What was said, as text."""
        return [self.reader.encoder.decode(reply.ids) for reply in replies]
