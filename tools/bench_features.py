"""What reading features and steering by them cost beside decoding, on the same tokens in one run.

python -m tools.bench --rows features
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from anima.home import Home
from tools import bench_engines
from tools.bench_engines import decoding
from tools.bench_table import Row, row, seconds

if TYPE_CHECKING:
    import torch

    from anima.features.sae import Sae
    from anima.trunk.interface import Taps

WIDE = 32_768
"""Features of the random SAE: as many as those of Llama Scope's 8x releases."""
_ACTIVE = 60  # features of the random SAE that are active on an average token
_PUSHES = 4
_STRENGTH = 0.02
_BATCH = 256


def features(home: Home, threads: int, repetitions: int, tokens: int) -> list[Row]:
    """Reading and steering as shares of plain decode time, for the shipped SAE and a wide one."""
    from anima.features.opening import open_sae

    loaded, ids = bench_engines.load(home, threads, "fast")
    opened = open_sae("smollm2", cache=home.cache)
    saes = {opened.sae.name: opened.sae, f"random, {WIDE:,}": random_sae(loaded.trunk, ids)}
    return shares(loaded.trunk, ids, saes, repetitions, tokens)


def random_sae(trunk: Any, ids: Sequence[int], count: int = WIDE) -> "Sae":
    """A JumpReLU SAE of random weights on the middle layer, as sparse on `ids` as a trained one."""
    import torch

    from anima.features.sae import Sae

    info = trunk.info
    layer = info.layers // 2
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(
        torch.randn(count, info.width, generator=generator), dim=-1
    )
    step = trunk.forward(torch.tensor([list(ids)]), trunk.cache(), reads=(layer,))
    # A sample of the features: all of them on all tokens are more than quantile takes.
    a = step.reads[layer][0].float().cpu() @ rows[:1024].T
    threshold = float(torch.quantile(a.flatten()[: 1 << 24], 1 - min(0.5, _ACTIVE / count)))
    return Sae(
        name=f"random-{count}", architecture="jumprelu", model=info.model, layer=layer,
        encoder=rows.T, decoder=rows, decoder_bias=torch.zeros(info.width),
        biases={
            "b_enc": torch.zeros(count), "threshold": torch.full((count,), max(threshold, 0.0))
        },
    ).to(info.device)  # fmt: skip


def shares(
    trunk: Any, ids: list[int], saes: Mapping[str, "Sae"], repetitions: int, tokens: int
) -> list[Row]:
    """Plain decode, each SAE read, and read and steered, in turn token by token.

    What slows the machine for a while slows all alike so. A repetition's figure is the median over
    its tokens of the difference to the same round's token; the first repetition warms up. Reading
    keeps the stream of each token and encodes all of them together, as the chat does for a look.
    """
    import torch

    from anima.steering.delta import pushing

    prompt = torch.tensor([ids])
    cache = trunk.cache()
    logits = trunk.forward(prompt, cache).logits[0, -1]
    arms: dict[tuple[str, str], _Arm] = {("", "plain"): _Arm(taps={}, kept=[])}
    for name, sae in saes.items():
        rows: list[torch.Tensor] = []
        state = _state(trunk, sae, _norm(trunk, ids, sae.layer))
        assert state is not None
        arms[name, "reading"] = _Arm(taps={sae.layer: (rows.append,)}, kept=rows)
        arms[name, "steering"] = _Arm(taps={sae.layer: (rows.append, pushing(state))}, kept=rows)
    plain: list[float] = []
    taken: dict[tuple[str, str], list[float]] = {arm: [] for arm in arms}
    for repetition in range(repetitions + 1):
        each = _tokens(trunk, cache, logits, arms, len(ids), tokens)
        base = median(each["", "plain"])
        for name, sae in saes.items():
            kept = _more(each[name, "reading"], each["", "plain"])
            encoded = _encoding(sae, arms[name, "reading"].kept)
            more = _more(each[name, "steering"], each[name, "reading"])
            if repetition:
                taken[name, "reading"].append(100 * (kept + encoded) / base)
                taken[name, "steering"].append(100 * more / base)
        if repetition:
            plain.append(1000 * base)
    found = [row("decode, plain", "anima", plain, "ms/token")]
    for name in saes:
        read, steered = taken[name, "reading"], taken[name, "steering"]
        found.append(row("reading features, share of decode", name, read, "%"))
        found.append(row("steering beside reading, share of decode", name, steered, "%"))
    return found


def _tokens(
    trunk: Any,
    cache: Any,
    logits: Any,
    arms: "Mapping[tuple[str, str], _Arm]",
    length: int,
    tokens: int,
) -> dict[tuple[str, str], list[float]]:
    """Seconds of each arm's tokens, the same token of all one after the other in any order."""
    found: dict[tuple[str, str], list[float]] = {arm: [] for arm in arms}
    shuffle = random.Random(0).shuffle
    names = list(arms)
    for _ in range(tokens):
        shuffle(names)  # none always comes after the same other
        for name in names:
            cache.crop(length)
            found[name].append(1 / decoding(trunk, cache, logits, 1, arms[name].asked))
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Arm:
    """The taps of one way to decode, and where they keep the stream."""

    taps: "Taps"
    kept: "list[torch.Tensor]"

    def asked(self) -> "Taps":
        return self.taps


def _more(those: Sequence[float], than: Sequence[float]) -> float:
    """The median of the paired differences."""
    return median(a - b for a, b in zip(those, than, strict=True))


def _encoding(sae: "Sae", kept: "list[torch.Tensor]") -> float:
    """Seconds per token to encode what was kept, which is let go; the median of a few times."""
    import torch

    rows = torch.cat([h[0] for h in kept])
    kept.clear()

    def encode() -> None:
        for part in torch.split(rows, _BATCH):
            sae.encode(part)

    return median(seconds(encode) for _ in range(5)) / len(rows)


def _norm(trunk: Any, ids: Sequence[int], layer: int) -> float:
    """The usual length of the stream: of the middle token, the first ones being far longer."""
    import torch

    step = trunk.forward(torch.tensor([list(ids)]), trunk.cache(), reads=(layer,))
    return float(step.reads[layer][0].float().norm(dim=-1).median())


def _state(trunk: Any, sae: "Sae", norm: float) -> Any:
    """A few features clamped, as a mode does."""
    from anima.steering.preparing import ready
    from anima.steering.push import Push

    chosen = range(0, sae.n_features, max(1, sae.n_features // _PUSHES))
    pushes = [
        Push(operation="clamp", strength=_STRENGTH, feature=f) for f in list(chosen)[:_PUSHES]
    ]
    return ready(pushes, norm=norm, width=trunk.info.width, sae=sae, device=trunk.info.device)
