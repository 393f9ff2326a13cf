"""Where compiled code is kept, and what is said while it is made; knows no model.

numba looks at the one file of a function to tell whether what it kept is still right; the
functions here are spread over two, so both name the folder.
"""

import hashlib
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

_SOURCES = ("fast_vectors.py", "fast_compiled.py")


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
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()[:16]
