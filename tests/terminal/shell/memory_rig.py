"""What the tests of `anima memory` share: lines in, lines out, and a ledger that is changed."""

import contextlib
import json
import sqlite3
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anima.home import Home

from .conftest import Anima


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let what `anima` reads from stdin be this."""

    class Piped:
        buffer = BytesIO(content)

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", Piped())


def rows(path: Path, *lines: object) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def folder(home: Home) -> Path:
    return home.persona("default")


def texts(anima: Anima, *flags: str) -> list[str]:
    """What the memory holds, the oldest first."""
    code, out, err = anima("memory", "list", "-n", "10000", "--json", *flags)
    assert code == 0, err
    return [line["text"] for line in json.loads(out)][::-1]


def tampered(home: Home, statement: str) -> None:
    """Change the ledger behind its back."""
    with contextlib.closing(sqlite3.connect(folder(home) / "memory.sqlite")) as ledger:
        ledger.execute(statement)
        ledger.commit()


class Letters:
    """How often each letter is in a text."""

    width = 26

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        counts = [[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]
        vectors = np.array(counts, np.float32).reshape(-1, 26)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
