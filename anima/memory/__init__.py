"""PMLL: lines in a keyed hash chain, over any of four ledgers; knows no model and no screen."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from anima.memory.api import Hit, Memory, Reply
from anima.memory.book import Draft, Verdict
from anima.memory.chain import Seal
from anima.memory.claims.intervals import Intervals
from anima.memory.crypto import Secret, read_key_file, write_key_file
from anima.memory.line import Content, Header, Line
from anima.memory.racing import Held
from anima.memory.ranking.hybrid import HybridRecall
from anima.memory.ranking.recall import Answer, Encoder, ExactRecall, Found, Question, Recall
from anima.memory.sealing import check, read_seal

if TYPE_CHECKING:
    from anima.memory.asynchronous import AsyncMemory
    from anima.memory.claims.race import Decision, Likelihood, Said

__all__ = [
    "Answer",
    "AsyncMemory",
    "Content",
    "Decision",
    "Draft",
    "Encoder",
    "ExactRecall",
    "Found",
    "Header",
    "Held",
    "Hit",
    "HybridRecall",
    "Intervals",
    "Likelihood",
    "Line",
    "Memory",
    "Question",
    "Recall",
    "Reply",
    "Said",
    "Seal",
    "Secret",
    "Verdict",
    "check",
    "read_key_file",
    "read_seal",
    "write_key_file",
]

_LATE = {
    "AsyncMemory": "asynchronous",
    "Decision": "claims.race",
    "Likelihood": "claims.race",
    "Said": "claims.race",
}
"""What is imported when it is first asked for: event loops and rules take longer than a question."""


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
