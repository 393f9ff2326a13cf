"""SAEs whose features are known exactly: orthonormal directions, each read as what it adds."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from anima.features.sae import CONFIG, WEIGHTS, Architecture, Sae


def directions(features: int, width: int, *, seed: int = 0) -> Tensor:
    """Orthonormal rows `[features, width]`; at most `width` of them can be."""
    assert features <= width
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(square).Q[:features].float()


def planted(
    architecture: Architecture = "jumprelu",
    *,
    features: int = 8,
    width: int = 32,
    layer: int = 1,
    model: str = "tiny",
    name: str = "planted",
    threshold: float = 0.5,
    seed: int = 0,
    **changes: Any,
) -> Sae:
    """Feature f's activation is h's component along row f: exactly, above the threshold.

    So `decode(encode(h))` is h's projection on the rows whose components exceed it.
    """
    rows = directions(features, width, seed=seed)
    zero = torch.zeros(features)
    biases = {
        "standard": {"b_enc": zero},
        "topk": {"b_enc": zero},
        "jumprelu": {"b_enc": zero, "threshold": torch.full((features,), threshold)},
        "gated": {
            "b_gate": torch.full((features,), -threshold), "b_mag": zero, "r_mag": zero,
        },
    }  # fmt: skip
    return Sae(**{
        "name": name, "architecture": architecture, "model": model, "layer": layer,
        "encoder": rows.T, "decoder": rows, "decoder_bias": torch.zeros(width),
        "biases": biases[architecture], "k": min(4, features), **changes,
    })  # fmt: skip


def save(folder: Path, sae: Sae) -> Path:
    """Write an SAE as sae-lens would: cfg.json and sae_weights.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": sae.architecture, "d_in": sae.width, "d_sae": sae.n_features,
        "dtype": "float32", "apply_b_dec_to_input": sae.subtract_decoder_bias,
        "normalize_activations": sae.normalisation,
        "rescale_acts_by_decoder_norm": sae.rescale_by_decoder_norm,
        "metadata": {
            "model_name": sae.model, "hook_name": f"blocks.{sae.layer}.hook_resid_post",
            "anima_name": sae.name, "l0": sae.l0, "sae_lens_version": "6.54.12",
        },
    }  # fmt: skip
    if sae.architecture == "topk":
        config["k"] = sae.k
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    tensors = {"W_enc": sae.encoder, "W_dec": sae.decoder, "b_dec": sae.decoder_bias, **sae.biases}
    save_file({key: one.contiguous().clone() for key, one in tensors.items()}, folder / WEIGHTS)
    return folder
