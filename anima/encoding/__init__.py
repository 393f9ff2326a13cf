"""Texts into vectors whose cosine tells how near they are in meaning; knows no memory and no style.

| name     | what it is                            | hit@1 / 5 / 10     | ms  | fetched     |
|----------|---------------------------------------|--------------------|-----|-------------|
| `minilm` | all-MiniLM-L6-v2 in float32, in numpy | 39.5 / 69.7 / 80.9 | 12  | 84 MB       |
| `bge`    | bge-small-en-v1.5, 8 bits, ONNX       | 29.6 / 57.2 / 64.5 | 6   | 35 + 24 MB  |
| `trunk`  | smollm2's hidden states, whitened     | 20.4 / 37.5 / 48.7 | 30  | nothing     |

Of 152 facts asked about in other words, by vectors alone, among 2,152 lines of chat (95 % interval
about ± 8); milliseconds of one thread a short text. bge adds 91 MB to a process; MiniLM 21 MB, and up
to 87 MB of its file that processes share. bge with the prefix it was trained with for questions:
28.3 / 59.9 / 70.4. States of the trunk that are only centred, averaged over a text, find 18 in the
first ten at best. `anima eval recall` compares the encoders on conversations.
"""

from anima.encoding.encoder import (
    DEFAULT,
    ENCODERS,
    UNRELATED,
    Encoder,
    fetch_encoder,
    open_encoder,
    similarity,
)

__all__ = [
    "DEFAULT",
    "ENCODERS",
    "UNRELATED",
    "Encoder",
    "fetch_encoder",
    "open_encoder",
    "similarity",
]
