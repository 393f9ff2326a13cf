"""Learns which lines replace older ones, from made-up lives, and writes the reader of pairs.

    python -m tools.build_replacing [--forms FILE] [--lives N] [--held-out] [--out FILE]

The forms are those of `replacing.toml`, the chat is the package chitchat-dataset's, which the
`train` extra installs. With --held-out a quarter of the attributes is left out and judged instead.
"""

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anima.encoding import DEFAULT, open_encoder
from anima.home import find_home
from anima.memory.claims import replacing
from anima.memory.claims.replacing import CANDIDATES, Eyes, Numbers, Replacing
from tools.build_encoder import chat_lines
from tools.replacing_lives import Material, Sentence, life, material

_COMMON = 2500
_DIRECTIONS = 48
_FOLDS = 4
_SURE, _LIKELY = 0.8, 0.6


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What is learned from: sentences, chat, and the key of each text at length 1."""

    source: Material
    chat: Sequence[str]
    keys: Mapping[str, NDArray[np.float32]]
    rarity: Mapping[str, float]

    def stacked(self, texts: Sequence[str]) -> Numbers:
        return np.stack([self.keys[each] for each in texts]).astype(np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Features `[n, f]` of pairs and whether the newer replaces the older `[n]`."""

    features: Numbers
    replaced: NDArray[np.bool_]


def eyes_for(ground: Ground, attributes: Set[int], chat: Sequence[str], seed: int = 0) -> Eyes:
    """What is to be read in the keys, learned from some attributes and some chat."""
    told = [each for each in ground.source.sentences if each.attribute in attributes]
    keys, others = ground.stacked([each.text for each in told]), ground.stacked(chat)
    mean = np.concatenate([keys, others]).mean(0)
    keys, others = keys - mean, others - mean
    projection = _discriminants(keys, told)
    kinds = np.array([each.kind for each in told] + ["chat"] * len(others))
    every, said = np.concatenate([keys, others]), kinds != "chat"
    claimed = (kinds == "fact") | (kinds == "update")
    probes = [
        _logistic(every, kinds == "update", 2.0),
        _logistic(every[said], claimed[said], 2.0),
        _logistic(every, said, 2.0),
    ]
    seen = keys @ projection
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    one, other, same = _contrasts(ground.source, seen, told, np.random.default_rng(seed))
    pair, pair_bias = _logistic(replacing.both(seen[one], seen[other]), same, 0.01)
    return Eyes(
        mean=mean, projection=projection, probes=np.stack([each for each, _ in probes], axis=1),
        biases=np.array([bias for _, bias in probes]), pair=pair, pair_bias=pair_bias,
        rarity=ground.rarity,
    )  # fmt: skip


def _discriminants(keys: Numbers, told: Sequence[Sentence]) -> Numbers:
    """Directions `[d, m]` in which attributes differ most for how their sentences vary."""
    of: dict[int, list[int]] = {}
    for at, each in enumerate(told):
        if each.claims:
            of.setdefault(each.attribute, []).append(at)
    centres = {attribute: keys[rows].mean(0) for attribute, rows in of.items()}
    within = np.concatenate([keys[rows] - centres[each] for each, rows in of.items()])
    spread = within.T @ within / len(within)
    spread += np.eye(len(spread)) * np.trace(spread) / len(spread) * 0.3
    between = np.stack(list(centres.values()))
    whitening = np.linalg.cholesky(np.linalg.inv(spread))
    _, found = np.linalg.eigh(whitening.T @ (between.T @ between / len(between)) @ whitening)
    directions: Numbers = whitening @ found[:, ::-1][:, :_DIRECTIONS]
    return directions


def _contrasts(
    source: Material, seen: Numbers, told: Sequence[Sentence], chance: np.random.Generator
) -> tuple[list[int], list[int], NDArray[np.bool_]]:
    """Pairs of sentences, of one attribute with different values and others that are near."""
    attributes = np.array([each.attribute for each in told])
    claims = np.array([each.claims for each in told])
    values = np.array([each.value for each in told])
    pairs: list[tuple[int, int, bool]] = []
    for at in np.flatnonzero(claims).tolist():
        if told[at].kind == "fact" and chance.random() < 0.5:
            continue
        own = attributes == attributes[at]
        same = np.flatnonzero(own & claims & (values != values[at]))
        near = np.argsort(np.where(own, -9.0, seen @ seen[at]))[-12:]
        if not same.size:
            continue
        pairs += [(at, other, True) for other in chance.choice(same, 2).tolist()]
        pairs += [(at, other, False) for other in chance.choice(near, 3).tolist()]
        pairs += [(at, int(chance.choice(np.flatnonzero(own & ~claims))), False)]
    one, other, replaced = zip(*pairs, strict=True)
    return list(one), list(other), np.array(replaced)


def _logistic(
    features: Numbers, positive: NDArray[np.bool_], strength: float
) -> tuple[Numbers, float]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=strength, max_iter=300).fit(features, positive)
    return fitted.coef_[0], float(fitted.intercept_[0])


def pairs_of(
    ground: Ground, eyes: Eyes, attributes: Set[int], chat: Sequence[str], *, seed: int, lives: int
) -> Pairs:
    """Every line of made-up lives beside the nearest lines before it that are still open."""
    chance, found, replaced = random.Random(seed), [], []
    for _ in range(lives):
        open_: list[Sentence] = []
        for new in life(ground.source, sorted(attributes), chat, chance):
            if open_:
                keys = np.stack([ground.keys[each.text] for each in open_])
                near = np.argsort(-(keys @ ground.keys[new.text]))[:CANDIDATES]
                olds = [open_[at] for at in near.tolist()]
                lines = [replacing.Line(text=e.text, key=ground.keys[e.text]) for e in (new, *olds)]
                found.append(replacing.features(eyes, lines[0], lines[1:]))
                replaced += [ground.source.replaces(new, old) for old in olds]
            # What was replaced is closed most of the time, as it will be where this is used.
            if chance.random() < 0.75:
                open_ = [old for old in open_ if not ground.source.replaces(new, old)]
            open_.append(new)
    return Pairs(features=np.concatenate(found), replaced=np.array(replaced))


def learned(ground: Ground, attributes: Set[int], chat: Sequence[str], lives: int) -> Replacing:
    """The reader of pairs: eyes that never saw an attribute make the features it is taught with."""
    drawn = sorted(attributes)
    random.Random(0).shuffle(drawn)
    parts = []
    for fold in range(_FOLDS):
        part = set(drawn[fold::_FOLDS])
        eyes = eyes_for(
            ground, set(drawn) - part, [t for i, t in enumerate(chat) if i % _FOLDS != fold]
        )
        parts.append(
            pairs_of(ground, eyes, part, chat[fold::_FOLDS], seed=fold, lives=lives // _FOLDS)
        )
    centre, spread, inner, inner_bias, outer, outer_bias = _layers(
        np.concatenate([each.features for each in parts]),
        np.concatenate([each.replaced for each in parts]),
    )
    return Replacing(
        encoder=DEFAULT, eyes=eyes_for(ground, set(drawn), chat), centre=centre, spread=spread,
        inner=inner, inner_bias=inner_bias, outer=outer, outer_bias=outer_bias, sure=_SURE,
        likely=_LIKELY,
    )  # fmt: skip


def _layers(
    features: Numbers,
    replaced: NDArray[np.bool_],
    *,
    hidden: int = 48,
    nets: int = 3,
    epochs: int = 12,
) -> tuple[Numbers, Numbers, Numbers, Numbers, Numbers, float]:
    """Three small nets, side by side as one: the mean of their logits."""
    import torch

    centre, spread = features.mean(0), np.maximum(features.std(0), 0.05)
    x = torch.tensor((features - centre) / spread, dtype=torch.float32)
    y = torch.tensor(replaced, dtype=torch.float32)
    inner, inner_bias, outer, bias = [], [], [], 0.0
    for seed in range(nets):
        torch.manual_seed(seed)
        first, last = torch.nn.Linear(x.shape[1], hidden), torch.nn.Linear(hidden, 1)
        net = torch.nn.Sequential(torch.nn.Dropout(0.2), first, torch.nn.Tanh(), last)
        adam = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
        steps = epochs * -(-len(x) // 512)
        rate = torch.optim.lr_scheduler.OneCycleLR(adam, 6e-3, total_steps=steps)
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for start in range(0, len(x), 512):
                rows = order[start : start + 512]
                adam.zero_grad()
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    net(x[rows])[:, 0], y[rows]
                )
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
                rate.step()
        inner.append(first.weight.detach().numpy().T)
        inner_bias.append(first.bias.detach().numpy())
        outer.append(last.weight.detach().numpy()[0] / nets)
        bias += float(last.bias.detach()) / nets
    return (
        centre, spread, np.concatenate(inner, axis=1), np.concatenate(inner_bias),
        np.concatenate(outer), bias,
    )  # fmt: skip


def _ground(forms: Path) -> Ground:
    source, chat = material(forms), chat_lines(1500)
    texts = [*dict.fromkeys([*(each.text for each in source.sentences), *chat])]
    keys = open_encoder(DEFAULT, find_home(None, os.environ), say=print).encode(texts)
    said = Counter(
        word for text in chat for word in replacing.wording(text).words if word.isascii()
    )
    rarity = replacing.rarities([word for word, _ in said.most_common(_COMMON)])
    return Ground(source=source, chat=chat, keys=dict(zip(texts, keys, strict=True)), rarity=rarity)


def _judge(ground: Ground, lives: int) -> None:
    """What is found in the attributes that were left out, by threshold."""
    drawn = list(range(len(ground.source.names)))
    random.Random(1).shuffle(drawn)
    held, rest = set(drawn[: len(drawn) // 4]), set(drawn[len(drawn) // 4 :])
    split = len(ground.chat) * 3 // 4
    reader = learned(ground, rest, ground.chat[:split], lives)
    pairs = pairs_of(ground, reader.eyes, held, ground.chat[split:], seed=77, lives=60)
    chances = reader.scored(pairs.features)
    for least in (0.5, 0.7, 0.8, 0.9, 0.95):
        closed = chances >= least
        right = int((closed & pairs.replaced).sum())
        print(
            f"P ≥ {least}: {right} of {int(pairs.replaced.sum())} found, "
            f"{int(closed.sum()) - right} of {int((~pairs.replaced).sum())} wrongly"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--forms", type=Path, default=Path(__file__).with_name("replacing.toml"))
    parser.add_argument("--lives", type=int, default=260)
    parser.add_argument("--held-out", action="store_true")
    shipped = Path("checkpoints/models") / DEFAULT / replacing.FILE
    parser.add_argument("--out", type=Path, default=shipped)
    options = parser.parse_args(arguments)
    ground = _ground(options.forms)
    if options.held_out:
        _judge(ground, options.lives)
        return 0
    options.out.parent.mkdir(parents=True, exist_ok=True)
    learned(ground, set(range(len(ground.source.names))), ground.chat, options.lives).write(
        options.out
    )
    print(f"{options.out}: {len(ground.source.names)} attributes, {len(ground.keys):,} sentences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
