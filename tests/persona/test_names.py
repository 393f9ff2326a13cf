import json
import threading
from pathlib import Path

import pytest

from anima.errors import CorruptStateError, NewerVersionError, StateError, UsageError
from anima.home import Home
from anima.persona import Persona
from anima.persona.names import find_session, name_session, names

from .conftest import Ticking
from .samples import turn


@pytest.fixture
def session(ada: Persona) -> str:
    assert ada.session is not None
    return ada.session


def file_of(ada: Persona) -> Path:
    return ada.folder / "sessions" / "names.json"


def begun(home: Home, clock: Ticking) -> str:
    """Another session of ada's."""
    with Persona.open(home, "ada", clock=clock) as persona:
        session = persona.begin_session({})
        persona.commit(states={}, records=[turn(1, "Elsewhere")])
    return session


def test_a_session_is_found_by_its_name_its_id_and_the_beginning_of_it(
    home: Home, session: str
) -> None:
    name_session(home, "ada", session, "  Morning \t talk ")
    assert names(home, "ada") == {session: "Morning talk"}
    for word in ("Morning talk", "morning  TALK", session, session[:8]):
        assert find_session(home, "ada", word) == session


def test_the_same_name_in_other_characters_is_the_same(home: Home, session: str) -> None:
    name_session(home, "ada", session, "Cafe\u0301")
    assert names(home, "ada") == {session: "Café"}
    assert find_session(home, "ada", "CAFÉ") == session


def test_a_name_is_given_and_taken_while_the_session_is_open_elsewhere(
    home: Home, clock: Ticking, session: str
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.resume_session(session)
        name_session(home, "ada", session, "talk")
        persona.commit(states={}, records=[turn(3)])
        name_session(home, "ada", session, "chat")
        assert names(home, "ada") == {session: "chat"}
        name_session(home, "ada", session, None)
        name_session(home, "ada", session, None)
    assert names(home, "ada") == {}


def test_a_persona_resumes_a_session_by_its_name(home: Home, clock: Ticking, session: str) -> None:
    name_session(home, "ada", session, "talk")
    begun(home, clock)
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.resume_session("Talk")
        assert persona.session == session


def test_a_name_of_another_session_is_refused_and_says_whose_it_is(
    home: Home, clock: Ticking, session: str
) -> None:
    name_session(home, "ada", session, "talk")
    other = begun(home, clock)
    with pytest.raises(StateError, match=f"'TALK' is the name of session {session}"):
        name_session(home, "ada", other, "TALK")
    name_session(home, "ada", session, "Talk")
    assert names(home, "ada") == {session: "Talk"}


def test_a_session_without_a_turn_keeps_its_name_until_another_wants_it(
    home: Home, clock: Ticking, session: str
) -> None:
    name_session(home, "ada", "20270101-000000-0000", "talk")
    with pytest.raises(StateError, match="no session 'talk'"):
        find_session(home, "ada", "talk")
    name_session(home, "ada", session, "other")
    assert names(home, "ada")["20270101-000000-0000"] == "talk"
    name_session(home, "ada", session, "talk")
    assert names(home, "ada") == {session: "talk"}


@pytest.mark.parametrize(
    "name", ["", "  ", "a" * 81, "-x", "2026", "20261122-0153", "continue", "bell\x07", "\u202eabc"]
)
def test_what_cannot_be_a_name_is_refused_and_changes_nothing(
    home: Home, ada: Persona, session: str, name: str
) -> None:
    with pytest.raises(UsageError, match="cannot name a session"):
        name_session(home, "ada", session, name)
    assert not file_of(ada).exists()


def test_an_unknown_name_is_answered_with_the_nearest(home: Home, session: str) -> None:
    name_session(home, "ada", session, "morning")
    with pytest.raises(StateError, match="Did you mean the one named 'morning'"):
        find_session(home, "ada", "mornign")


def test_the_beginning_of_one_name_is_enough(
    home: Home, clock: Ticking, ada: Persona, session: str
) -> None:
    name_session(home, "ada", session, "Nora and I")
    ada.close()
    other = begun(home, clock)
    name_session(home, "ada", other, "North")
    assert find_session(home, "ada", "nora") == session
    with pytest.raises(StateError, match=r"Names: 'North', 'Nora and I'\."):
        find_session(home, "ada", "x")
    with pytest.raises(StateError, match="no session 'Nor'"):
        find_session(home, "ada", "Nor")


def test_a_damaged_file_of_names_hides_no_id_and_is_not_written_over(
    home: Home, ada: Persona, session: str
) -> None:
    file_of(ada).write_text("{", encoding="utf-8")
    assert find_session(home, "ada", session[:8]) == session
    for attempt in (
        lambda: names(home, "ada"),
        lambda: find_session(home, "ada", "talk"),
        lambda: name_session(home, "ada", session, "talk"),
    ):
        with pytest.raises(CorruptStateError, match=r"names\.json is damaged.*delete it"):
            attempt()
    assert file_of(ada).read_text(encoding="utf-8") == "{"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"schema": 2, "names": {}}, NewerVersionError),
        ({"schema": 1, "names": []}, CorruptStateError),
        ({"schema": 1, "names": {"x": 1}}, CorruptStateError),
        ({"names": {}}, CorruptStateError),
    ],
)
def test_names_of_a_newer_version_or_none_are_named(
    home: Home, ada: Persona, content: object, error: type[Exception]
) -> None:
    file_of(ada).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(error, match=r"names\.json"):
        names(home, "ada")


def test_a_persona_that_is_not_there_has_no_sessions_to_name(home: Home) -> None:
    with pytest.raises(StateError, match="no persona 'ada'"):
        name_session(home, "ada", "20270101-000000-0000", "talk")
    assert not home.root.exists()


def test_of_many_who_write_at_once_nobody_loses_a_name(
    home: Home, ada: Persona, quick: None
) -> None:
    given = {f"20270101-000000-{number:04x}": f"name {number}" for number in range(20)}
    writers = [
        threading.Thread(target=name_session, args=(home, "ada", session, name))
        for session, name in given.items()
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert names(home, "ada") == given
