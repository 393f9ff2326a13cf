"""What reading features and steering by them cost beside decoding, on the same tokens in one run.

python -m tools.bench --rows features
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anima.home import Home
from tools import bench_engines
from tools.bench_engines import decoding
from tools.bench_table import Row, row, seconds

if TYPE_CHECKING:
    from anima.features.sae import Sae

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
    """Rounds of plain decode, then each SAE read, then read and steered; the first warms up.

    Reading keeps the stream of each token and encodes all of them when the reply is over, as the
    chat does. A share is of the same round's plain decode.
    """
    import torch

    prompt = torch.tensor([ids])
    cache = trunk.cache()
    logits = trunk.forward(prompt, cache).logits[0, -1]
    arms: dict[tuple[str, str], Callable[[], float]] = {}
    for name, sae in saes.items():
        arms[name, "reading"] = _arm(trunk, cache, ids, logits, sae, None, tokens)
        state = _state(trunk, sae, _norm(trunk, ids, sae.layer))
        arms[name, "steering"] = _arm(trunk, cache, ids, logits, sae, state, tokens)
    plain: list[float] = []
    taken: dict[tuple[str, str], list[float]] = {arm: [] for arm in arms}
    for repetition in range(repetitions + 1):
        cache.crop(len(ids))
        measured = tokens / decoding(trunk, cache, logits, tokens)
        each = {arm: run() for arm, run in arms.items()}
        if repetition:
            plain.append(measured)
            for arm, value in each.items():
                taken[arm].append(value)
    rows = [row("decode, plain", "anima", [1000 * one / tokens for one in plain], "ms/token")]
    for name in saes:
        read, steered = taken[name, "reading"], taken[name, "steering"]
        rows.append(row("reading features, share of decode", name, _share(read, plain, plain), "%"))
        rows.append(
            row("steering beside reading, share of decode", name, _share(steered, read, plain), "%")
        )
    return rows


def _share(more: Sequence[float], less: Sequence[float], of: Sequence[float]) -> list[float]:
    return [100 * (a - b) / c for a, b, c in zip(more, less, of, strict=True)]


def _arm(
    trunk: Any, cache: Any, ids: list[int], logits: Any, sae: "Sae", state: Any, tokens: int
) -> Callable[[], float]:
    """Seconds to decode `tokens` with the stream kept, steered where there is a state, and encoded."""
    import torch

    from anima.steering import pushing

    def run() -> float:
        kept: list[torch.Tensor] = []

        def keep(h: torch.Tensor) -> None:
            kept.append(h)

        taps = {sae.layer: (keep, *([] if state is None else [pushing(state)]))}
        cache.crop(len(ids))
        decoded = tokens / decoding(trunk, cache, logits, tokens, lambda: taps)

        def encode() -> None:
            rows = torch.cat([h[0] for h in kept])
            for part in torch.split(rows, _BATCH):
                sae.encode(part)

        return decoded + seconds(encode)

    return run


def _norm(trunk: Any, ids: Sequence[int], layer: int) -> float:
    """The usual length of the stream: of the middle token, the first ones being far longer."""
    import torch

    step = trunk.forward(torch.tensor([list(ids)]), trunk.cache(), reads=(layer,))
    return float(step.reads[layer][0].float().norm(dim=-1).median())


def _state(trunk: Any, sae: "Sae", norm: float) -> Any:
    """A few features clamped, as a mode does."""
    from anima.steering import Push, ready

    chosen = range(0, sae.n_features, max(1, sae.n_features // _PUSHES))
    pushes = [
        Push(operation="clamp", strength=_STRENGTH, feature=f) for f in list(chosen)[:_PUSHES]
    ]
    return ready(pushes, norm=norm, width=trunk.info.width, sae=sae, device=trunk.info.device)
