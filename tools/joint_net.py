"""MiniLM's last layers over two texts, in torch, to be tuned; knows nothing of what the pairs mean.

The same as `anima.encoding.joint` computes in numpy, which is where the formulas are.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from anima.encoding import minilm
from anima.home import find_home

Vectors = NDArray[np.float32]
States = Sequence[NDArray[np.floating]]
Pairs = Sequence[tuple[int, int]]

_WIDTH, _HEADS = 384, 12
_DROPOUT = 0.1
_POOL = 16
_LINEARS = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "out": "attention.output.dense", "up": "intermediate.dense", "down": "output.dense",
}  # fmt: skip
_NORMS = {"after_attention": "attention.output.LayerNorm", "after_all": "output.LayerNorm"}


class _Layer(nn.Module):
    """A layer of BERT, from tensors whose names begin with `name`."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], name: str) -> None:
        super().__init__()
        for own, theirs in (*_LINEARS.items(), *_NORMS.items()):
            weight, bias = (
                tensors[f"{name}{theirs}.{part}"].detach().clone().float()
                for part in ("weight", "bias")
            )
            made: nn.Linear | nn.LayerNorm = (
                nn.Linear(weight.shape[1], weight.shape[0])
                if own in _LINEARS
                else nn.LayerNorm(_WIDTH, eps=1e-12)
            )
            made.weight, made.bias = nn.Parameter(weight), nn.Parameter(bias)
            self.add_module(own, made)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x `[b, t, d]` through the layer; mask `[b, 1, 1, t]` is true where there is a token."""
        shape = (*x.shape[:2], _HEADS, _WIDTH // _HEADS)
        query, key, value = (
            self.get_submodule(each)(x).view(shape).transpose(1, 2)
            for each in ("query", "key", "value")
        )
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self._dropped("out", seen.transpose(1, 2).reshape(x.shape))
        x = self.get_submodule("after_attention")(x)
        wide = nn.functional.gelu(self.get_submodule("up")(x))
        normed: torch.Tensor = self.get_submodule("after_all")(x + self._dropped("down", wide))
        return normed

    def _dropped(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(self.get_submodule(name)(x), _DROPOUT, self.training)

    def tensors(self, name: str) -> dict[str, Vectors]:
        """Its tensors by BERT's names."""
        return {
            f"{name}{theirs}.{part}": getattr(self.get_submodule(own), part).detach().numpy()
            for own, theirs in (*_LINEARS.items(), *_NORMS.items())
            for part in ("weight", "bias")
        }


class Net(nn.Module):
    """The layers from `first` on of MiniLM's tensors over two texts, and what weighs their means."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], first: int, last: int = 6) -> None:
        super().__init__()
        self.first = first
        self.layers = nn.ModuleList(
            _Layer(tensors, f"encoder.layer.{at}.") for at in range(first, last)
        )
        self.types = nn.Parameter(torch.randn(2, _WIDTH) * 0.02)
        self.head = nn.Linear(4 * _WIDTH, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.mix = nn.Parameter(torch.tensor([0.8, 0.0]))

    def forward(self, x: torch.Tensor, side: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """The logits `[b]` of padded states `[b, t, d]`, of side 0 or 1, where they are `real`."""
        x = x + self.types[side]
        for layer in self.layers:
            x = layer(x, real[:, None, None, :])
        u, v = (self._mean(x, real & (side == each)) for each in (0, 1))
        found = torch.cat([u, v, (u - v).abs(), u * v], dim=1)
        logits: torch.Tensor = self.head(nn.functional.dropout(found, _DROPOUT, self.training))
        return logits[:, 0]

    @staticmethod
    def _mean(x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        weight = chosen.to(x.dtype)[..., None]
        return (x * weight).sum(1) / weight.sum(1)

    def tensors(self) -> dict[str, Vectors]:
        """What `anima.encoding.joint.Joint.of` takes."""
        found: dict[str, Vectors] = {"types": self.types.detach().numpy()}
        found["head"] = np.concatenate(
            [self.head.weight.detach().numpy()[0], self.head.bias.detach().numpy()]
        )
        for at, layer in enumerate(self.layers):
            assert isinstance(layer, _Layer)
            found |= layer.tensors(f"layer.{at}.")
        return found


def collated(pairs: Pairs, states: States) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States, sides and which are real, of pairs of places in `states`, padded to the longest."""
    lengths = [(len(states[one]), len(states[other])) for one, other in pairs]
    longest = max(map(sum, lengths))
    x = np.zeros((len(pairs), longest, _WIDTH), np.float32)
    side, real = np.zeros(x.shape[:2], np.int64), np.zeros(x.shape[:2], np.bool_)
    for row, ((one, other), (m, n)) in enumerate(zip(pairs, lengths, strict=True)):
        x[row, :m], x[row, m : m + n] = states[one], states[other]
        side[row, m:], real[row, : m + n] = 1, True
    return torch.from_numpy(x), torch.from_numpy(side), torch.from_numpy(real)


def of_minilm(first: int, seed: int) -> Net:
    """A net whose layers are those of MiniLM as it is fetched."""
    from safetensors.torch import load_file

    folder = minilm.WHEEL.files(find_home(None, os.environ), print)
    torch.manual_seed(seed)
    return Net(load_file(folder / "model.safetensors"), first)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast it is tuned: AdamW, one cycle."""

    steps: int
    batch: int = 32
    rate: float = 1e-4
    rate_of_head: float = 1e-3
    seed: int = 0


def tune(
    net: Net,
    pairs: Pairs,
    labels: NDArray[np.bool_],
    given: Vectors,
    states: States,
    schedule: Schedule,
    say: Callable[[str], None] = print,
) -> None:
    """Teach a net what the logits `given` leave open; deterministic under the seed."""
    torch.manual_seed(schedule.seed)
    chance = np.random.default_rng(schedule.seed)
    rates = [schedule.rate, schedule.rate_of_head]
    groups = [
        {"params": net.layers.parameters(), "lr": rates[0]},
        {"params": [net.types, net.mix, *net.head.parameters()], "lr": rates[1]},
    ]
    adam = torch.optim.AdamW(groups, weight_decay=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        adam, rates, total_steps=schedule.steps, pct_start=0.1
    )
    lengths = np.array([len(states[one]) + len(states[other]) for one, other in pairs])
    net.train()
    done, total = 0, 0.0
    while done < schedule.steps:
        for rows in _batches(lengths, schedule.batch, chance)[: schedule.steps - done]:
            wanted = torch.from_numpy(labels[rows].astype(np.float32)) * 0.98 + 0.01
            known = torch.from_numpy(given[rows])
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(*collated([pairs[at] for at in rows], states))
            logits = logits.float() + net.mix[0] * known + net.mix[1]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            adam.step()
            cycle.step()
            done, total = done + 1, total + loss.item()
            if done % 250 == 0:
                say(f"{done} of {schedule.steps} steps, loss {total / 250:.4f}")
                total = 0.0
    net.eval()


def _batches(
    lengths: NDArray[np.intp], size: int, chance: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Every pair once, in batches of about one length, so that little is padding."""
    order, found = chance.permutation(len(lengths)), []
    for start in range(0, len(order), _POOL * size):
        pool = order[start : start + _POOL * size]
        pool = pool[np.argsort(lengths[pool] + chance.random(len(pool)))]
        batches = [pool[at : at + size] for at in range(0, len(pool), size)]
        chance.shuffle(batches)
        found += batches
    return found


@torch.no_grad()
def logits_of(net: Net, pairs: Pairs, states: States) -> NDArray[np.float64]:
    """The logit of each pair `[n]`."""
    net.eval()
    found = np.zeros(len(pairs))
    lengths = [len(states[one]) + len(states[other]) for one, other in pairs]
    order = np.argsort(lengths)
    for start in range(0, len(order), 128):
        rows = order[start : start + 128]
        with torch.autocast("cpu", torch.bfloat16):
            found[rows] = net(*collated([pairs[at] for at in rows], states)).float().numpy()
    return found
