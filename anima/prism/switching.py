"""Chooses a mode by the user's text: a linear classifier over the model's own stream, hysteresis.

It knows texts, labels and the residual stream, and neither what a mode does nor past turns.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anima.errors import SteeringError
from anima.prism.regression import fitted, labels_of

if TYPE_CHECKING:
    from anima.prism.contrast import Reader

LONGEST = 256
"""Tokens of a text that are read, the first ones: what is wanted is said early."""
_PENALTY = 1e-4  # by the log loss of ten-fold cross-validation on the shipped texts
_ARRAYS = {"weights", "bias", "centre"}


@dataclass(frozen=True, kw_only=True)
class Leaning:
    """What auto stands at: the mode in force, and how much it believes in each, empty at first."""

    mode: str
    belief: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Hysteresis:
    """`stay`: the chance that the next text wants what this one did; `misread`: that it says nothing.

    A text without a clear wish (`and then?`) leaves the mode; one with a clear wish switches at once.
    """

    stay: float = 0.9
    misread: float = 0.05


def leaned(leaning: Leaning, chances: Mapping[str, float], rule: Hysteresis) -> Leaning:
    """What auto stands at after a text with these chances `{mode: p}`; pure.

    The filter of a hidden Markov chain: belief, carried over, times what the text says. The mode
    changes where another is believed in more than in all the rest together.
    """
    names = sorted(chances)
    before = leaning.belief or {name: float(name == leaning.mode) for name in names}
    if not any(before.get(name, 0.0) for name in names):
        before = dict.fromkeys(names, 1 / len(names))
    leave = (1 - rule.stay) / max(1, len(names) - 1)
    weights = {}
    for name in names:
        carried = rule.stay * before.get(name, 0.0) + leave * (1 - before.get(name, 0.0))
        said = (1 - rule.misread) * chances[name] + rule.misread / len(names)
        weights[name] = carried * said
    total = sum(weights.values())
    belief = {name: round(weight / total, 6) for name, weight in weights.items()}
    best = max(names, key=lambda name: (belief[name], name))
    mode = best if belief[best] > 0.5 else leaning.mode
    return Leaning(mode=mode, belief=belief)


@dataclass(frozen=True, kw_only=True, eq=False)
class Switcher:
    """A trained classifier of texts by the residual stream of `layer`, mean over their tokens.

    `centre` `[d]` is subtracted, the rest divided by `scale`; `weights` `[labels, d]`, `bias`
    `[labels]`. `fingerprint` is that of the model whose stream it was trained on.
    """

    labels: tuple[str, ...]
    layer: int
    fingerprint: str
    scale: float
    centre: Tensor
    weights: Tensor
    bias: Tensor

    @property
    def digest(self) -> str:
        """A hash of all that it was trained to."""
        whole = hashlib.blake2b(repr((self.labels, self.layer, self.scale)).encode(), digest_size=8)
        for array in (self.centre, self.weights, self.bias):
            whole.update(array.contiguous().numpy().tobytes())
        return whole.hexdigest()

    def on(self, reader: "Reader") -> "Choosing":
        """This classifier with the model that reads texts for it."""
        return Choosing(switcher=self, reader=reader)


@dataclass(frozen=True, kw_only=True, eq=False)
class Choosing:
    """A classifier at work: one short call of the model for each text, outside any conversation."""

    switcher: Switcher
    reader: "Reader"

    @property
    def labels(self) -> tuple[str, ...]:
        return self.switcher.labels

    def chances(self, text: str) -> dict[str, float]:
        """The probability of each label for a text; they sum to 1."""
        own = self.switcher
        row = (asked_of(self.reader, text, own.layer) - own.centre) / own.scale
        return dict(
            zip(own.labels, (own.weights @ row + own.bias).softmax(0).tolist(), strict=True)
        )


def asked_of(reader: "Reader", text: str, layer: int) -> Tensor:
    """The mean residual row `[d]` of a text's own tokens when it is a user's first turn."""
    tokens = reader.question(text)
    own = [index for index, role in enumerate(tokens.roles) if role == "user"][:LONGEST]
    ids = torch.tensor([tokens.ids[: own[-1] + 1]])
    step = reader.trunk.forward(ids, reader.trunk.cache(), reads=[layer])
    return step.reads[layer][0, own].float().mean(0).cpu()


def train_switcher(
    reader: "Reader",
    texts: Mapping[str, Sequence[str]],
    layer: int,
    *,
    fingerprint: str,
    penalty: float = _PENALTY,
) -> Switcher:
    """A classifier of user's texts by label; raises SteeringError for fewer than two labels."""
    rows = torch.stack([asked_of(reader, t, layer) for name in texts for t in texts[name]])
    return fit_switcher(rows, texts, layer, fingerprint=fingerprint, penalty=penalty)


def fit_switcher(
    rows: Tensor,
    texts: Mapping[str, Sequence[str]],
    layer: int,
    *,
    fingerprint: str,
    penalty: float = _PENALTY,
) -> Switcher:
    """The same from the rows `[n, d]` of the texts, in their order."""
    wanted = labels_of(texts)
    centre = rows.mean(0)
    scale = float((rows - centre).norm(dim=-1).mean())
    weights, bias = fitted(list((rows - centre) / scale), wanted, penalty=penalty)
    return Switcher(
        labels=tuple(texts), layer=layer, fingerprint=fingerprint, scale=scale, centre=centre,
        weights=weights, bias=bias,
    )  # fmt: skip


def read_switcher(path: Path) -> Switcher:
    """Open a trained classifier; SteeringError names the file and what is wrong."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as content:
            figures = content.metadata() or {}
            arrays = {name: content.get_tensor(name).float() for name in content.keys()}  # noqa: SIM118
        labels = tuple(figures["labels"].split())
        made = Switcher(
            labels=labels, layer=int(figures["layer"]), fingerprint=figures["fingerprint"],
            scale=float(figures["scale"]), **{name: arrays[name] for name in _ARRAYS},
        )  # fmt: skip
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise SteeringError(
            f"{path} cannot be read as a classifier of texts: {error}. Train it anew, or remove it."
        ) from error
    if made.weights.shape != (len(labels), len(made.centre)) or made.bias.shape != (len(labels),):
        raise SteeringError(f"{path}: its arrays do not belong together. Train it anew.")
    return made


def write_switcher(path: Path, switcher: Switcher) -> None:
    """Keep a trained classifier; raises StorageError."""
    from safetensors.torch import save

    from anima.home import write_atomically

    arrays = {name: getattr(switcher, name).contiguous() for name in sorted(_ARRAYS)}
    figures = {
        "labels": " ".join(switcher.labels), "layer": str(switcher.layer),
        "fingerprint": switcher.fingerprint, "scale": repr(switcher.scale),
    }  # fmt: skip
    write_atomically(path, save(arrays, metadata=figures))
