"""The lines of a session record and what they add up to; knows JSON, and no model and no disk.

What a record is stands under `record`: `session` (the header), `open` (a process took the session up: model, versions, snapshot),
`turn`, `undo`, `system`, `set`. Together they are enough to run the session again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from anima.context import ChatFormat, Segment, Tokens
from anima.errors import CorruptStateError
from anima.runtime.draft import Draft

Record = Mapping[str, Any]


def run_lengths(values: Sequence[str]) -> list[list[Any]]:
    """`aaab` as `[["a", 3], ["b", 1]]`: roles change seldom."""
    runs: list[list[Any]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    return runs


def segments_json(segments: Iterable[Segment]) -> list[dict[str, str]]:
    """Segments as JSON objects."""
    return [asdict(segment) for segment in segments]


def segments_of(values: Iterable[Mapping[str, Any]]) -> tuple[Segment, ...]:
    """The inverse of `segments_json`."""
    return tuple(Segment(role=value["role"], text=value["text"]) for value in values)


def turn_record(
    draft: Draft, organs: Sequence[str], deltas: Mapping[str, Any], ended: str
) -> Record:
    """A finished turn: what was said, every call's kind and length, everything in force."""
    thoughts = {"thoughts": [dict(each) for each in draft.thoughts]} if draft.thoughts else {}
    return {
        "record": "turn",
        "turn": draft.turn.number,
        "text": draft.turn.text,
        "segments": segments_json(draft.context.exchanges[-1].segments),
        "seed": draft.turn.seed,
        "sampling": asdict(draft.sampling),
        "max_tokens": draft.max_tokens,
        "organs": list(organs),
        "dropped": draft.dropped,
        "fresh": draft.fresh,
        **run_of(draft),
        **thoughts,
        "reply": draft.text,
        "finish": draft.finish,
        "deltas": dict(deltas),
        "started": draft.started,
        "ended": ended,
        "per_second": draft.per_second,
    }


def run_of(draft: Draft) -> dict[str, Any]:
    """What went through the model for a draft: the calls, the new tokens, those of the reply."""
    asked = draft.asked or Tokens()
    start = len(asked) - draft.new_tokens
    return {
        "calls": [[call.kind, call.tokens] for call in draft.calls],
        "ids": list(asked.ids[start:]),
        "roles": run_lengths(asked.roles[start:]),
        "reply_ids": list(draft.ids),
    }


@dataclass(frozen=True, kw_only=True)
class History:
    """What a session's records add up to.

    `turns` are the turn records still live, oldest first; the oldest `dropped` of them are no
    longer in the context; `draws` counts every reply ever begun, so that no seed comes twice;
    `reread` says that a change of model made the recorded token ids worthless.
    """

    prefix: tuple[Segment, ...] = ()
    format: ChatFormat | None = None
    fingerprint: str | None = None
    turns: tuple[Record, ...] = ()
    dropped: int = 0
    draws: int = 0
    base_seed: int = 0
    reread: bool = False

    @property
    def exchanges(self) -> tuple[Record, ...]:
        """The turns still in the context."""
        return self.turns[self.dropped :]


def fold(records: Iterable[Record], session: str, past: History | None = None) -> History:
    """Add records up, to a past if there is one.

    Raises CorruptStateError for a record that lacks what its kind must have.
    """
    history = past or History()
    for number, record in enumerate(records, 1):
        try:
            history = _after(history, record)
        except (KeyError, TypeError, IndexError) as error:
            raise CorruptStateError(
                f"Session {session}, record {number} is not what a {record.get('record')!r} record "
                f"must be ({error}). Leave it, or remove it with its session file."
            ) from error
    return history


def _after(history: History, record: Record) -> History:
    match record["record"]:
        case "session":
            return replace(
                history, prefix=segments_of(record["prefix"]), base_seed=int(record["base_seed"])
            )
        case "open":
            return replace(
                history,
                format=ChatFormat(**record["format"]),
                fingerprint=record["model"]["fingerprint"],
            )
        case "turn":
            return replace(
                history,
                turns=(*history.turns, record),
                dropped=history.dropped + int(record["dropped"]),
                draws=history.draws + 1,
            )
        case "undo":
            turns = history.turns[:-1]
            return replace(history, turns=turns, dropped=min(history.dropped, len(turns)))
        case "system":
            return replace(history, prefix=segments_of(record["prefix"]))
        case "set" if record["name"] == "seed":
            return replace(history, base_seed=int(record["base_seed"]))
        case _:
            return history
