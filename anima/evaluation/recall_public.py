"""Public sets of long conversations, read from a file that the user has; knows no ranking's inside.

LoCoMo (Maharana et al. 2024; `locomo10.json`, CC BY-NC 4.0): evidence by turn, questions of the
categories 1 to 4 whose evidence is there. LongMemEval (Wu et al. 2024; `longmemeval_s` or `_m`,
MIT): every question with its own history, none that has no answer. Neither is part of this package.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from anima.errors import UsageError
from anima.evaluation.recall_life import Said

_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "world knowledge", 4: "single-hop"}
_EVIDENCE = re.compile(r"D:?(\d+):(\d+)")
_SESSION = re.compile(r"session_(\d+)")
_MONTHS = {
    name: at
    for at, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_LOCOMO_TIME = re.compile(r"(\d+):(\d+)\s*([ap])m on (\d+) (\w+),? (\d{4})", re.IGNORECASE)
_LONGMEMEVAL_TIME = re.compile(r"(\d{4})[/-](\d+)[/-](\d+)(?:\D+(\d+):(\d+))?")
_BETWEEN_TURNS = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question with the ids of the turns and the numbers of the sessions that answer it.

    `turns` is empty where only the session is known.
    """

    text: str
    kind: str
    turns: frozenset[int]
    sessions: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class History:
    """One history with its questions; `session_of` is the session of each turn by its id."""

    name: str
    lines: tuple[Said, ...]
    session_of: tuple[int, ...]
    asked: tuple[Asked, ...]

    @property
    def end(self) -> datetime:
        """When the last turn was said."""
        return max(line.when for line in self.lines)


def read_locomo(path: Path) -> tuple[list[History], str]:
    """The conversations of a LoCoMo file with their questions, and its SHA-256; raises UsageError."""
    entries, digest = _entries(path)
    return [_conversation(entry, _Place(path, at)) for at, entry in enumerate(entries)], digest


def read_longmemeval(path: Path) -> tuple[list[History], str]:
    """The questions of a LongMemEval file, each with its history, and its SHA-256.

    Raises UsageError, also for the oracle variant, where every session holds evidence and any
    ranking is right.
    """
    entries, digest = _entries(path)
    places = [_Place(path, at) for at in range(len(entries))]
    kept = [
        (entry, place)
        for entry, place in zip(entries, places, strict=True)
        if not str(_part(entry, "question_id", place)).endswith("_abs")
    ]
    if kept and all(
        set(_part(e, "haystack_session_ids", p)) <= set(_part(e, "answer_session_ids", p))
        for e, p in kept
    ):
        raise UsageError(
            f"{path} is the oracle variant of LongMemEval: every session in it holds evidence, so "
            "any ranking finds it. Give longmemeval_s or longmemeval_m."
        )
    return [_haystack(entry, place) for entry, place in kept], digest


class _Place:
    """Where in a file something is, for messages."""

    def __init__(self, path: Path, at: int, within: str = "") -> None:
        self._text = f"{path}, entry {at}{within}"

    def __str__(self) -> str:
        return self._text

    def within(self, name: str) -> str:
        return f"{self._text}, {name}"


def _entries(path: Path) -> tuple[list[Any], str]:
    try:
        content = path.read_bytes()
        found = json.loads(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is no JSON: {error}. Give the file as it was published."
        ) from error
    if not isinstance(found, list) or not found:
        raise UsageError(
            f"{path} must hold a list of conversations or questions, and one at least."
        )
    return found, hashlib.sha256(content).hexdigest()


def _part(entry: Any, name: str, place: object, kind: type | tuple[type, ...] = object) -> Any:
    if not isinstance(entry, dict) or name not in entry:
        raise UsageError(f"{place}: there is no {name!r}. Give the file as it was published.")
    if not isinstance(entry[name], kind):
        raise UsageError(f"{place}: {name!r} is of another kind than in the published file.")
    return entry[name]


# LoCoMo


def _conversation(entry: Any, place: _Place) -> History:
    talk = _part(entry, "conversation", place, dict)
    lines: list[Said] = []
    session_of: list[int] = []
    ids: dict[tuple[int, int], int] = {}
    for session, turns in _sessions(talk):
        start = _locomo_time(_part(talk, f"session_{session}_date_time", place, str), place)
        for at, turn in enumerate(turns):
            here = place.within(f"session_{session}, turn {at}")
            text = _turn_text(turn, here)
            ids[_turn_id(_part(turn, "dia_id", here, str), here)] = len(lines)
            session_of.append(session)
            lines.append(_said(len(lines), text, start + at * _BETWEEN_TURNS, "user"))
    if not lines:
        raise UsageError(f"{place}: there is no session in 'conversation'.")
    asked = [
        found
        for at, each in enumerate(_part(entry, "qa", place, list))
        if (found := _locomo_question(each, ids, place.within(f"qa {at}"))) is not None
    ]
    return History(
        name=str(entry.get("sample_id", f"conversation {place}")), lines=tuple(lines),
        session_of=tuple(session_of), asked=tuple(asked),
    )  # fmt: skip


def _sessions(talk: Mapping[str, Any]) -> Iterator[tuple[int, Sequence[Any]]]:
    """The sessions in their order; a date without a session is passed over, as the files have some."""
    numbers = sorted(int(m[1]) for name in talk if (m := _SESSION.fullmatch(name)))
    for number in numbers:
        turns = talk[f"session_{number}"]
        if isinstance(turns, list) and turns:
            yield number, turns


def _turn_text(turn: Any, place: str) -> str:
    """What was said, after the speaker's name; of a shared picture its caption."""
    text = str(_part(turn, "text", place)).strip()
    caption = str(turn.get("blip_caption") or "").strip()
    shared = f" [shares {caption}]" if caption else ""
    return f"{_part(turn, 'speaker', place)}: {text}{shared}"


def _turn_id(text: str, place: str) -> tuple[int, int]:
    found = _EVIDENCE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{place}: {text!r} is no id of a turn such as 'D1:3'.")
    return int(found[1]), int(found[2])


def _locomo_question(entry: Any, ids: Mapping[tuple[int, int], int], place: str) -> Asked | None:
    """None for a category without an answer, and where evidence is missing or names no turn."""
    kind = _CATEGORIES.get(_part(entry, "category", place))
    evidence = entry.get("evidence") or []
    # Some entries hold several ids in one text, some have a colon too many.
    named = [(int(m[1]), int(m[2])) for each in evidence for m in _EVIDENCE.finditer(str(each))]
    if kind is None or not named or any(each not in ids for each in named):
        return None
    return Asked(
        text=str(_part(entry, "question", place)), kind=kind,
        turns=frozenset(ids[each] for each in named),
        sessions=frozenset(session for session, _ in named),
    )  # fmt: skip


def _locomo_time(text: str, place: object) -> datetime:
    found = _LOCOMO_TIME.search(text)
    month = _MONTHS.get(found[5][:3].lower()) if found else None
    if found is None or month is None:
        raise UsageError(f"{place}: {text!r} is no time such as '1:56 pm on 8 May, 2023'.")
    hour = int(found[1]) % 12 + (12 if found[3].lower() == "p" else 0)
    return _moment(place, text, int(found[6]), month, int(found[4]), hour, int(found[2]))


# LongMemEval


def _haystack(entry: Any, place: _Place) -> History:
    names = _part(entry, "haystack_session_ids", place, list)
    dates = _part(entry, "haystack_dates", place, list)
    sessions = _part(entry, "haystack_sessions", place, list)
    if not len(names) == len(dates) == len(sessions):
        raise UsageError(f"{place}: sessions, their ids and their dates are not equally many.")
    lines: list[Said] = []
    session_of: list[int] = []
    answering: set[int] = set()
    for session, (date, turns) in enumerate(zip(dates, sessions, strict=True)):
        start = _longmemeval_time(str(date), place)
        for at, turn in enumerate(turns):
            here = place.within(f"session {session}, turn {at}")
            text = str(_part(turn, "content", here)).strip()
            if not text:
                continue
            if turn.get("has_answer"):
                answering.add(len(lines))
            role = "assistant" if _part(turn, "role", here) == "assistant" else "user"
            lines.append(_said(len(lines), text, start + at * _BETWEEN_TURNS, role))
            session_of.append(session)
    if not lines:
        raise UsageError(f"{place}: there is nothing said in 'haystack_sessions'.")
    wanted = set(_part(entry, "answer_session_ids", place, list))
    asked = Asked(
        text=str(_part(entry, "question", place)),
        kind=str(entry.get("question_type", "")),
        turns=frozenset(answering),
        sessions=frozenset(at for at, name in enumerate(names) if name in wanted),
    )
    return History(
        name=str(entry["question_id"]), lines=tuple(lines), session_of=tuple(session_of),
        asked=(asked,) if asked.sessions else (),
    )  # fmt: skip


def _longmemeval_time(text: str, place: object) -> datetime:
    found = _LONGMEMEVAL_TIME.search(text)
    if found is None:
        raise UsageError(f"{place}: {text!r} is no time such as '2023/05/20 (Sat) 02:21'.")
    return _moment(place, text, *(int(each or 0) for each in found.groups()))


def _moment(place: object, text: str, *numbers: int) -> datetime:
    year, month, day, hour, minute = numbers
    try:
        return datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"{place}: {text!r} is no time: {error}.") from error


def _said(id: int, text: str, when: datetime, role: str) -> Said:
    return Said(
        id=id, text=text, when=when, kind="chat",
        role="assistant" if role == "assistant" else "user",
    )  # fmt: skip
