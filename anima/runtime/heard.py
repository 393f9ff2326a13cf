"""A turn's own tokens with what its taps heard there; knows records and pushes, names no feature."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from anima.prism.listening import Heard

if TYPE_CHECKING:
    from anima.runtime.record import Record
    from anima.trunk.tokens import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TokenPush:
    """What one push did on one token, as a fraction of ‖h‖."""

    label: str
    share: float


def tokens_of(record: "Record", tokenizer: "Tokenizer") -> list[tuple[str, str]]:
    """Text and role of every token that a turn computed, in order."""
    ids: list[int] = [*record["ids"], *record["reply_ids"]]
    roles: list[str] = [role for role, count in record["roles"] for _ in range(count)]
    roles += ["assistant"] * len(record["reply_ids"])
    return [(tokenizer.decode([each]), role) for each, role in zip(ids, roles, strict=True)]


def own(heard: Heard, record: "Record") -> Heard:
    """What was heard on a turn's own text, without what it read again of the turns before it.

    Places count from the first token of the record; what was heard before it is left out, and the
    pushes there stand at places below 0.
    """
    before = _unlisted(record)
    start = place = 0
    for role, count in record["roles"]:
        place += count
        start = place if role == "assistant" else start
    first = bisect_left(heard.places, before + start)
    return replace(
        heard,
        residuals=heard.residuals[first:],
        places=_from(before, heard.places[first:]),
        stretches=tuple(
            replace(stretch, places=_from(before, stretch.places)) for stretch in heard.stretches
        ),
    )


def _unlisted(record: "Record") -> int:
    """How many tokens a turn computed before the first that its record lists.

    They are those of the stages of thinking, and what stood before the new tokens in a cache that
    could not be cropped, and so was read again.
    """
    thought = (call for each in record.get("thoughts", ()) for call in each["calls"])
    musing: int = sum(tokens for kind, tokens in thought if kind != "crop")
    read: int = sum(tokens for kind, tokens in record["calls"] if kind == "prefill")
    return musing + max(0, read - len(record["ids"]))  # fewer were read where it was stopped


def _from(start: int, places: Iterable[int]) -> tuple[int, ...]:
    return tuple(place - start for place in places)


def shares(heard: Heard) -> dict[int, float]:
    """How far each token was pushed, by its place, as a fraction of ‖h‖."""
    return {
        place: round(length, 6)
        for stretch in heard.stretches
        for place, length in zip(stretch.places, stretch.trace.length.tolist(), strict=True)
    }


def pushed(heard: Heard) -> dict[int, tuple[TokenPush, ...]]:
    """The pushes on each token by its place, largest first."""
    found: dict[int, tuple[TokenPush, ...]] = {}
    for stretch in heard.stretches:
        labels = [push.label for push in stretch.trace.state.pushes]
        for place, each in zip(stretch.places, stretch.trace.share.tolist(), strict=True):
            pairs: Iterable[tuple[str, float]] = zip(labels, each, strict=True)
            ordered = sorted(pairs, key=lambda pair: -pair[1])
            found[place] = tuple(
                TokenPush(label=label, share=round(share, 6)) for label, share in ordered if share
            )
    return found
