"""Texts that are like what is wanted and texts that are not, and how a model's stream reads them.

It knows files, prompts and residuals, and neither features nor modes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from anima.context import ChatFormat, Context, Segment, Tokens
from anima.errors import SteeringError
from anima.trunk.interface import Trunk
from anima.trunk.tokens import Tokenizer

LEAST = 4
"""Texts a side: fewer say nothing of what they have in common."""
QUESTION = "Say something."
"""What every text of a contrast answers, so that nothing but the text differs."""
_ROWS = 16


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Replies that are like what is wanted, and replies to the same things that are not."""

    like: tuple[str, ...]
    unlike: tuple[str, ...]

    def __post_init__(self) -> None:
        for side, texts in (("like", self.like), ("unlike", self.unlike)):
            if len(texts) < LEAST:
                raise SteeringError(
                    f"The texts {side} what is wanted are {len(texts)}: a contrast needs at least "
                    f"{LEAST} on each side, one a line."
                )
        both = set(self.like) & set(self.unlike)
        if both:
            raise SteeringError(
                f"{len(both)} texts are on both sides of the contrast, {min(both)[:40]!r} for one: "
                "take them out of one."
            )


def read_contrast(like: Path, unlike: Path) -> Contrast:
    """Two files with a text in each line; SteeringError names the file and what is wrong."""
    return Contrast(like=_lines(like), unlike=_lines(unlike))


def _lines(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SteeringError(f"There is no file of texts at {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SteeringError(f"{path} cannot be read as texts: {error}.") from error
    found = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not found:
        raise SteeringError(f"{path} is empty: put a text in each line, at least {LEAST}.")
    if len(found) < LEAST:
        raise SteeringError(f"{path} holds {len(found)} texts: at least {LEAST} are needed.")
    return found


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What reads texts as replies: the model, its tokenizer, its template, what stands before."""

    trunk: Trunk
    encoder: Tokenizer
    format: ChatFormat
    prefix: tuple[Segment, ...] = ()

    def reply(self, text: str, question: str = QUESTION) -> tuple[Tokens, int]:
        """A text as the reply to a question, as tokens, and how many of the last are its own."""
        begun = Context.begin(self.encoder, self.format, self.prefix)
        ids = self.encoder.encode(text)
        context = begun.ask([Segment(role="user", text=question)]).reply(ids)
        return context.tokens(), len(ids)

    def question(self, text: str) -> Tokens:
        """A text as the first thing that a user says, as tokens."""
        begun = Context.begin(self.encoder, self.format, self.prefix)
        return begun.ask([Segment(role="user", text=text)]).tokens()

    def residuals(self, texts: Sequence[str], layer: int) -> list[Tensor]:
        """The residual stream of `layer` on each text's own tokens, `[t, d]` in float32 each."""
        found: list[Tensor] = []
        for start in range(0, len(texts), _ROWS):
            found += self._rows(texts[start : start + _ROWS], layer)
        return found

    def _rows(self, texts: Sequence[str], layer: int) -> list[Tensor]:
        replies = [self.reply(text) for text in texts]
        widest = max(len(tokens) for tokens, _ in replies)
        padding = [widest - len(tokens) for tokens, _ in replies]
        ids = [
            [0] * void + list(tokens.ids)
            for void, (tokens, _) in zip(padding, replies, strict=True)
        ]
        cache = self.trunk.cache(len(texts), padding=padding)
        step = self.trunk.forward(torch.tensor(ids), cache, reads=[layer])
        h = step.reads[layer].float()
        return [h[row, widest - own :].clone() for row, (_, own) in enumerate(replies)]


def means(residuals: Sequence[Tensor]) -> Tensor:
    """The mean row of each text, `[n, d]`: texts count alike, however long they are."""
    return torch.stack([rows.mean(0) for rows in residuals])
