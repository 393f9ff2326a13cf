"""Says, before any weight is read, in which execution a model would run and why; runs nothing."""

from pathlib import Path

from anima.errors import ModelError
from anima.trunk import loader, packed
from anima.trunk.fast_loading import config_of, obstacle, own_form
from anima.trunk.fast_shape import Shape, shape_of
from anima.trunk.packed import GROUP
from anima.trunk.static_loading import device_obstacle


def foreseen(folder: Path, *, device: str, dtype: str, engine: str, quantize: str) -> str:
    """One sentence for a model's folder under these settings, `device` being a real one."""
    if engine == "reference":
        return "reference execution, as set"
    config = config_of(folder)
    kind = _kind(folder, device, dtype)
    if device == "cpu":
        hindrance = obstacle(config, device=device, dtype=kind)
    else:
        bits = 8 * loader.DTYPES[kind].itemsize
        hindrance = device_obstacle(config, bits=bits, free=loader.free_memory(device))
    if hindrance is not None:
        verdict = "refused under --engine fast" if engine == "fast" else "reference execution"
        return f"{verdict}: {hindrance.rstrip('.')}"
    if device != "cpu":
        return f"fast execution, whole on {device} in {kind}"
    return f"fast execution, {_weights(quantize, shape_of(config), folder)}"


def _kind(folder: Path, device: str, dtype: str) -> str:
    """The number type that the loader would choose."""
    if dtype != "auto":
        return dtype
    if device == "cpu" and packed.is_converted(folder):
        return "float32"
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    chosen = loader.choose_dtype(dtype, device, size // 2, loader.free_memory(device))
    return str(chosen).removeprefix("torch.")


def _weights(quantize: str, shape: Shape, folder: Path) -> str:
    """In which form the CPU multiplies the weights, and why where that is not the one asked for."""
    if quantize == "none":
        return "weights unpacked in float32, as set"
    if quantize == "auto" and not packed.is_converted(folder):
        return "weights in float32, as the folder has no packed ones"
    if shape.width % GROUP or shape.inner % GROUP:
        return (
            f"weights unpacked in float32, as widths {shape.width} and {shape.inner} do not "
            f"divide into groups of {GROUP}"
        )
    try:
        compilable()
    except ModelError as error:
        return f"weights unpacked in float32, as {error}"
    if quantize != "auto":
        return f"weights in {quantize}, as set"
    own = own_form(packed.read_packed(folder))
    reason = "as the file has them" if own == "int4" else "as not all of the file's have 4 bits"
    return f"weights in {own}, {reason}"


def compilable() -> None:
    """Whether the packed products can be compiled here; raises ModelError with the reason."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        raise ModelError(f"nothing can be compiled here ({error})") from error
