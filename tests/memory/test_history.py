"""What is in force after any records is what a slow and plain account of them says."""

from hypothesis import given
from hypothesis import strategies as st

from anima.memory.history import History
from anima.memory.line import ERASE, FORGET, LINE, POP, REWIND

Record = tuple[int, str, int]

steps = st.lists(
    st.tuples(
        st.sampled_from([LINE, LINE, LINE, POP, REWIND, FORGET, ERASE, "close"]), st.floats(0, 1)
    ),
    max_size=40,
)


def plainly(records: list[Record]) -> set[int]:
    """The lines in force, by making the path anew after every record."""
    paths: list[list[Record]] = [[]]
    for record in records:
        _, kind, target = record
        paths.append(list(paths[target]) if kind == REWIND else [*paths[-1], record])
    lines: set[int] = set()
    hidden: set[int] = set()
    for seq, kind, target in paths[-1]:
        if kind == LINE:
            lines.add(seq)
        elif kind == FORGET:
            hidden.add(target)
        elif kind == POP:
            hidden |= {each for each in lines if each >= target}
    erased = {target for _, kind, target in records if kind == ERASE}
    return lines - hidden - erased


@given(steps)
def test_history_agrees_with_a_plain_account_of_it(drawn):
    history, records = History(), []
    told: set[int] = set()
    for seq, (kind, share) in enumerate(drawn, 1):
        target = 0 if kind in (LINE, "close") else int(share * (seq - 1))
        if kind == ERASE and (target == 0 or history.kind(target) != LINE):
            kind, target = LINE, 0
        records.append((seq, kind, target))
        touched = history.add(kind, target)
        # Who follows only what was touched knows everything.
        told = {each for each in told | touched if history.in_force(each)}

        expected = plainly(records)
        assert list(history.newest()) == sorted(expected, reverse=True)
        assert {each for each in told if history.kind(each) == LINE} == expected


def test_ten_thousand_rewinds_are_a_loop():
    history = History()
    for _ in range(100):
        history.add(LINE, 0)
    for at in range(10_000):
        history.add(REWIND, at % 101)

    assert history.count == 10_100
    assert len(list(history.newest())) == 9_999 % 101
