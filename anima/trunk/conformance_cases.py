"""The trunks that a conformance run looks at on a device: a random Llama, and the user's model.

It knows how they are made, and nothing of what is checked on them.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from anima.errors import ModelError
from anima.home import Home
from anima.trunk import loader, store
from anima.trunk.conformance import EXACT, Case, tolerance_of
from anima.trunk.fast import FastTrunk
from anima.trunk.fast_loading import config_of, fast_info
from anima.trunk.fast_shape import shape_of
from anima.trunk.fast_weights import arrange
from anima.trunk.interface import Trunk
from anima.trunk.static import StaticTrunk
from anima.trunk.static_loading import parameters
from anima.trunk.static_weights import placed

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

_TEXT = (
    "A river begins as rain on a hillside. The water gathers in small streams, finds the lowest "
    "path, and carries stones and soil with it."
)
_TOKENS = 12
_COPIES = 3
"""Times its weights in float32 that must find room: itself, the reference, and as it is set."""


def random_cases(device: str) -> Iterator[tuple[str, Case]]:
    """A tiny random Llama in float32 in each execution of this device, by name."""
    from anima.trunk.reference import ReferenceTrunk

    place = torch.device(device)

    def reference() -> ReferenceTrunk:
        return ReferenceTrunk(_random_llama().to(place), name="random", fingerprint="random")

    ids = torch.randint(3, 256, (1, _TOKENS), generator=torch.Generator().manual_seed(0))
    fast = "fast" if device == "cpu" else "fast, on the device"
    for name, trunk in (("reference", reference()), (fast, _fast(place))):
        yield f"random Llama, {name}", Case(trunk=trunk, ids=ids, against=reference())


def own_cases(
    home: Home, name: str, *, device: str, dtype: str, engine: str, quantize: str
) -> Iterator[tuple[str, Case]]:
    """The user's model under these settings; then in float32 beside the reference, where it fits.

    Raises ModelError and UsageError as `loader.load` does.
    """
    from anima.trunk.reference import ReferenceTrunk

    found = loader.load(name, home, device=device, dtype=dtype, engine=engine, quantize=quantize)
    trunk, ids = found.trunk, torch.tensor([found.tokenizer.encode(_TEXT)[:_TOKENS]])
    info, tolerance = trunk.info, tolerance_of(trunk)
    form = info.dtype if info.quantize == "none" else info.quantize
    case = Case(trunk=trunk, ids=ids, tolerance=tolerance)
    label = f"{name}, {info.engine}, {form}"
    if isinstance(trunk, ReferenceTrunk):
        yield label, replace(case, against=trunk if tolerance == EXACT else None)
        return
    if not _fits(home, name, device):
        yield label, case
        return
    against = loader.load(name, home, device=device, dtype="float32", engine="reference").trunk
    assert isinstance(against, ReferenceTrunk)
    if tolerance == EXACT:
        yield label, replace(case, against=against)
        return
    yield label, case
    same = loader.load(name, home, device=device, dtype="float32", quantize="none").trunk
    yield f"{name}, {same.info.engine}, float32", Case(trunk=same, ids=ids, against=against)


def _fits(home: Home, name: str, device: str) -> bool:
    """Whether the device has room for the model in float32 as often as it takes."""
    config = config_of(store.path(home, name))
    tied = bool(config.get("tie_word_embeddings", False))
    needed = _COPIES * 4 * parameters(shape_of(config), tied=tied)
    return needed <= loader.free_memory(device)


def _random_llama() -> "LlamaForCausalLM":
    from transformers import LlamaConfig, LlamaForCausalLM

    from anima.trunk.reference import ATTENTION

    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=256, max_position_embeddings=1024, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
        initializer_range=0.3,  # the usual 0.02 leaves attention almost without effect
        attn_implementation=ATTENTION,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


def _fast(place: torch.device) -> Trunk:
    """The same random model in the fast execution of the device."""
    model = _random_llama()
    shape = shape_of({**model.config.to_dict(), "architectures": ["LlamaForCausalLM"]})
    info = replace(
        fast_info(shape, name="random", fingerprint="random", quantize="none"), device=str(place)
    )

    def reference() -> Trunk:
        raise ModelError("A random model is not differentiated: load one by its name.")

    if place.type == "cpu":
        weights = arrange(model.state_dict(), shape, "none")
        return FastTrunk(weights, shape, info, reference=reference)
    dense = placed(model.state_dict(), shape, place, torch.float32)
    return StaticTrunk(dense, shape, info, reference=reference)
