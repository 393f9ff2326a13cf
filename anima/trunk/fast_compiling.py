"""How code is compiled, where it is kept, what is said while it is made; knows no model.

numba looks at the one file of a function to tell whether what it kept is still right; the step is
spread over several, so all of them name the folder.
"""

import hashlib
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])

SOURCES = (
    "fast_lanes.py", "fast_vectors.py", "fast_products.py", "fast_counters.py", "fast_work.py",
    "fast_compiled.py",
)  # fmt: skip
"""The files that the compiled step is made of."""


def compiled(function: _Function) -> _Function:
    """A function compiled when it is first called, kept for later, run without Python's lock."""
    from numba import njit

    return cast(_Function, njit(nogil=True, cache=True)(function))


def keep_compiled(cache: Path, say: Callable[[str], None]) -> None:
    """Keep the compiled step under `cache`, and say so where it has to be made first.

    Raises ImportError where numba cannot run.
    """
    import numba

    if numba.config.CACHE_DIR:  # the user has chosen a folder for all of numba's
        return
    shelf = cache / "compiled"
    folder = shelf / _mark()
    if not folder.is_dir():
        say("The model's arithmetic is being compiled for this CPU, once: about ten seconds.")
        shutil.rmtree(shelf, ignore_errors=True)
        folder.mkdir(parents=True)
    numba.config.CACHE_DIR = str(folder)


def _mark() -> str:
    digest = hashlib.sha256(version("numba").encode())
    for name in SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()[:16]
