"""The reference execution: any transformers causal model behind the trunk interface, by hooks.

It knows layers and tensors, and neither text, tokens' meaning, nor who taps.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from anima.errors import ModelError
from anima.trunk.cache import ReferenceCache, new_cache
from anima.trunk.interface import NO_TAPS, Cache, Step, Tap, Taps, TrunkInfo
from anima.trunk.taps import merged, without, written

ATTENTION = "anima"


def biased_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    anima_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention with this layer's row of `anima_bias` `[L, B, H, q, T]` added.

    Without a bias it is the plain call, so that an idle trace changes not one bit.
    """
    if anima_bias is not None:
        layer: Any = module.layer_idx
        kwargs["position_bias"] = anima_bias[layer].to(query.dtype)
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    return output, None


# Both or neither: without its mask function a registered attention gets no mask at all, and a
# static cache then gives wrong text without an error.
AttentionInterface.register(ATTENTION, biased_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


@dataclass(frozen=True, kw_only=True)
class _Call:
    """What the hooks of one forward need: immutable but for the reads that they fill in."""

    taps: Taps = field(default_factory=dict)
    reads: frozenset[int] = frozenset()
    seen: dict[int, Tensor] = field(default_factory=dict)


_IDLE = _Call()


class ReferenceTrunk:
    """A transformers model, frozen, with one permanent hook per decoder layer.

    The hooks read one immutable state that each forward swaps by a single assignment; idle they
    return nothing, so the model computes what it would without them, bit for bit.
    """

    def __init__(self, model: PreTrainedModel, *, name: str, fingerprint: str) -> None:
        self._model = model.eval().requires_grad_(False)
        self._layers = decoder_layers(model)
        self._norm = final_norm(model)
        self._takes_logits_to_keep = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._call = _IDLE
        self._attached: Taps = NO_TAPS
        self._grad = False
        self._hooks = [
            layer.register_forward_hook(self._hook(index))
            for index, layer in enumerate(self._layers)
        ]
        self._device = _input_device(model)
        self._info = _describe(model, name, fingerprint, len(self._layers))

    @property
    def info(self) -> TrunkInfo:
        return self._info

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model itself; what is done to it here shows everywhere."""
        return self._model

    @property
    def device(self) -> torch.device:
        """Where the embedding runs, and so where ids must be."""
        return self._device

    def cache(self, rows: int = 1, *, padding: Sequence[int] | None = None) -> ReferenceCache:
        """An empty cache of `rows` rows; `padding[r]` positions on the left of row r are ignored."""
        inner = new_cache(self._model.config, differentiable=self._grad)
        void = None if padding is None or not any(padding) else torch.tensor(list(padding))
        return ReferenceCache(inner, rows, None if void is None else void.to(self.device))

    def attach(self, layer: int, tap: Tap) -> Callable[[], None]:
        """Put a tap on a layer for every forward to come; the function returned takes it off."""
        self._check_layer(layer)
        self._attached = merged(self._attached, {layer: (tap,)})

        def detach() -> None:
            self._attached = without(self._attached, layer, tap)

        return detach

    def forward(
        self,
        ids: Tensor,
        cache: Cache,
        *,
        taps: Taps = NO_TAPS,
        bias: Tensor | None = None,
        reads: Sequence[int] = (),
        logits_at: Literal["last", "all"] = "last",
    ) -> Step:
        """Run ids `[B, q]` after what the cache holds; see `Trunk.forward`."""
        for layer in (*taps, *reads):
            self._check_layer(layer)
        call = _Call(taps=merged(self._attached, taps), reads=frozenset(reads))
        arguments = self._arguments(ids, _own(cache), bias)
        if self._takes_logits_to_keep and logits_at == "last":
            arguments["logits_to_keep"] = 1
        self._call = call
        try:
            with torch.set_grad_enabled(self._grad):
                logits = self._model(**arguments).logits
        finally:
            self._call = _IDLE
        return Step(
            logits=(logits if logits_at == "all" else logits[:, -1:]).float(), reads=call.seen
        )

    def lens(self, h: Tensor) -> Tensor:
        """Final norm and head on residual rows `[n, d]` → `[n, V]` in float32 (the logit lens)."""
        if self._norm is None:
            raise ModelError(f"{self._info.model}: its final norm was not found, so no logit lens.")
        head = self._model.get_output_embeddings()
        with torch.set_grad_enabled(self._grad):
            logits: Tensor = head(self._norm(h.to(next(head.parameters()).dtype)))
        return logits.float()

    @contextmanager
    def differentiable(self) -> Iterator["ReferenceTrunk"]:
        """Forwards with gradients to `bias` and taps, over caches made inside; weights stay frozen.

        A model of another dtype is copied to float32 for as long as this lasts.
        """
        if self._info.dtype != "float32":
            copied = type(self._model).from_pretrained(
                None,
                config=self._model.config,
                state_dict=self._model.state_dict(),
                dtype=torch.float32,
            )
            trunk = ReferenceTrunk(
                copied, name=self._info.model, fingerprint=self._info.fingerprint
            )
            with trunk.differentiable():
                yield trunk
            trunk.close()
            return
        self._grad = True
        try:
            yield self
        finally:
            self._grad = False

    def close(self) -> None:
        """Take every hook out of the model."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _hook(self, index: int) -> Callable[..., Any]:
        def on_output(module: nn.Module, inputs: Any, output: Any) -> Any:
            call = self._call
            if index in call.reads:
                call.seen[index] = _residual(output)
            taps = call.taps.get(index)
            if not taps:
                return None
            return _written(output, taps)

        return on_output

    def _arguments(self, ids: Tensor, cache: ReferenceCache, bias: Tensor | None) -> dict[str, Any]:
        held, q = cache.length, ids.shape[1]
        arguments: dict[str, Any] = {
            "input_ids": ids.to(self.device), "past_key_values": cache.inner, "use_cache": True,
        }  # fmt: skip
        if cache.padding is not None:
            positions = torch.arange(held + q, device=self.device)
            void = cache.padding[:, None]
            arguments["attention_mask"] = (positions >= void).long()
            arguments["position_ids"] = (positions[held:] - void).clamp(min=0)
        if bias is not None:
            self._check_bias(bias, held + q)
            arguments["anima_bias"] = bias.to(self.device)
        return arguments

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer < len(self._layers):
            raise ModelError(
                f"Layer {layer} does not exist in {self._info.model}: "
                f"its layers are 0 to {len(self._layers) - 1}."
            )

    def _check_bias(self, bias: Tensor, total: int) -> None:
        if self._model.config.get_text_config()._attn_implementation != ATTENTION:
            raise ModelError(f"{self._info.model}: this architecture takes no attention bias.")
        layers, _, heads, _, keys = bias.shape
        if (layers, heads, keys) != (self._info.layers, self._info.heads, total):
            raise ModelError(
                f"An attention bias of shape {tuple(bias.shape)} does not fit: it must be "
                f"[{self._info.layers}, rows, {self._info.heads}, queries, {total}]."
            )


def decoder_layers(model: PreTrainedModel) -> Sequence[nn.Module]:
    """The decoder layers in order: the first module list as long as the config says it is."""
    expected = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == expected:
            return list(module)
    raise ModelError(
        f"{type(model).__name__}: no list of {expected} decoder layers was found in it."
    )


def final_norm(model: PreTrainedModel) -> nn.Module | None:
    """The norm between the last layer and the head, by the names that the library's models use."""
    for parent in model.modules():
        if not any(isinstance(child, nn.ModuleList) for child in parent.children()):
            continue
        for name in ("norm", "final_layernorm", "final_layer_norm", "ln_f"):
            norm = getattr(parent, name, None)
            if isinstance(norm, nn.Module):
                return norm
    return None


def _own(cache: Cache) -> ReferenceCache:
    if not isinstance(cache, ReferenceCache):
        raise ModelError(f"A {type(cache).__name__} is not a cache of this execution's.")
    return cache


def _input_device(model: PreTrainedModel) -> torch.device:
    embedding = model.get_input_embeddings()
    # A weight that accelerate keeps elsewhere says where it is kept, not where it is used.
    hook = getattr(embedding, "_hf_hook", None)
    place = getattr(hook, "execution_device", None)
    return torch.device(next(embedding.parameters()).device if place is None else place)


def _residual(output: Any) -> Tensor:
    # Most decoder layers return the bare tensor, whose [0] would be batch row 0.
    h: Tensor = output[0] if isinstance(output, tuple) else output
    return h


def _written(output: Any, taps: Sequence[Tap]) -> Any:
    """The layer's output with what its taps write, or None where none of them does."""
    moved = written(_residual(output), taps)
    if moved is None:
        return None
    return (moved, *output[1:]) if isinstance(output, tuple) else moved


def _describe(model: PreTrainedModel, name: str, fingerprint: str, layers: int) -> TrunkInfo:
    config = model.config.get_text_config()
    native: Mapping[str, Any] = config.to_dict()
    heads = native.get("num_attention_heads") or 1
    return TrunkInfo(
        model=name,
        fingerprint=fingerprint,
        engine="reference",
        device=str(_input_device(model)),
        dtype=str(model.dtype).removeprefix("torch."),
        layers=layers,
        width=config.hidden_size,
        heads=heads,
        key_value_heads=native.get("num_key_value_heads") or heads,
        vocabulary=config.vocab_size,
        window=native.get("max_position_embeddings") or 2048,
    )
