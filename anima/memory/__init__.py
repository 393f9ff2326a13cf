"""PMLL: lines in a keyed hash chain, over any of four ledgers; knows no model and no screen."""

from anima.memory.api import Hit, Memory
from anima.memory.asynchronous import AsyncMemory
from anima.memory.book import Draft, Verdict
from anima.memory.chain import Seal
from anima.memory.crypto import Secret, read_key_file, write_key_file
from anima.memory.line import Content, Header, Line
from anima.memory.recall import Encoder, ExactRecall, Found, Question, Recall
from anima.memory.sealing import check, read_seal

__all__ = [
    "AsyncMemory",
    "Content",
    "Draft",
    "Encoder",
    "ExactRecall",
    "Found",
    "Header",
    "Hit",
    "Line",
    "Memory",
    "Question",
    "Recall",
    "Seal",
    "Secret",
    "Verdict",
    "check",
    "read_key_file",
    "read_seal",
    "write_key_file",
]
