"""What a runtime over the tiny model needs to be steered: a planted SAE, labels, two modes."""

from dataclasses import dataclass
from typing import Any

import planted
import torch

from anima.features.sae import Sae
from anima.features.statistics import FeatureStatistics
from anima.prism.mode import FeaturePush, Mode, VectorPush, mark_of, values_of
from anima.prism.shelf import Shelf
from anima.runtime.furnishing import Furniture
from anima.runtime.prism import Book

LAYER = 1


@dataclass(frozen=True)
class Labels:
    """Feature f is called `feature f`, but for those with a name here."""

    own: dict[int, str]

    def label(self, feature: int) -> str:
        return self.own.get(feature, "")

    def find(self, text: str) -> list[int]:
        return [feature for feature, label in self.own.items() if text in label]


def planted_sae(**changes: Any) -> Sae:
    return planted.planted(**{"features": 24, "threshold": 0.01, "layer": LAYER, **changes})


def statistics(sae: Sae, *, norm: float = 6.0) -> FeatureStatistics:
    ones = torch.ones(sae.n_features)
    return FeatureStatistics(
        density=0.02 * ones, typical=ones, maximum=3 * ones, norm=norm, tokens=1000
    )


def book(sae: Sae | None = None) -> Book:
    chosen = sae or planted_sae()
    return Book(
        sae=chosen, norm=6.0, scales=statistics(chosen),
        names=Labels({3: "rain at night", 5: "arithmetic"}),
    )  # fmt: skip


def mode(name: str = "dream", strength: float = 0.3, feature: int = 3, **changes) -> Mode:
    sae = planted_sae()
    given = {
        "name": name, "description": f"How {name} speaks.", "model": "tiny", "layer": LAYER,
        "norm": 6.0, "sae": sae.name, "sae_mark": mark_of(sae),
        "features": (FeaturePush(feature=feature, operation="clamp", strength=strength, label="x"),),
    }  # fmt: skip
    return Mode(**{**given, **changes})


def dense(name: str = "plain", strength: float = 0.2, width: int = 32, layer: int = LAYER) -> Mode:
    row = torch.randn(width, generator=torch.Generator().manual_seed(2))
    vector = VectorPush(
        name="direction", operation="add", strength=strength, values=values_of(row.tolist())
    )
    return Mode(name=name, description="", model="tiny", layer=layer, norm=6.0, vectors=(vector,))


def furnished(tmp_path, *modes: Mode, switcher=None, with_book: bool = True) -> Furniture:
    shelf = Shelf(own=tmp_path / "modes")
    for each in modes or (mode(), mode("system", feature=5), dense()):
        shelf.save(each)
    return Furniture(shelf=shelf, book=book() if with_book else None, switcher=switcher)
