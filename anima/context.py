"""Segments with roles become token ids and a role per token; knows no model and no cache."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

from anima.errors import ContextError, ModelError

Role = Literal["core", "self_model", "pinned", "system", "memory", "user", "assistant", "template"]
Message = Mapping[str, str]
Render = Callable[[Sequence[Message], bool], str]
"""Renders messages by a chat template; the flag adds the opening of the assistant's answer."""


class Encoder(Protocol):
    """What the context asks of a tokenizer: text with nothing special, and template literals."""

    def encode(self, text: str) -> list[int]: ...

    def encode_literal(self, text: str) -> list[int]: ...


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One stretch of text and what it is."""

    role: Role
    text: str


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Token ids and the role of each, equally long."""

    ids: tuple[int, ...] = ()
    roles: tuple[Role, ...] = ()

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(ids=self.ids + other.ids, roles=self.roles + other.roles)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """A chat template taken apart into the literals between contents.

    A conversation is opening, system, after_system, user, answer, reply, after_reply, user,
    answer, reply and so on. `trims` says that the template strips contents.
    """

    opening: str
    after_system: str
    answer: str
    after_reply: str
    trims: bool = False

    @classmethod
    def of(cls, render: Render) -> "ChatFormat":
        """Take a template apart; raises ModelError for one whose turns are not all alike."""
        for system in (True, False):
            pieces = _pieces(render, system=system)
            if pieces is not None:
                return pieces
        raise ModelError(
            "This model's chat template cannot be taken apart into equal turns; choose a model "
            "whose template writes every turn the same way."
        )


def _pieces(render: Render, *, system: bool) -> "ChatFormat | None":
    marks = [f"\ue000{name}\ue001" for name in ("s", "u", "a", "v", "b", "w")]
    roles = ["system", "user", "assistant", "user", "assistant", "user"]
    messages = [
        {"role": role, "content": f" {mark} "} for role, mark in zip(roles, marks, strict=True)
    ]
    first = 0 if system else 1
    try:
        text = render(messages[first:], True)
    except ModelError:
        return None
    trims = f" {marks[1]} " not in text
    parts = []
    for mark in marks[first:]:
        before, found, text = text.partition(mark if trims else f" {mark} ")
        if not found:
            return None
        parts.append(before)
    if any("\ue000" in part for part in parts):
        return None
    answer = text
    *opening, first_answer, after_reply, second_answer, after_second = parts
    if first_answer != second_answer or after_reply != after_second:
        return None
    # Without a place for a system text it stands before the first user's, as a paragraph.
    start, after_system = opening if system else (opening[0], "\n\n")
    return ChatFormat(
        opening=start,
        after_system=after_system,
        answer=answer,
        after_reply=after_reply,
        trims=trims,
    )


def jinja_render(
    template: str, special: Mapping[str, str], clock: Callable[[], datetime]
) -> Render:
    """A renderer of a Jinja chat template, as the field's tokenizers call them."""
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> str:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda style: clock().strftime(style)

    def render(messages: Sequence[Message], answer: bool) -> str:
        try:
            return environment.from_string(template).render(
                messages=messages, add_generation_prompt=answer, **special
            )
        except TemplateError as error:
            raise ModelError(f"The chat template refused the conversation: {error}") from error

    return render


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One turn in the context: the user's segments with their ids, and the reply's ids so far."""

    segments: tuple[Segment, ...]
    asked: Tokens
    reply_ids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Context:
    """A conversation as tokens: a stable prefix, then exchanges; extended, never edited in place."""

    encoder: Encoder
    format: ChatFormat
    prefix: tuple[Segment, ...]
    head: Tokens
    exchanges: tuple[Exchange, ...] = ()

    @classmethod
    def begin(cls, encoder: Encoder, format: ChatFormat, prefix: Sequence[Segment]) -> "Context":
        """A context without exchanges; empty segments of the prefix are left out."""
        kept = tuple(segment for segment in prefix if segment.text.strip())
        head = _literal(encoder, format.opening)
        for number, segment in enumerate(kept):
            gap = _literal(encoder, "\n\n") if number else Tokens()
            head = head + gap + _content(encoder, segment, format)
        head = head + _literal(encoder, format.after_system)
        return cls(encoder=encoder, format=format, prefix=kept, head=head)

    def ask(self, segments: Sequence[Segment]) -> "Context":
        """This context with a new exchange, its segments apart, whose reply is still empty."""
        asked = Tokens()
        for number, segment in enumerate(segments):
            gap = _literal(self.encoder, "\n\n") if number else Tokens()
            asked = asked + gap + _content(self.encoder, segment, self.format)
        asked = asked + _literal(self.encoder, self.format.answer)
        return self._with((*self.exchanges, Exchange(segments=tuple(segments), asked=asked)))

    def reply(self, ids: Sequence[int]) -> "Context":
        """This context with the last exchange's reply set to ids."""
        *earlier, last = self.exchanges
        return self._with((*earlier, replace(last, reply_ids=tuple(ids))))

    def without_last(self) -> "Context":
        """This context before its last exchange."""
        return self._with(self.exchanges[:-1])

    def without_oldest(self, count: int) -> "Context":
        """This context without its `count` oldest exchanges."""
        return self._with(self.exchanges[count:])

    def tokens(self) -> Tokens:
        """All of it, as the model sees it."""
        total = self.head
        for piece in self._stretches():
            total = total + piece
        return total

    def __len__(self) -> int:
        return len(self.head) + sum(len(piece) for piece in self._stretches())

    def rolled(self, window: int, reserve: int) -> "Context":
        """This context, or, where it and `reserve` tokens overflow, its newest turns up to half.

        Raises ContextError when the newest exchange alone does not fit into the window.
        """
        if len(self) + reserve <= window:
            return self
        left = self
        while len(left.exchanges) > 1 and len(left) + reserve > window // 2:
            left = left.without_oldest(1)
        if len(left) + reserve > window:
            raise ContextError(
                f"This message takes {len(left.exchanges[-1].asked)} tokens, and with the "
                f"{len(self.head)} of the system text and {reserve} for an answer it does not fit "
                f"into the model's window of {window}. Shorten it, or send it in parts."
            )
        return left

    def _with(self, exchanges: Sequence[Exchange]) -> "Context":
        return replace(self, exchanges=tuple(exchanges))

    def _stretches(self) -> Iterator[Tokens]:
        after_reply = _literal(self.encoder, self.format.after_reply)
        for number, exchange in enumerate(self.exchanges):
            if number:
                yield after_reply
            yield exchange.asked
            yield _all("assistant", exchange.reply_ids)


def _literal(encoder: Encoder, text: str) -> Tokens:
    ids = encoder.encode_literal(text) if text else []
    return _all("template", ids)


def _content(encoder: Encoder, segment: Segment, format: ChatFormat) -> Tokens:
    ids = encoder.encode(segment.text.strip() if format.trims else segment.text)
    return _all(segment.role, ids)


def _all(role: Role, ids: Sequence[int]) -> Tokens:
    roles: tuple[Role, ...] = (role,) * len(ids)
    return Tokens(ids=tuple(ids), roles=roles)
