import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.context import Segment
from anima.errors import CorruptStateError
from anima.runtime.record import fold, run_lengths, segments_json, segments_of

HEADER = {"record": "session", "prefix": [], "base_seed": 3}


def turn(**more):
    return {"record": "turn", "dropped": 0, **more}


@given(st.lists(st.sampled_from("abc")))
def test_run_lengths_spell_out_to_what_they_were_made_of(values):
    runs = run_lengths(values)
    assert [value for value, count in runs for _ in range(count)] == values
    assert all(a[0] != b[0] for a, b in itertools.pairwise(runs))


def test_segments_survive_json():
    segments = (Segment(role="core", text="a"), Segment(role="user", text="é\n"))
    assert segments_of(segments_json(segments)) == segments


def test_undone_turns_do_not_count_but_their_draws_do():
    history = fold([HEADER, turn(n=1), turn(n=2), {"record": "undo"}, turn(n=3)], "s")
    assert [record["n"] for record in history.turns] == [1, 3]
    assert (history.draws, history.base_seed) == (3, 3)


def test_dropped_turns_stand_but_are_out_of_the_context():
    history = fold([HEADER, turn(n=1), turn(n=2), turn(n=3, dropped=2)], "s")
    assert [record["n"] for record in history.exchanges] == [3]
    assert len(history.turns) == 3


def test_undoing_past_what_was_dropped_leaves_an_empty_context():
    records = [HEADER, turn(), turn(), turn(dropped=2), {"record": "undo"}, {"record": "undo"}]
    history = fold(records, "s")
    assert (len(history.turns), history.exchanges) == (1, ())


@pytest.mark.parametrize(
    "broken", [{"record": "turn"}, {"record": "session"}, {"record": "open", "format": {}}]
)
def test_a_record_that_lacks_something_is_named_by_number_and_session(broken):
    with pytest.raises(CorruptStateError, match="Session s9, record 2"):
        fold([HEADER, broken], "s9")
