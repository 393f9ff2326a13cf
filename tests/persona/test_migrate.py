import pytest

from anima.errors import CorruptStateError, NewerVersionError, StateError
from anima.persona import migrate


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Session records in version 4: each step notes that it ran, and on what."""
    steps = {
        version: lambda record, version=version: {**record, "steps": [*record["steps"], version]}
        for version in (3, 1, 2)
    }
    monkeypatch.setitem(migrate.MIGRATIONS, "session", steps)


@pytest.mark.usefixtures("chain")
def test_steps_run_in_their_order_from_the_version_of_the_document() -> None:
    assert migrate.current("session") == 4
    assert migrate.upgrade("session", {"steps": []}, 1, place="a file")["steps"] == [1, 2, 3]
    assert migrate.upgrade("session", {"steps": []}, 3, place="a file")["steps"] == [3]
    assert migrate.upgrade("session", {"steps": []}, 4, place="a file")["steps"] == []


@pytest.mark.usefixtures("chain")
def test_the_document_given_is_left_as_it_is() -> None:
    document: dict[str, list[int]] = {"steps": []}

    migrate.upgrade("session", document, 1, place="a file")

    assert document == {"steps": []}


def test_a_gap_is_an_error_before_any_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[migrate.Document] = []

    def step(document: migrate.Document) -> migrate.Document:
        ran.append(document)
        return document

    steps = {1: step, 3: step}
    monkeypatch.setitem(migrate.MIGRATIONS, "head", steps)

    with pytest.raises(StateError, match=r"HEAD\.json has head schema 1, .* from 2 to 3"):
        migrate.upgrade("head", {}, 1, place="HEAD.json")
    assert ran == []


def test_a_newer_version_is_named_with_what_to_do() -> None:
    with pytest.raises(
        NewerVersionError, match=r"HEAD\.json .* schema is 7, .* up to 1\. Update Anima"
    ):
        migrate.check("head", 7, place="HEAD.json")


@pytest.mark.parametrize("version", [None, 0, -1, "1", 1.0, True])
def test_what_is_no_version_is_damage(version: object) -> None:
    with pytest.raises(CorruptStateError, match="no schema version"):
        migrate.check("head", version, place="HEAD.json")


def test_every_kind_begins_at_version_1_and_has_no_gap() -> None:
    for steps in migrate.MIGRATIONS.values():
        assert sorted(steps) == list(range(1, len(steps) + 1))
