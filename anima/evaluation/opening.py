"""Opens the model that an evaluation asked for; knows nothing of what is done with it."""

from typing import TYPE_CHECKING

from anima.evaluation.harness import Request

if TYPE_CHECKING:
    from anima.trunk.loader import Loaded


def open_model(request: Request) -> "Loaded":
    """The model in force, on as many threads as were asked for; raises UsageError, ModelError."""
    from anima.runtime.opening import use_threads
    from anima.trunk import loader

    settings = request.settings
    use_threads(settings.threads)
    return loader.load(
        settings.model, request.home, device=settings.device, dtype=settings.dtype,
        engine=settings.engine, quantize=settings.quantize, say=request.say,
    )  # fmt: skip
