import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from anima.errors import CorruptStateError, NewerVersionError, StateError
from anima.home import Home
from anima.persona import migrate, read_session, sessions
from anima.persona import session as session_files

from .samples import turn
from .test_encoding import TEXTS, VALUES, joined

IDS = ["20261122-015300-0000", "20261122-015300-8000", "20261123-090000-1111"]


def write(home: Home, session: str, *records: dict[str, Any], tail: bytes = b"") -> Path:
    """A session file with a header, without a HEAD that would say how much of it counts."""
    header = session_files.header(session, "2026-11-22T01:53:00+00:00", {}, {"model": "smollm2"})
    path = session_files.path_of(home.persona("ada"), session)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [session_files.line(record) for record in (header, *records)]
    path.write_bytes(b"".join(lines) + tail)
    return path


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(records=st.lists(st.dictionaries(TEXTS.filter(lambda k: k != "record"), VALUES), max_size=4))
def test_records_come_back_in_their_order(home: Home, records: list[dict[str, Any]]) -> None:
    write(home, IDS[0], *records)

    header, *found = read_session(home, "ada", IDS[0])

    assert found == [joined(record) for record in records]
    assert header["model"] == "smollm2"


def test_a_line_separator_in_a_text_splits_no_record(home: Home) -> None:
    path = write(home, IDS[0], turn(1, "one\u2028two\u2029three\u0085four\r\nfive"))

    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    assert (
        read_session(home, "ada", IDS[0])[1]["text"] == "one\u2028two\u2029three\u0085four\r\nfive"
    )


def test_a_record_that_json_cannot_hold_is_refused_by_its_kind() -> None:
    with pytest.raises(StateError, match="'turn' record"):
        session_files.line({"record": "turn", "surprisal": float("nan")})


def test_a_header_holds_its_own_keys_whatever_is_given() -> None:
    header = session_files.header("id", "now", {"sampling": "name"}, {"id": "other", "seed": 3})

    assert header == {
        "record": "session",
        "schema": 1,
        "id": "id",
        "started": "now",
        "snapshot": {"sampling": "name"},
        "seed": 3,
    }


def test_ids_sort_by_time_and_are_never_given_twice(home: Home) -> None:
    now = datetime(2026, 11, 22, 1, 53, 0, 499_900, tzinfo=UTC)
    ids = []
    for _ in range(8):
        ids.append(session_files.new_id(home.persona("ada"), now, None))
        write(home, ids[-1])

    assert ids == sorted(set(ids))
    assert session_files.new_id(home.persona("ada"), now + timedelta(seconds=1), None) > ids[-1]
    assert all(each.startswith("20261122-015300-") and len(each) == 20 for each in ids)


def test_an_id_is_in_utc_and_passes_over_the_one_announced(home: Home) -> None:
    moment = datetime(2026, 11, 22, 1, 53, tzinfo=UTC)
    elsewhere = moment.astimezone(tz=None)
    first = session_files.new_id(home.persona("ada"), elsewhere, None)

    assert first == "20261122-015300-0000"
    assert session_files.new_id(home.persona("ada"), elsewhere, first) > first


def test_sessions_are_listed_newest_first_with_what_was_said_first(home: Home) -> None:
    write(home, IDS[0], turn(1, "Good morning"), turn(2))
    write(home, IDS[2], turn(1, "And now?"))
    write(home, IDS[1], {"record": "set"})

    found = sessions(home, "ada")

    assert [each.id for each in found] == [IDS[2], IDS[1], IDS[0]]
    assert [each.turns for each in found] == [1, 0, 2]
    assert [each.first_text for each in found] == ["And now?", None, "Good morning"]
    assert found[0].started == datetime(2026, 11, 22, 1, 53, tzinfo=UTC)
    assert [each.damaged for each in found] == [None, None, None]


def test_a_turn_taken_back_does_not_count(home: Home) -> None:
    write(home, IDS[0], turn(1), turn(2), {"record": "undo", "turn": 2}, turn(2, "Again"))

    assert sessions(home, "ada")[0].turns == 2


def test_no_persona_has_no_sessions(home: Home) -> None:
    assert sessions(home, "nobody") == []
    with pytest.raises(StateError, match="nobody has none yet"):
        read_session(home, "nobody", "2026")


def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(home: Home) -> None:
    write(home, IDS[0], turn(1))
    write(home, IDS[2], turn(1, "Later"))

    assert read_session(home, "ada", "20261123")[1]["text"] == "Later"


@pytest.mark.parametrize("wanted", ["20261122", "2026"])
def test_an_ambiguous_beginning_names_the_candidates(home: Home, wanted: str) -> None:
    for session in IDS:
        write(home, session)

    with pytest.raises(StateError, match=f"begins several sessions: .*{IDS[1]}, {IDS[0]}"):
        read_session(home, "ada", wanted)


@pytest.mark.parametrize("wanted", ["1999", "", "../ada", "20261122-015300-0000x"])
def test_an_unknown_session_names_those_that_there_are(home: Home, wanted: str) -> None:
    write(home, IDS[0])

    with pytest.raises(StateError, match=f"no session {wanted!r} of ada; there is {IDS[0]}"):
        read_session(home, "ada", wanted)


def test_a_torn_last_line_is_left_out_and_said_in_the_list(home: Home) -> None:
    write(home, IDS[0], turn(1), tail=b'{"record":"turn","te')

    assert [record["record"] for record in read_session(home, "ada", IDS[0])] == ["session", "turn"]
    damaged = sessions(home, "ada")[0].damaged
    assert damaged is not None
    assert "last line is torn" in damaged


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe", b"[1]", b"\x00\x00\x00"])
def test_a_damaged_line_is_named_and_the_other_sessions_still_list(
    home: Home, garbage: bytes
) -> None:
    path = write(home, IDS[0], turn(1, "First"), turn(2), turn(3))
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], garbage, *lines[3:]]))
    write(home, IDS[1], turn(1, "Whole"))

    with pytest.raises(CorruptStateError, match=rf"{path.name}, line 3, is damaged"):
        read_session(home, "ada", IDS[0])
    whole, damaged = sessions(home, "ada")
    assert (whole.first_text, whole.damaged) == ("Whole", None)
    assert (damaged.turns, damaged.first_text) == (2, "First")
    assert damaged.damaged is not None
    assert "line 3" in damaged.damaged


@pytest.mark.parametrize("content", [b"", b"\n", b"half", b'{"record":"turn"}\n'])
def test_a_file_without_a_header_is_damaged(home: Home, content: bytes) -> None:
    path = write(home, IDS[0])
    path.write_bytes(content)

    with pytest.raises(CorruptStateError, match=path.name):
        read_session(home, "ada", IDS[0])
    assert sessions(home, "ada")[0].damaged is not None
    assert sessions(home, "ada")[0].started is None


def test_a_newer_session_is_refused_and_the_others_still_list(home: Home) -> None:
    path = write(home, IDS[0], turn(1))
    content = path.read_bytes().replace(b'"schema":1', b'"schema":9')
    path.write_bytes(content)
    write(home, IDS[1], turn(1))

    with pytest.raises(NewerVersionError, match=rf"{path.name}, line 1, was written by a newer"):
        read_session(home, "ada", IDS[0])
    assert [each.damaged is None for each in sessions(home, "ada")] == [True, False]
    assert path.read_bytes() == content


def test_old_lines_are_brought_up_and_lines_after_the_mark_are_not(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(home, IDS[0], turn(1))
    steps = {
        1: lambda record: {**record, "by": [1]},
        2: lambda record: {**record, "by": [*record["by"], 2]},
    }
    monkeypatch.setitem(migrate.MIGRATIONS, "session", steps)
    later = [session_files.schema_mark(), {**turn(2), "by": []}]
    with path.open("ab") as file:
        file.writelines(session_files.line(record) for record in later)

    header, first, second = read_session(home, "ada", IDS[0])

    assert header["schema"] == 3
    assert first["by"] == [1, 2]
    assert second["by"] == []


def test_a_session_is_plain_json_lines(home: Home) -> None:
    path = write(home, IDS[0], turn(1, "Grüße"))

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[1] == turn(1, "Grüße")
