"""Runs a recorded session again from its snapshot and says, turn by turn, whether it is the same.

It reads records and states, and writes nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from anima import config
from anima.context import ChatFormat, Segment
from anima.errors import AnimaError, CorruptStateError, StateError
from anima.home import Home
from anima.organ import OrganState
from anima.persona import states as state_files
from anima.persona.session import read_session
from anima.persona.transcript import forces_of, mode_of
from anima.runtime.draft import Dictation, Draft
from anima.runtime.furnishing import Furniture, furnish_for
from anima.runtime.life import Place, Started
from anima.runtime.loop import Runtime
from anima.runtime.opening import assemble, context_of, use_threads
from anima.runtime.record import Record, fold

if TYPE_CHECKING:
    from anima.trunk.loader import Loaded

_COMPARED = (
    "segments", "sampling", "organs", "dropped", "ids", "roles", "calls", "reply_ids", "reply",
    "thoughts", "finish", "deltas",
)  # fmt: skip

_SINCE: Mapping[str, Any] = {"repeat_guard": 0.0, "litany_guard": 0.0}
"""Sampling settings that older records lack: what they hold was said without them."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One turn run again: `difference` says what was not as recorded, None where all was.

    `mode` is the one that it was recorded in, None for none.
    """

    turn: int
    difference: str | None
    mode: str | None = None

    @property
    def matched(self) -> bool:
        return self.difference is None


@dataclass(kw_only=True)
class _Listener:
    """Stands in for the persona on disk: hears every record, keeps nothing."""

    name: str
    heard: list[Record] = field(default_factory=list)

    def commit(self, *, states: Mapping[str, OrganState], records: Sequence[Record]) -> int:
        self.heard += records
        return len(self.heard)

    def close(self) -> None:
        """There is nothing to let go of."""


def replay(
    home: Home,
    persona: str,
    session: str,
    *,
    say: Callable[[str], None] = lambda message: None,
) -> Iterator[Compared]:
    """Run a session (an id or the beginning of one) again, on the model and settings recorded.

    Raises StateError where the model is another one now, CorruptStateError where the record is
    not whole, ModelError where the model cannot be loaded.
    """
    records = read_session(home, persona, session)
    loaded: Loaded | None = None
    furniture: Furniture | None = None
    known: dict[str, Any] = {}
    runtime: Runtime | None = None
    listener = _Listener(name=persona)
    for number, record in enumerate(records):
        kind = record.get("record")
        if kind == "open":
            loaded = loaded or _load(home, record, say)
            format = ChatFormat(**record["format"])
            furniture = furniture or furnish_for(loaded, format, _settings(record), home)
            _check_same(loaded, record)
            runtime = _standing(loaded, furniture, records[: number + 1], session, listener, home)
        elif kind == "turn" and "copied" in record:
            known |= _forces(record)
        elif kind == "turn":
            if runtime is None or loaded is None or furniture is None:
                raise CorruptStateError(f"Session {session} has a turn before any `open` record.")
            known |= _forces(record)
            place = runtime.place
            compared = _again(runtime, listener, record, known)
            yield compared
            if not compared.matched and any(_is_turn(later) for later in records[number + 1 :]):
                _dictate(runtime, record, known, place)
        elif runtime is not None:
            _follow(runtime, record)
    if loaded is not None:
        loaded.trunk.close()


def _forces(record: Record) -> Mapping[str, Any]:
    """What a turn's record is the first to say of what can be in force, by digest."""
    return forces_of(record.get("deltas", {}).get("prism", {}))


def _is_turn(record: Record) -> bool:
    return record.get("record") == "turn"


def _again(
    runtime: Runtime, listener: _Listener, record: Record, known: Mapping[str, Any]
) -> Compared:
    """Run a recorded turn; whatever its record lacks or has wrong is a difference."""
    try:
        number = int(record["turn"])
        _run(runtime, record, known)
    except (KeyError, TypeError, ValueError) as error:
        return Compared(turn=runtime.turns + 1, difference=f"its record is not whole: {error}")
    except AnimaError as error:
        return Compared(turn=runtime.turns + 1, difference=str(error))
    return Compared(
        turn=number, difference=difference(record, listener.heard[-1]),
        mode=mode_of(record["deltas"].get("prism", {}), known),
    )  # fmt: skip


def _dictate(runtime: Runtime, record: Record, known: Mapping[str, Any], place: Place) -> None:
    """Stand where a turn's record ends, though it came to something else here.

    The turns after it are judged on what was recorded: the same calls, so that shapes are the same,
    with the recorded tokens. Raises CorruptStateError where the record lacks those.
    """
    runtime.return_to(place)
    try:
        (text,) = [part["text"] for part in record["segments"] if part["role"] == "user"]
        whole = {"fresh": False, **record, "text": text, "seed": 0}
        _run(runtime, whole, known, dictated=_dictation(record))
    except (AnimaError, LookupError, TypeError, ValueError) as error:
        raise CorruptStateError(
            f"Turn {record.get('turn')} does not say what the turns after it follow ({error}): they "
            "cannot be run again."
        ) from error


def _run(
    runtime: Runtime,
    record: Record,
    known: Mapping[str, Any],
    dictated: Dictation | None = None,
) -> None:
    runtime.prism.rehearse(record["deltas"].get("prism", {}), known)
    runtime.rehearse(record["deltas"])
    for organ in runtime.status()["organs"]:
        runtime.switch(organ, organ in record["organs"])
    if record["fresh"]:
        runtime.forget()
    turn = runtime.run(
        record["text"], int(record["seed"]), int(record["max_tokens"]), stopped=_button(record),
        dictated=dictated, think="thoughts" in record,
    )  # fmt: skip
    for _ in turn:
        pass


def difference(recorded: Record, now: Record) -> str | None:
    """What differs between a recorded turn and its repetition, in words; None for nothing."""
    for name in _COMPARED:
        before, after = recorded.get(name), now.get(name)
        if name == "sampling" and isinstance(before, dict):
            before = {**_SINCE, **before}
        if before == after:
            continue
        if name == "reply_ids" and isinstance(before, list) and isinstance(after, list):
            same = next(
                (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
                min(len(before), len(after)),
            )
            return f"the reply differs from its token {same + 1} on"
        return f"{name} differ" if name.endswith("s") else f"{name} differs"
    return None


def _button(record: Record) -> Callable[[Draft], bool]:
    """Presses stop where it was pressed: after as many tokens, or as many prefill calls."""
    stages = {thought["stage"]: thought for thought in record.get("thoughts", ())}

    def pressed(draft: Draft) -> bool:
        recorded = stages.get(draft.stage, record)
        if recorded["finish"] != "stopped":
            return False
        if said := len(recorded["reply_ids"]):
            return len(draft.ids) >= said
        prefills = sum(1 for kind, _ in recorded["calls"] if kind == "prefill")
        return sum(1 for call in draft.calls if call.kind == "prefill") >= prefills

    return pressed


def _dictation(record: Record) -> Dictation:
    """The tokens of a record's reply, and of the stages before it."""
    stages = {thought["stage"]: thought for thought in record.get("thoughts", ())}
    return lambda draft: stages.get(draft.stage, record)["reply_ids"]


def _follow(runtime: Runtime, record: Record) -> None:
    match record["record"]:
        case "undo":
            runtime.undo()
        case "set" if record["name"] not in ("seed", "max_tokens"):
            runtime.set(record["name"], record["value"])
        case "system":
            texts = [part["text"] for part in record["prefix"] if part["role"] == "system"]
            runtime.set_system(texts[0] if texts else None)


def _standing(
    loaded: "Loaded",
    furniture: Furniture,
    records: Sequence[Record],
    session: str,
    listener: _Listener,
    home: Home,
) -> Runtime:
    """A runtime where these records end, its organs as the last `open` record found them."""
    opened = [record for record in records if record.get("record") == "open"][-1]
    folder = home.persona(listener.name)
    states = {
        organ: state_files.load(folder, name, {}) for organ, name in opened["snapshot"].items()
    }
    use_threads(int(opened["threads"]))
    history = fold(records, session)
    started = Started(
        session=session, context=context_of(loaded.tokenizer, history), history=history
    )
    return assemble(
        loaded, _settings(opened), started,
        states=states, keeper=listener, sessions=_NoSessions(),
        clock=lambda: datetime.fromisoformat(opened["at"]), furniture=furniture,
    )  # fmt: skip


class _NoSessions:
    """A replay stays in the session that it runs again."""

    def begin(
        self, prefix: Sequence[Segment], base_seed: int, past: Sequence[Record] = ()
    ) -> Started:
        raise StateError("A session that is run again begins no other.")

    def resume(self, session: str) -> Started:
        raise StateError("A session that is run again goes into no other.")


def _load(home: Home, opened: Record, say: Callable[[str], None]) -> "Loaded":
    from anima.trunk import loader

    settings, model = _settings(opened), opened["model"]
    return loader.load(
        settings.model, home, device=model["device"], dtype=model["dtype"],
        engine=model["engine"], quantize=model.get("quantize", "none"), say=say,
    )  # fmt: skip


def _check_same(loaded: "Loaded", opened: Record) -> None:
    if loaded.trunk.info.fingerprint != opened["model"]["fingerprint"]:
        raise StateError(
            f"This session was recorded on {opened['model']['model']} with other weights than "
            "those here now: it cannot be run again on them."
        )


def _settings(opened: Record) -> config.Settings:
    known = {item.name for item in fields(config.Settings)}
    given: dict[str, Any] = {k: v for k, v in opened["settings"].items() if k in known}
    return config.Settings(**{**_SINCE, **given})
