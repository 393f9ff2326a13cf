"""A sparse autoencoder as it is read: encode, decode, directions; knows tensors and files only.

It reads sae-lens's folder format (cfg.json and sae_weights.safetensors) without importing
sae-lens; that its numbers are sae-lens's own is a test. h is the residual stream leaving a layer,
d its width, F the number of features.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import linear

from anima.errors import FeatureError

Architecture = Literal["standard", "gated", "jumprelu", "topk"]
Normalisation = Literal["none", "constant_norm_rescale", "layer_norm"]

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_LAYER = re.compile(r"(?:blocks|layers|h)\.(\d+)(?:\.hook_resid_post)?$")
# Folded into the weights, or made for an average: at run time there is nothing to do.
_FOLDED = ("none", "expected_average_only_in", None)
_BIASES: Mapping[str, tuple[str, ...]] = {
    "standard": ("b_enc",),
    "gated": ("b_gate", "b_mag", "r_mag"),
    "jumprelu": ("b_enc", "threshold"),
    "topk": ("b_enc",),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Sae:
    """The weights of one SAE and the rules of its format.

    `biases` `[F]` each, by sae-lens's names; `k` of a topk SAE; `l0` as its release states it.
    `typical_norm` is the mean ‖h‖, which a format that normalises each input needs to say what a
    unit of activation adds.
    """

    name: str
    architecture: Architecture
    model: str
    layer: int
    encoder: Tensor
    decoder: Tensor
    decoder_bias: Tensor
    biases: Mapping[str, Tensor]
    k: int = 0
    subtract_decoder_bias: bool = True
    rescale_by_decoder_norm: bool = False
    normalisation: Normalisation = "none"
    typical_norm: float | None = None
    l0: float | None = None
    decoder_norms: Tensor = field(init=False)

    def __post_init__(self) -> None:
        width, features = self.encoder.shape
        if self.decoder.shape != (features, width) or self.decoder_bias.shape != (width,):
            raise FeatureError(
                f"{self.name}: W_enc {tuple(self.encoder.shape)}, W_dec "
                f"{tuple(self.decoder.shape)} and b_dec {tuple(self.decoder_bias.shape)} do not "
                "belong together: its files are of different SAEs."
            )
        for name, tensor in self._named():
            if not torch.isfinite(tensor).all():
                raise FeatureError(
                    f"{self.name}: {name} holds values that are not finite, so nothing it reads "
                    "would mean anything. Fetch or train it again."
                )
        # One feature's encoder is then one contiguous row: few features cost a few rows.
        object.__setattr__(self, "encoder", self.encoder.T.contiguous().T)
        object.__setattr__(self, "decoder_norms", self.decoder.norm(dim=-1))

    def _named(self) -> list[tuple[str, Tensor]]:
        own = [("W_enc", self.encoder), ("W_dec", self.decoder), ("b_dec", self.decoder_bias)]
        return own + list(self.biases.items())

    @property
    def n_features(self) -> int:
        """F."""
        return self.encoder.shape[1]

    @property
    def width(self) -> int:
        """d."""
        return self.encoder.shape[0]

    @property
    def device(self) -> torch.device:
        return self.encoder.device

    def to(self, device: torch.device | str) -> "Sae":
        """This SAE on another device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> "Sae":
        return replace(
            self,
            encoder=change(self.encoder),
            decoder=change(self.decoder),
            decoder_bias=change(self.decoder_bias),
            biases={name: change(bias) for name, bias in self.biases.items()},
        )

    def encode(self, h: Tensor) -> Tensor:
        """Activations `[..., F]` in float32 of h `[..., d]`, exactly as the format says."""
        x = self._input(h)
        pre = linear(x, self.encoder.T)
        if self.architecture == "topk":
            return self._top(pre + self.biases["b_enc"])
        return self._activated(pre, self.biases)

    def encode_only(self, h: Tensor, features: Tensor) -> Tensor:
        """The same for the features `[k]` alone: `[..., d]` → `[..., k]` at the cost of k rows.

        A topk SAE has to be encoded whole to know one feature.
        """
        if self.architecture == "topk":
            return self.encode(h)[..., features]
        pre = linear(self._input(h), self.encoder.T[features])
        return self._activated(pre, {name: bias[features] for name, bias in self.biases.items()})

    def decode(self, a: Tensor) -> Tensor:
        """The reconstruction `[..., d]` of activations `[..., F]`.

        Formats that normalise each input put it back at `typical_norm`; `reconstruct` at its own.
        """
        return self._decoded(a) * self._unit()

    def reconstruct(self, h: Tensor) -> Tensor:
        """h as the SAE sees it, `[..., d]` in float32, each row at its own scale and mean."""
        return self.restored(self.encode(h), h)

    def restored(self, a: Tensor, h: Tensor) -> Tensor:
        """The reconstruction of activations `[..., F]` at the scale and mean of h `[..., d]`."""
        out = self._decoded(a)
        if self.normalisation == "none":
            return out
        return out * self._scale(h.float()) + self._shift(h.float())

    def directions(self, features: Tensor) -> Tensor:
        """What one unit of activation of features `[k]` adds to h: `[k, d]` in h's own scale."""
        rows = self.decoder[features]
        if self.rescale_by_decoder_norm:
            rows = rows / self.decoder_norms[features, None]
        return rows * self._unit()

    def _decoded(self, a: Tensor) -> Tensor:
        if self.rescale_by_decoder_norm:
            a = a / self.decoder_norms
        return a.to(self.decoder.dtype) @ self.decoder + self.decoder_bias

    def _unit(self) -> float:
        """The scale of the decoder in the residual stream, at the typical norm."""
        if self.normalisation == "none" or self.typical_norm is None:
            return 1.0
        return float(self.typical_norm / self.width**0.5)

    def _input(self, h: Tensor) -> Tensor:
        x = h.to(self.encoder.dtype)
        if self.normalisation != "none":
            x = (x - self._shift(x)) / self._divisor(x)
        return x - self.decoder_bias if self.subtract_decoder_bias else x

    def _shift(self, x: Tensor) -> Tensor:
        if self.normalisation == "layer_norm":
            return x.mean(dim=-1, keepdim=True)
        return x.new_zeros(())

    def _divisor(self, x: Tensor) -> Tensor:
        # sae-lens guards the standard deviation going in, and not coming out.
        guard = 1e-5 if self.normalisation == "layer_norm" else 0.0
        return self._scale(x) + guard

    def _scale(self, x: Tensor) -> Tensor:
        if self.normalisation == "constant_norm_rescale":
            norms: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
            return norms / float(self.width**0.5)
        if self.normalisation == "layer_norm":
            spread: Tensor = (x - x.mean(dim=-1, keepdim=True)).std(dim=-1, keepdim=True)
            return spread
        return x.new_ones(())

    def _activated(self, pre: Tensor, biases: Mapping[str, Tensor]) -> Tensor:
        if self.architecture == "gated":
            magnitude = (pre * biases["r_mag"].exp() + biases["b_mag"]).relu()
            return (magnitude * (pre + biases["b_gate"] > 0)).float()
        pre = pre + biases["b_enc"]
        if self.architecture == "jumprelu":
            return (pre.relu() * (pre > biases["threshold"])).float()
        return pre.relu().float()

    def _top(self, pre: Tensor) -> Tensor:
        if self.rescale_by_decoder_norm:
            pre = pre * self.decoder_norms
        best = pre.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(pre).scatter(-1, best.indices, best.values.relu()).float()


def load_folder(path: Path, *, device: torch.device | str = "cpu") -> Sae:
    """Open sae-lens's folder format in float32; raises FeatureError naming what is wrong.

    Architectures standard, gated, jumprelu and topk, with the input rules `none`,
    `expected_average_only_in`, `constant_norm_rescale` and `layer_norm`.
    """
    config = _config(path / CONFIG)
    weights = _weights(path / WEIGHTS)
    architecture = _architecture(config, path)
    metadata = {**config, **(config.get("metadata") or {})}
    layer = _layer(metadata, path)
    needed = ("W_enc", "W_dec", "b_dec", *_BIASES[architecture])
    missing = [name for name in needed if name not in weights]
    if missing:
        raise FeatureError(f"{path / WEIGHTS} lacks {', '.join(missing)} of a {architecture} SAE.")
    model = str(metadata.get("model_name") or "")
    features = weights["W_enc"].shape[-1]
    return Sae(
        name=str(metadata.get("anima_name") or f"{model or path.name}-l{layer}-{features}"),
        architecture=architecture,
        model=model,
        layer=layer,
        encoder=weights["W_enc"].to(device),
        decoder=weights["W_dec"].to(device),
        decoder_bias=weights["b_dec"].to(device),
        biases={name: weights[name].to(device) for name in _BIASES[architecture]},
        k=_k(config, path) if architecture == "topk" else 0,
        subtract_decoder_bias=bool(config.get("apply_b_dec_to_input", True)),
        rescale_by_decoder_norm=bool(config.get("rescale_acts_by_decoder_norm", False)),
        normalisation=_normalisation(config, path),
        l0=_number(metadata.get("l0")),
    )


def _config(path: Path) -> Mapping[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FeatureError(
            f"{path} cannot be read as the description of an SAE: {error}. Give a folder saved by "
            "sae-lens, with cfg.json and sae_weights.safetensors."
        ) from error
    if not isinstance(read, dict):
        raise FeatureError(f"{path} does not describe an SAE: it is no table of settings.")
    return read


def _weights(path: Path) -> Mapping[str, Tensor]:
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise FeatureError(f"{path} cannot be read as the weights of an SAE: {error}.") from error


def _architecture(config: Mapping[str, Any], path: Path) -> Architecture:
    # Before its version 6 sae-lens wrote a topk SAE as a standard one with another activation.
    before = config.get("activation_fn") or config.get("activation_fn_str")
    named = "topk" if before == "topk" else config.get("architecture", "standard")
    for known in get_args(Architecture):
        if named == known:
            return known  # type: ignore[no-any-return]
    raise FeatureError(
        f"{path / CONFIG}: an SAE of architecture {named!r} cannot be read here; those that can "
        f"are {', '.join(get_args(Architecture))}."
    )


def _normalisation(config: Mapping[str, Any], path: Path) -> Normalisation:
    named = config.get("normalize_activations")
    if named in _FOLDED:
        return "none"
    for known in get_args(Normalisation):
        if named == known:
            return known  # type: ignore[no-any-return]
    raise FeatureError(f"{path / CONFIG}: the input rule {named!r} is not known.")


def _k(config: Mapping[str, Any], path: Path) -> int:
    k = config.get("k") or (config.get("activation_fn_kwargs") or {}).get("k")
    if not isinstance(k, int) or k < 1:
        raise FeatureError(f"{path / CONFIG}: a topk SAE says how many features it keeps, k.")
    return k


def _layer(metadata: Mapping[str, Any], path: Path) -> int:
    for name in ("hf_hook_name", "hook_name", "hook_point"):
        found = _LAYER.search(str(metadata.get(name) or ""))
        if found:
            return int(found.group(1))
    raise FeatureError(
        f"{path / CONFIG} names no layer whose residual stream the SAE reads (hook_name "
        f"{metadata.get('hook_name')!r}): only such SAEs can steer."
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def check_fits(sae: Sae, *, model: str, width: int, layers: int) -> None:
    """Raise FeatureError where an SAE cannot belong to a model of this width and depth."""
    if sae.width != width:
        raise FeatureError(
            f"The SAE {sae.name} reads a stream of width {sae.width}, and {model} has {width}: it "
            f"was trained for {sae.model or 'another model'}."
        )
    if not 0 <= sae.layer < layers:
        raise FeatureError(
            f"The SAE {sae.name} reads layer {sae.layer}, and {model} has layers 0 to {layers - 1}."
        )
