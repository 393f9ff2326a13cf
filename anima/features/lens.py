"""The one door to sae-lens: it takes seconds to import and warns of others' business.

Nothing that the chat imports at its start may import this module.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sae_lens.config import SAETrainerConfig
    from sae_lens.registry import get_sae_class
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.sae import SAE, SAEMetadata, TrainStepInput, TrainStepOutput
    from sae_lens.training.sae_trainer import SAETrainer

__all__ = [
    "SAE",
    "BatchTopKTrainingSAE",
    "BatchTopKTrainingSAEConfig",
    "SAEMetadata",
    "SAETrainer",
    "SAETrainerConfig",
    "TrainStepInput",
    "TrainStepOutput",
    "get_sae_class",
]
