"""A session as the conversation that a person had: turns, texts, replies; knows no screen and no model.

Turns that were taken back are marked, so that whoever shows the conversation can leave them out.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from anima.errors import StateError
from anima.home import Home
from anima.persona import names
from anima.persona import session as session_files

Speaker = Literal["user", "assistant"]

_BEFORE, _AFTER = 24, 56  # characters of a snippet around what was found


@dataclass(frozen=True, kw_only=True)
class Said:
    """One turn as it was said. `finish` is as in `anima.events`; None is what is not recorded.

    `mode` is the one that spoke it, several with arrows between them where it was switched meanwhile;
    `share` the mean length of what was pushed, of ‖h‖.
    """

    turn: int
    text: str
    reply: str
    finish: str | None = None
    seed: int | None = None
    started: datetime | None = None
    model: str | None = None
    system: str | None = None
    undone: bool = False
    mode: str | None = None
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """A conversation: `said` holds every turn, undone ones too; `damaged` what could not be read."""

    persona: str
    session: str
    name: str | None
    started: datetime | None
    said: Sequence[Said]
    damaged: str | None = None

    @property
    def turns(self) -> list[Said]:
        """The turns that were not taken back."""
        return [each for each in self.said if not each.undone]


@dataclass(frozen=True, kw_only=True)
class Match:
    """One place where a search found its words: whose text it is, and the words in their midst."""

    turn: int
    role: Speaker
    snippet: str


def read_transcript(home: Home, persona: str, session: str) -> Transcript:
    """A session, by its whole id, as far as it can be read; needs no lock.

    Raises NewerVersionError and CorruptStateError where nothing of it can be read, StorageError.
    """
    found = session_files.scan_session(home, persona, session)
    if found.error is not None and not found.records:
        raise found.error
    damaged = None if found.error is None else str(found.error)
    if damaged is None and found.torn:
        damaged = f"The last line of session {session} is torn and left out."
    return Transcript(
        persona=persona,
        session=session,
        name=names_or_none(home, persona).get(session),
        started=_moment(found.records[0].get("started")) if found.records else None,
        said=conversation(found.records),
        damaged=damaged,
    )


def names_or_none(home: Home, persona: str) -> Mapping[str, str]:
    """The names of the sessions; none where their file is damaged, which must not hide a session."""
    try:
        return names.names(home, persona)
    except StateError:
        return {}


def conversation(records: Sequence[Mapping[str, Any]]) -> list[Said]:
    """The turns that a session's records hold, the undone ones marked."""
    said: list[Said] = []
    model = system = None
    known: dict[str, Any] = {}
    for record in records:
        match record.get("record"):
            case "session" | "system":
                system = _system(record)
            case "open":
                model = _model(record)
            case "turn":
                steered = _steered(record)
                known |= forces_of(steered)
                told = replace(_said(record, model, system), mode=mode_of(steered, known))
                said.append(replace(told, share=_share(steered)))
            case "undo":
                _take_back(said)
    return said


def search(said: Sequence[Said], words: Sequence[str]) -> Iterator[Match]:
    """The live turns in whose text and reply all the words occur, one match for each speaker.

    Upper and lower case are the same, and so are the ways to compose a character; a word may be a
    part of a longer one, and may be several words in a row.
    """
    patterns = [_pattern(word) for word in words if word.strip()]
    for each in said:
        texts: dict[Speaker, str] = {"user": _plain(each.text), "assistant": _plain(each.reply)}
        whole = "\n".join(texts.values())
        if each.undone or not patterns or not all(each.search(whole) for each in patterns):
            continue
        for role, text in texts.items():
            places = [found.span() for pattern in patterns if (found := pattern.search(text))]
            if places:
                yield Match(turn=each.turn, role=role, snippet=_snippet(text, min(places)))


def _steered(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a turn's record says of the Prism; nothing where nothing was pushed."""
    deltas = record.get("deltas")
    found = deltas.get("prism") if isinstance(deltas, dict) else None
    return found if isinstance(found, dict) else {}


def forces_of(steered: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a turn's record is the first in its session to say of what can be in force, by digest."""
    found = steered.get("forces")
    return found if isinstance(found, dict) else {}


def mode_of(steered: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    """The modes that a turn went through, as it names what is `known` by digest; None for none."""
    schedule = steered.get("schedule")
    digests = [each[-1] for each in schedule] if isinstance(schedule, list) else []
    return " → ".join(_force_in_words(known.get(digest)) for digest in digests) or None


def _force_in_words(force: object) -> str:
    modes = force.get("modes") if isinstance(force, dict) else None
    names = [each.get("name") for each in modes or () if isinstance(each, dict)]
    by_hand = len(force.get("by_hand") or ()) if isinstance(force, dict) else 0
    name = "+".join(name for name in names if isinstance(name, str)) or "off"
    return f"{name}, {by_hand} by hand" if by_hand else name


def _share(steered: Mapping[str, Any]) -> float | None:
    share = steered.get("share")
    return share if isinstance(share, float) else None


def _take_back(said: list[Said]) -> None:
    for place in reversed(range(len(said))):
        if not said[place].undone:
            said[place] = replace(said[place], undone=True)
            return


def _said(record: Mapping[str, Any], model: str | None, system: str | None) -> Said:
    turn, seed, finish = record.get("turn"), record.get("seed"), record.get("finish")
    return Said(
        turn=turn if isinstance(turn, int) else 0,
        text=_text(record.get("text")),
        reply=_text(record.get("reply")),
        finish=finish if isinstance(finish, str) else None,
        seed=seed if isinstance(seed, int) else None,
        started=_moment(record.get("started")),
        model=model,
        system=system,
    )


def _system(record: Mapping[str, Any]) -> str | None:
    """The text that a person set for the model, among the segments before the first turn."""
    prefix = record.get("prefix")
    segments = prefix if isinstance(prefix, list) else []
    texts = [each.get("text") for each in segments if each.get("role") == "system"]
    return _text(texts[0]) if texts else None


def _model(record: Mapping[str, Any]) -> str | None:
    model = record.get("model")
    name = model.get("model") if isinstance(model, dict) else model
    return name if isinstance(name, str) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(re.escape(_plain(word)), re.IGNORECASE)


def _snippet(text: str, place: tuple[int, int]) -> str:
    """The place in a text with some words on both sides, and marks where it was cut."""
    start, end = max(0, place[0] - _BEFORE), min(len(text), place[1] + _AFTER)
    if start:
        start = text.find(" ", start, place[0]) + 1 or start
    if end < len(text):
        end = max(text.rfind(" ", place[1], end), place[1]) if " " in text[place[1] : end] else end
    return f"{'…' * bool(start)}{text[start:end].strip()}{'…' * (end < len(text))}"
