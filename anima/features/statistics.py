"""What an SAE's features usually do on content tokens; knows activations and no text."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from anima.errors import FeatureError
from anima.features.sae import Sae
from anima.home import write_atomically

FILE = "statistics.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureStatistics:
    """Per feature `[F]`, over `tokens` content tokens (user and assistant, no template).

    `density`: share of tokens where it is active; `typical`: its mean activation there (0 where it
    never is); `maximum`: its largest. `norm`: the mean ‖h‖ of the layer; `l0`: features active on
    an average token.
    """

    density: Tensor
    typical: Tensor
    maximum: Tensor
    norm: float
    tokens: int

    @property
    def live(self) -> Tensor:
        """Which features `[F]` were ever active."""
        return self.density > 0

    @property
    def l0(self) -> float:
        return float(self.density.sum())

    def save(self, folder: Path) -> None:
        """Write them beside the SAE's weights."""
        tensors = {"density": self.density, "typical": self.typical, "maximum": self.maximum}
        # One entry: several would be written in an order of their own each time.
        figures = {"figures": json.dumps({"norm": self.norm, "tokens": self.tokens})}
        write_atomically(
            folder / FILE,
            save({name: one.contiguous() for name, one in tensors.items()}, metadata=figures),
            remedy="Choose another folder.",
        )


def load_statistics(folder: Path) -> FeatureStatistics:
    """Read what `FeatureStatistics.save` wrote; raises FeatureError naming the file."""
    path = folder / FILE
    try:
        tensors = load_file(path)
        with safe_open(path, framework="pt") as file:
            figures = json.loads(file.metadata()["figures"])
        return FeatureStatistics(
            density=tensors["density"],
            typical=tensors["typical"],
            maximum=tensors["maximum"],
            norm=float(figures["norm"]),
            tokens=int(figures["tokens"]),
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FeatureError(
            f"{path} cannot be read as the statistics of an SAE's features: {error}."
        ) from error


def measure(sae: Sae, batches: Iterable[Tensor]) -> FeatureStatistics:
    """Statistics over batches of residual rows `[n, d]`; raises FeatureError where there are none."""
    fired = torch.zeros(sae.n_features, dtype=torch.float64)
    total = torch.zeros(sae.n_features, dtype=torch.float64)
    maximum = torch.zeros(sae.n_features)
    norms, tokens = 0.0, 0
    for h in batches:
        a = sae.encode(h).cpu()
        fired += (a > 0).sum(0)
        total += a.sum(0)
        maximum = torch.maximum(maximum, a.max(0).values)
        norms += float(h.float().norm(dim=-1).sum())
        tokens += len(h)
    if tokens == 0:
        raise FeatureError(f"There is no token to take the statistics of {sae.name} from.")
    return FeatureStatistics(
        density=(fired / tokens).float(),
        typical=(total / fired.clamp(min=1)).float(),
        maximum=maximum,
        norm=norms / tokens,
        tokens=tokens,
    )
