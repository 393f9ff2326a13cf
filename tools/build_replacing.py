"""Learns which lines replace older ones, from made-up lives, and writes the reader of pairs.

    python -m tools.build_replacing [--forms FILE] [--lives N] [--out FILE]

The forms are those of `replacing.toml`, the chat is the package chitchat-dataset's, which the
`train` extra installs. What the forms mark as judged is never learned from; what is found of it is
printed.
"""

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
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
_CHAT, _TALKED = 3000, 4500
_JUDGED_TALKS = 100
"""Talks that are left for `anima eval recall`."""

_SHORTEST_TALK, _LONGEST_TALK = 3, 24
_PLANTED, _JUDGED_LIVES = 12, 60
LIVES = 600


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What is learned from: sentences, chat, talks, and the key of each text at length 1."""

    source: Material
    chat: Sequence[str]
    judged_chat: Sequence[str]
    talks: Sequence[Sequence[str]]
    keys: Mapping[str, NDArray[np.float32]]
    rarity: Mapping[str, float]

    def stacked(self, texts: Sequence[str]) -> Numbers:
        return np.stack([self.keys[each] for each in texts]).astype(np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Features `[n, f]` of pairs and whether the newer replaces the older `[n]`.

    `texts` are the newer and the older of each; of one newer line are `sizes` of them in a row.
    """

    features: Numbers
    replaced: NDArray[np.bool_]
    texts: Sequence[tuple[str, str]]
    sizes: Sequence[int]


@dataclass(kw_only=True)
class _Reading:
    """Pairs while they are gathered, each newer line beside the nearest of the older ones."""

    ground: Ground
    eyes: Eyes
    features: list[Numbers] = field(default_factory=list)
    replaced: list[bool] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, new: Sentence, open_: Sequence[Sentence]) -> None:
        keys = np.stack([self.ground.keys[each.text] for each in open_])
        near = np.argsort(-(keys @ self.ground.keys[new.text]))[:CANDIDATES]
        olds = [open_[at] for at in near.tolist()]
        lines = [replacing.Line(text=e.text, key=self.ground.keys[e.text]) for e in (new, *olds)]
        self.features.append(replacing.features(self.eyes, lines[0], lines[1:]))
        self.replaced += [self.ground.source.replaces(new, old) for old in olds]
        self.texts += [(new.text, old.text) for old in olds]
        self.sizes.append(len(olds))

    def pairs(self) -> Pairs:
        return Pairs(
            features=np.concatenate(self.features), replaced=np.array(self.replaced),
            texts=self.texts, sizes=self.sizes,
        )  # fmt: skip


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
    ground: Ground,
    eyes: Eyes,
    attributes: Set[int],
    chat: Sequence[str],
    *,
    seed: int,
    lives: int,
    talks: Sequence[Sequence[str]] = (),
) -> Pairs:
    """Every line of made-up lives beside the nearest lines before it that are still open."""
    chance, found = random.Random(seed), _Reading(ground=ground, eyes=eyes)
    for _ in range(lives):
        open_: list[Sentence] = []
        for new in life(ground.source, sorted(attributes), chat, chance):
            if open_:
                found.add(new, open_)
            # What was replaced is closed most of the time, as it will be where this is used.
            if chance.random() < 0.75:
                open_ = [old for old in open_ if not ground.source.replaces(new, old)]
            open_.append(new)
    facts = [e for e in ground.source.sentences if e.attribute in attributes and e.kind == "fact"]
    for talk in talks:
        open_ = chance.sample(facts, _PLANTED)
        for text in talk:
            found.add(Sentence(text=text), [old for old in open_ if old.text != text])
            open_.append(Sentence(text=text))
    return found.pairs()


def parts_of(ground: Ground, attributes: Set[int], chat: Sequence[str], lives: int) -> list[Pairs]:
    """Pairs of lives in folds of the attributes, each by eyes that never saw those of its fold."""
    drawn = sorted(attributes)
    random.Random(0).shuffle(drawn)
    parts = []
    for fold in range(_FOLDS):
        part = set(drawn[fold::_FOLDS])
        eyes = eyes_for(
            ground, set(drawn) - part, [t for i, t in enumerate(chat) if i % _FOLDS != fold]
        )
        parts.append(
            pairs_of(
                ground, eyes, part, chat[fold::_FOLDS], seed=fold, lives=lives // _FOLDS,
                talks=ground.talks[fold::_FOLDS],
            )
        )  # fmt: skip
    return parts


def reader_of(parts: Sequence[Pairs], eyes: Eyes) -> Replacing:
    """The reader that some parts teach, with these eyes."""
    centre, spread, inner, inner_bias, outer, outer_bias = _layers(
        np.concatenate([each.features for each in parts]),
        np.concatenate([each.replaced for each in parts]),
    )
    return Replacing(
        encoder=DEFAULT, eyes=eyes, centre=centre, spread=spread, inner=inner,
        inner_bias=inner_bias, outer=outer, outer_bias=outer_bias, sure=_SURE, likely=_LIKELY,
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


def ground_of(forms: Path) -> Ground:
    """The sentences of the forms, chat, talks and their keys; raises as `open_encoder` does."""
    every = chat_lines(_CHAT)
    left = len(every) // 4
    source, talks = material(forms, every[left:]), chat_talks(_TALKED)
    said = [text for talk in talks for text in talk]
    texts = [*dict.fromkeys([*(each.text for each in source.sentences), *every, *said])]
    keys = open_encoder(DEFAULT, find_home(None, os.environ), say=print).encode(texts)
    common = Counter(
        word for text in every for word in replacing.wording(text).words if word.isascii()
    )
    rarity = replacing.rarities([word for word, _ in common.most_common(_COMMON)])
    return Ground(
        source=source, chat=every[left:], judged_chat=every[:left], talks=talks,
        keys=dict(zip(texts, keys, strict=True)), rarity=rarity,
    )  # fmt: skip


def chat_talks(count: int) -> list[Sequence[str]]:
    """One person's lines of talks, about `count` lines, beyond those that anything is judged on."""
    from anima.features.corpus import chitchat

    found: list[Sequence[str]] = []
    for talk in chitchat().conversations[_JUDGED_TALKS:]:
        lines = [text.strip() for text in talk.turns[::2] if text.strip()][:_LONGEST_TALK]
        if len(lines) >= _SHORTEST_TALK:
            found.append(lines)
            count -= len(lines)
        if count <= 0:
            break
    return found


def judge(chances: Numbers, pairs: Pairs) -> Iterator[str]:
    """What is found in the attributes that were left out, by threshold."""
    lines = np.repeat(np.arange(len(pairs.sizes)), pairs.sizes)
    for least in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        closed = chances >= least
        right, wrong = closed & pairs.replaced, closed & ~pairs.replaced
        yield (
            f"P ≥ {least}: {right.sum()} of {pairs.replaced.sum()} found, {wrong.sum()} wrongly, "
            f"by {len(set(lines[wrong].tolist()))} of {len(pairs.sizes)} lines"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--forms", type=Path, default=Path(__file__).with_name("replacing.toml"))
    parser.add_argument("--lives", type=int, default=LIVES)
    shipped = Path("checkpoints/models") / DEFAULT / replacing.FILE
    parser.add_argument("--out", type=Path, default=shipped)
    options = parser.parse_args(arguments)
    ground = ground_of(options.forms)
    learn = ground.source.learned
    parts = parts_of(ground, learn, ground.chat, options.lives)
    reader = reader_of(parts, eyes_for(ground, learn, ground.chat))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    reader.write(options.out)
    print(f"{options.out}: {len(learn)} attributes, {len(ground.keys):,} sentences")
    pairs = judged_pairs(ground, reader.eyes)
    print(*judge(reader.scored(pairs.features), pairs), sep="\n")
    return 0


def judged_pairs(ground: Ground, eyes: Eyes) -> Pairs:
    """Pairs of the attributes that nothing was learned from."""
    return pairs_of(
        ground, eyes, ground.source.judged, ground.judged_chat, seed=77, lives=_JUDGED_LIVES
    )


if __name__ == "__main__":
    sys.exit(main())
