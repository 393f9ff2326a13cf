"""Trains a sparse autoencoder on stored activations with sae-lens's trainer, resumably.

Knows rows, a recipe and a folder; where the rows come from it does not know.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from anima.errors import UsageError
from anima.features.activations import Rows
from anima.features.lens import (
    BatchTopKTrainingSAEConfig,
    SAEMetadata,
    SAETrainer,
    SAETrainerConfig,
)
from anima.features.sparse_step import SparseBatchTopK
from anima.home import make_folder, write_atomically

_WEIGHTS, _STATE = "checkpoint.safetensors", "checkpoint.json"
_REMEDY = "Choose another place with --work."


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a training: `k` features active on average, `samples` rows seen in all.

    `dead_after` is the number of samples without firing after which a feature counts as dead and
    gets the auxiliary loss.
    """

    features: int = 8_192
    k: float = 60.0
    samples: int = 4_000_000
    batch: int = 2_048
    rate: float = 8e-4
    warm_up: float = 0.03
    decay: float = 0.25
    dead_after: int = 200_000
    auxiliary_rows: int = 512
    half: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.k < self.features:
            raise UsageError(f"k {self.k:g} must lie between 0 and the {self.features} features.")
        if self.samples < self.batch:
            raise UsageError(f"{self.samples} samples do not fill one batch of {self.batch}.")

    @property
    def steps(self) -> int:
        return self.samples // self.batch

    def rate_at(self, step: int, spent: float = 0.0) -> float:
        """Linear warm-up, constant, then linear to zero over the last `decay` of the steps.

        Where a larger share of the time is `spent` than of the steps made, the fall follows that.
        """
        up = min(1.0, (step + 1) / max(1.0, self.warm_up * self.steps))
        left = 1 - max(step / self.steps, min(1.0, spent))
        down = min(1.0, max(left, 1 / self.steps) / max(1 / self.steps, self.decay))
        return self.rate * up * down


@dataclass(frozen=True, kw_only=True)
class Told:
    """One report of a training: the loss as a share of the rows' variance (FVU of the batch)."""

    step: int
    steps: int
    fvu: float
    dead: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """An SAE in the residual stream's own scale, and after how many steps."""

    sae: SparseBatchTopK
    steps: int


def train(
    rows: Rows,
    recipe: Recipe,
    folder: Path,
    *,
    model: str,
    layer: int,
    report: Callable[[Told], None] = lambda told: None,
    spent: Callable[[], float] = lambda: 0.0,
    keep_every: int = 500,
) -> Trained:
    """Train by the recipe, with a checkpoint in `folder` every `keep_every` steps and at the end.

    A checkpoint of the same recipe and rows is taken up; the result is then the same as in one go.
    `spent` says which share of the time is gone; at 1 it ends, with what it has.
    """
    torch.manual_seed(recipe.seed)
    sae = _fresh(rows, recipe, model, layer)
    trainer: SAETrainer[Any, Any] = SAETrainer(
        cfg=SAETrainerConfig(
            total_training_samples=recipe.samples, train_batch_size_samples=recipe.batch,
            lr=recipe.rate, lr_end=recipe.rate, dead_feature_window=max(1, recipe.dead_after // recipe.batch),
            feature_sampling_window=10**9, adam_beta1=0.9, adam_beta2=0.999,
        ),
        sae=sae,
        data_provider=iter(()),
    )  # fmt: skip
    make_folder(folder)
    mark = _mark(rows, recipe, model, layer)
    start = _take_up(trainer, folder, mark)
    variance = _variance(rows, recipe)
    for step in range(start, recipe.steps):
        for group in trainer.optimizer.param_groups:
            group["lr"] = recipe.rate_at(step, spent())
        output = trainer.step(rows.batch(step, size=recipe.batch, seed=recipe.seed))
        trainer.n_training_steps += 1
        if (step + 1) % 20 == 0 or step + 1 == recipe.steps:
            fvu = float(output.losses["mse_loss"]) / variance
            dead = int(trainer.dead_neurons.sum())
            report(Told(step=step + 1, steps=recipe.steps, fvu=fvu, dead=dead))
        if spent() >= 1:
            break
        if (step + 1) % keep_every == 0:
            _keep(trainer, folder, mark)
    if trainer.n_training_steps > start:
        _keep(trainer, folder, mark)
    trainer.set_final_sae_metadata()
    sae.fold_activation_norm_scaling_factor(rows.scale)
    return Trained(sae=sae, steps=trainer.n_training_steps)


def _fresh(rows: Rows, recipe: Recipe, model: str, layer: int) -> SparseBatchTopK:
    width = rows.h.shape[1]
    config = BatchTopKTrainingSAEConfig(
        d_in=width, d_sae=recipe.features, k=recipe.k, device="cpu", dtype="float32",
        apply_b_dec_to_input=True, normalize_activations="none",
        metadata=SAEMetadata(
            model_name=model, hook_name=f"blocks.{layer}.hook_resid_post",
            hf_hook_name=f"model.layers.{layer}", prepend_bos=False,
        ),
    )  # fmt: skip
    sae = SparseBatchTopK(config)
    sae.half, sae.auxiliary_rows = recipe.half, recipe.auxiliary_rows
    # Half of a residual stream's energy is its mean: without this the features would learn it.
    sae.b_dec.data = rows.mean * rows.scale
    return sae


def _variance(rows: Rows, recipe: Recipe) -> float:
    sample = rows.batch(0, size=min(len(rows.h), 8 * recipe.batch), seed=recipe.seed)
    return float((sample - sample.mean(0)).pow(2).sum(-1).mean())


def _mark(rows: Rows, recipe: Recipe, model: str, layer: int) -> dict[str, Any]:
    return {"recipe": asdict(recipe), "rows": len(rows.h), "model": model, "layer": layer}


def _keep(trainer: SAETrainer[Any, Any], folder: Path, mark: dict[str, Any]) -> None:
    tensors = {f"sae.{name}": value for name, value in trainer.sae.state_dict().items()}
    for number, parameter in enumerate(trainer.sae.parameters()):
        for name, value in trainer.optimizer.state[parameter].items():
            tensors[f"adam.{number}.{name}"] = value
    tensors["fired"] = trainer.n_forward_passes_since_fired
    tensors["counted"] = trainer.act_freq_scores
    state = {**mark, "steps": trainer.n_training_steps, "seen": trainer.n_frac_active_samples}
    content = save({name: value.contiguous() for name, value in tensors.items()},
                   metadata={"state": json.dumps(state)})  # fmt: skip
    write_atomically(folder / _WEIGHTS, content, remedy=_REMEDY)


def _take_up(trainer: SAETrainer[Any, Any], folder: Path, mark: dict[str, Any]) -> int:
    """Put a checkpoint's state into the trainer; how many steps it had made, 0 without one."""
    path = folder / _WEIGHTS
    if not path.is_file():
        return 0
    state = _state(path)
    if {name: state[name] for name in mark} != mark:
        raise UsageError(
            f"{path} is a checkpoint of another training ({state}). Delete it, or choose another "
            "folder with --work."
        )
    tensors = load_file(path)
    trainer.sae.load_state_dict(
        {name[4:]: value for name, value in tensors.items() if name.startswith("sae.")}
    )
    for number, parameter in enumerate(trainer.sae.parameters()):
        start = f"adam.{number}."
        trainer.optimizer.state[parameter] = {
            name.removeprefix(start): value
            for name, value in tensors.items()
            if name.startswith(start)
        }
    trainer.n_forward_passes_since_fired = tensors["fired"]
    trainer.act_freq_scores = tensors["counted"]
    trainer.n_frac_active_samples = state["seen"]
    trainer.n_training_steps = state["steps"]
    trainer.n_training_samples = state["steps"] * mark["recipe"]["batch"]
    return int(state["steps"])


def _state(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        state: dict[str, Any] = json.loads(file.metadata()["state"])
        return state


def threshold_for(activations: Tensor, l0: float) -> float:
    """The JumpReLU threshold at which rows `[n, F]` have `l0` active features on average."""
    count = min(int(l0 * len(activations)), activations.numel())
    return float(activations.flatten().topk(count).values[-1])
