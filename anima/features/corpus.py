"""Conversations to train and test features on, read, split and tokenised; knows no model's weights.

A conversation is a list of turns, the person's first. Whether one is held out is decided by a hash
of its own text, so that the split is the same for every run, order and amount.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anima.context import ChatFormat, Context, Encoder, Segment, Tokens
from anima.errors import UsageError

Part = Literal["held", "train"]
CONTENT = frozenset({"user", "assistant"})
"""The roles whose tokens features are trained, measured and read on."""
_HELD_SHARE = 20  # one conversation in so many is held out


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Turns in order, the person's first; `key` is a hash of them."""

    turns: tuple[str, ...]
    key: str

    @classmethod
    def of(cls, turns: Sequence[str]) -> "Conversation":
        digest = hashlib.sha256("\0".join(turns).encode()).hexdigest()
        return cls(turns=tuple(turns), key=digest)

    @property
    def part(self) -> Part:
        return "held" if int(self.key[:8], 16) % _HELD_SHARE == 0 else "train"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Conversations in the order of their keys, and where they came from with its sha256."""

    conversations: tuple[Conversation, ...]
    source: str
    sha256: str

    def of(self, part: Part) -> Iterator[Conversation]:
        return (one for one in self.conversations if one.part == part)


def chitchat() -> Corpus:
    """The BYU Chit Chat Challenge dataset, from the PyPI package `chitchat_dataset`.

    7,168 conversations between people; those with an answer, without doubles, are kept. Raises
    UsageError where the package is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    spec = find_spec("chitchat_dataset")
    try:
        release = version("chitchat_dataset")
    except PackageNotFoundError as error:
        raise UsageError(
            "The training conversations come from the package chitchat_dataset, which is not "
            "installed: `pip install chitchat_dataset`, or give texts of your own with --text."
        ) from error
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "dataset.json"
    content = path.read_bytes()
    turns = (
        [" ".join(part["text"] for part in message) for message in one["messages"]]
        for one in json.loads(content).values()
    )
    return _corpus(turns, f"chitchat_dataset {release}", content)


def read_text(path: Path) -> Corpus:
    """Conversations from a file of one's own; raises UsageError for one that holds none.

    `.jsonl`: one conversation a line, a list of strings or `{"turns": [...]}`. Any other file:
    paragraphs separated by empty lines, two of them making a question and an answer.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}.") from error
    turns = _json_lines(text, path) if path.suffix == ".jsonl" else _paragraphs(text)
    corpus = _corpus(turns, path.name, content)
    if not corpus.conversations:
        raise UsageError(f"{path} holds no conversation of at least two turns.")
    return corpus


def rendered(
    conversation: Conversation,
    encoder: Encoder,
    format: ChatFormat,
    prefix: Sequence[Segment],
    *,
    limit: int,
) -> Iterator[Tokens]:
    """The conversation as the chat would send it, in pieces of at most `limit` tokens.

    Every piece begins with the prefix; an exchange that alone is longer is cut at the limit.
    """
    start = Context.begin(encoder, format, prefix)
    context = start
    for asked, reply in _exchanges(conversation.turns):
        longer = context.ask([Segment(role="user", text=asked)]).reply(encoder.encode(reply))
        if context.exchanges and len(longer) > limit:
            yield context.tokens()
            longer = start.ask([Segment(role="user", text=asked)]).reply(encoder.encode(reply))
        context = longer
        if len(context) > limit:
            whole = context.tokens()
            yield Tokens(ids=whole.ids[:limit], roles=whole.roles[:limit])
            context = start
    if context.exchanges:
        yield context.tokens()


def _exchanges(turns: Sequence[str]) -> Iterator[tuple[str, str]]:
    replies = [*turns[1::2], ""] if len(turns) % 2 else turns[1::2]
    return zip(turns[::2], replies, strict=True)


def _corpus(turns: Iterable[Sequence[str]], source: str, content: bytes) -> Corpus:
    kept = (Conversation.of(one) for one in turns if len(one) > 1 and all(t.strip() for t in one))
    unique = {one.key: one for one in kept}
    return Corpus(
        # In the order of a hash any first part of the corpus is a fair sample of it.
        conversations=tuple(unique[key] for key in sorted(unique)),
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _json_lines(text: str, path: Path) -> Iterator[list[str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            read = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number} is not JSON: {error}.") from error
        turns = read.get("turns") if isinstance(read, dict) else read
        if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
            raise UsageError(f'{path}, line {number}: a list of strings, or {{"turns": [...]}}.')
        yield turns


def _paragraphs(text: str) -> Iterator[list[str]]:
    parts = [part.strip() for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()]
    return (parts[at : at + 2] for at in range(0, len(parts), 2))
