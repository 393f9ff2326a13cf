import pytest

from anima.errors import BusyError, StateError, UsageError
from anima.home import Home
from anima.persona import Persona, personas, sessions
from anima.persona.names import name_session, names
from anima.persona.upkeep import new_persona, overview, remove_session

from .conftest import Ticking
from .samples import flip, plain, turn, weights


def test_an_overview_says_what_there_is(home: Home, ada: Persona) -> None:
    (home.dreams / "ada").mkdir(parents=True)
    (home.dreams / "ada" / "0001.json").write_text("{}", encoding="utf-8")
    found = overview(home, "ada")
    assert (found.sessions, found.turns, found.dreams, found.faults) == (1, 2, 1, ())
    assert found.generation == ada.generation
    assert found.file == ada.file
    assert set(found.organs) == {"sampling", "reservoir"}
    states = sum(path.stat().st_size for path in (ada.folder / "states").iterdir())
    assert sum(found.organs.values()) == states < found.bytes


def test_an_overview_of_a_damaged_persona_says_what_is_wrong(home: Home, ada: Persona) -> None:
    flip(ada.folder / "HEAD.json")
    (ada.folder / "persona.toml").write_text("name =", encoding="utf-8")
    found = overview(home, "ada")
    assert (found.file, found.generation, found.sessions) == (None, None, 1)
    assert ["persona.toml" in found.faults[0], "HEAD.json" in found.faults[1]] == [True, True]


def test_an_unknown_persona_has_no_overview(home: Home, ada: Persona) -> None:
    with pytest.raises(UsageError, match="Did you mean ada"):
        overview(home, "adam")


def test_a_new_persona_has_lived_nothing_and_takes_no_place(home: Home, clock: Ticking) -> None:
    folder = new_persona(home, "eve", clock=clock)
    assert (folder, personas(home)) == (home.persona("eve"), ["eve"])
    assert overview(home, "eve").generation == 0
    with pytest.raises(UsageError, match="already"):
        new_persona(home, "eve", clock=clock)
    with pytest.raises(UsageError, match="cannot name"):
        new_persona(home, "a/b", clock=clock)


def test_removing_the_last_session_keeps_what_was_learned_and_is_no_surprise(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    name_session(home, "ada", str(ada.session), "morning")
    remove_session(home, "ada", str(ada.session), clock=clock)
    assert (sessions(home, "ada"), names(home, "ada")) == ([], {})
    with Persona.open(home, "ada", clock=clock) as persona:
        assert (persona.notices, persona.session) == ((), None)
        assert plain(persona.states()["reservoir"]) == plain(weights(0.1))


def test_removing_an_older_session_leaves_the_latest_going_on(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        latest = persona.begin_session({})
        persona.commit(states={}, records=[turn(1)])
    remove_session(home, "ada", str(ada.session), clock=clock)
    with Persona.open(home, "ada", clock=clock) as persona:
        assert (persona.notices, persona.session) == ((), latest)


def test_a_session_that_may_be_open_elsewhere_is_not_removed(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    with (
        Persona.open(home, "ada", clock=clock),
        pytest.raises(BusyError, match="Close it there, then try again"),
    ):
        remove_session(home, "ada", str(ada.session), clock=clock)
    assert len(sessions(home, "ada")) == 1
    with pytest.raises(StateError, match="no session"):
        remove_session(home, "ada", "x", clock=clock)


def test_a_session_that_keeps_a_persona_from_opening_can_be_removed(
    home: Home, clock: Ticking, ada: Persona
) -> None:
    path = ada.folder / "sessions" / f"{ada.session}.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    for name in ("HEAD.json", "sessions/names.json"):
        (ada.folder / name).write_text("damaged", encoding="utf-8")
    remove_session(home, "ada", str(ada.session), clock=clock)
    with Persona.open(home, "ada", clock=clock) as persona:
        assert persona.session is None
