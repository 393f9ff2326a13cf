"""The memory does the same over every ledger, and what it acknowledged is there when it opens again."""

import asyncio
import io
import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from anima.errors import (
    ChainBroken,
    CorruptStateError,
    HeadMoved,
    NewerVersionError,
    StateError,
    TailMissing,
    UsageError,
)
from anima.memory import AsyncMemory, Memory, Said, check
from anima.memory.ledgers.ledger import Change, Entry, opened

from .conftest import Ticking
from .samples import lived, observe


def texts(memory: Memory) -> list[str]:
    """What is in force, oldest first."""
    return [line.text for line in memory.peek(memory.count)][::-1]


def test_what_was_put_is_there_when_it_opens_again(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with Memory.open(path, clock=clock) as memory:
        first = observe(memory)
        assert texts(memory) == ["My name is Ada", "Tomorrow I fly to Rome"]
    with Memory.open(path, clock=clock) as memory:
        assert observe(memory) == first
        line = memory.line(1)
        assert (line.role, line.context, line.valence) == (
            "user",
            {"session": "s1", "turn": 1},
            0.5,
        )
        assert line.novelty == 1.0
        assert line.key is not None
        assert line.key.tolist() == [1.0, 0.0]
        assert memory.find(line.short) == memory.find(line.anchor) == 1


def test_pop_and_rewind_are_records_and_can_be_undone(memory: Memory) -> None:
    for word in ("one", "two", "three"):
        memory.put(None, word)

    assert [line.text for line in memory.pop(2)] == ["three", "two"]
    assert texts(memory) == ["one"]
    memory.put(None, "four")
    memory.rewind(3)
    assert texts(memory) == ["one", "two", "three"]
    memory.rewind(5)
    assert texts(memory) == ["one", "four"]
    memory.rewind(0)
    assert texts(memory) == []
    assert memory.verify().whole
    assert memory.count == 8


def test_a_pop_of_more_than_there_is_takes_all_and_of_nothing_leaves_no_record(
    memory: Memory,
) -> None:
    memory.put(None, "one")

    assert memory.pop(0) == []
    assert len(memory.pop(5)) == 1
    assert memory.pop() == []
    assert memory.count == 2


def test_ten_thousand_rewinds_leave_a_chain_that_verifies(memory: Memory, clock: Ticking) -> None:
    from anima.memory.book import Draft
    from anima.memory.line import content_of, header_of

    for at in range(10):
        memory.put(None, f"line {at}")
    rewinds = [
        Draft(
            header=header_of(kind="rewind", role="", timestamp=clock(), target=(at + 5) % 11),
            content=content_of(),
        )
        for at in range(10_000)
    ]
    memory.commit(rewinds)

    assert memory.verify().count == 10_010
    assert texts(memory) == [f"line {at}" for at in range(5)]


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_ten_thousand_rewinds_one_by_one_and_an_opening_end_where_they_should(
    shelf: Path, clock: Ticking
) -> None:
    path = shelf / "memory.sqlite"
    with Memory.open(path, clock=clock) as memory:
        for at in range(10):
            memory.put(None, f"line {at}")
        for at in range(10_000):
            memory.rewind((at + 5) % 11)
    with Memory.open(path, clock=clock) as memory:
        assert memory.verify().whole
        assert memory.count >= 10_000
        assert texts(memory) == [f"line {at}" for at in range(5)]


def test_forgetting_hides_and_erasing_removes_while_the_chain_verifies(
    memory: Memory, path: Path, clock: Ticking
) -> None:
    memory.put([1, 0], "a secret nobody should find")
    memory.put([1, 0], "kept")
    memory.forget(2)
    anchor = memory.line(1).anchor
    memory.erase(anchor)

    assert texts(memory) == []
    assert memory.query([1, 0]) == []
    memory.rewind(2)
    assert texts(memory) == ["kept"]
    line = memory.line(1)
    assert (line.anchor, line.content, line.text) == (anchor, None, "")
    verdict = memory.verify()
    assert verdict.whole
    assert verdict.erased == 1
    memory.close()
    for file in path.parent.iterdir():
        assert b"nobody should find" not in file.read_bytes(), file.name
    with Memory.open(path, clock=clock) as again:
        assert texts(again) == ["kept"]


def test_a_line_that_should_follow_another_than_the_head_is_refused(memory: Memory) -> None:
    first = memory.put(None, "one")
    memory.put(None, "two", prev_anchor=first[:16])

    with pytest.raises(HeadMoved, match=first[:16]):
        memory.put(None, "three", prev_anchor=first)
    assert memory.count == 2


def test_a_commit_is_whole_or_not_at_all(memory: Memory) -> None:
    memory.put([1, 0], "one")
    good, bad = memory.draft([0, 1], "two"), memory.draft(None, ("three", [1.0]))
    wrong = memory.draft(None, ("four", [1.0, 2.0]))

    with pytest.raises(UsageError, match="value has 2 numbers"):
        memory.commit([good, bad, wrong])
    assert memory.count == 1
    assert [line.seq for line in memory.commit([good, bad])] == [2, 3]


def test_wrong_widths_are_refused_by_name(memory: Memory) -> None:
    memory.put([1, 0, 0], "one")

    with pytest.raises(UsageError, match="2 numbers"):
        memory.put([1, 0], "two")
    with pytest.raises(UsageError, match="2 numbers"):
        memory.query([1, 0])
    with pytest.raises(UsageError, match="nan"):
        memory.query([1, 0, float("nan")])


@pytest.mark.parametrize("value", ["", " \n"])
def test_an_empty_text_is_refused(plain: Memory, value: str) -> None:
    with pytest.raises(UsageError, match="nothing to remember"):
        plain.put(None, value)


def test_a_text_of_ten_megabytes_is_kept_whole(memory: Memory) -> None:
    text = "Grüße! " * 1_300_000
    memory.put(None, text)

    assert memory.line(1).text == text
    assert memory.verify().whole


def test_a_changed_chain_key_is_a_record_and_the_chain_goes_on(path: Path, clock: Ticking) -> None:
    with Memory.open(path, clock=clock) as memory:
        memory.put(None, "before")
        memory.change_chain_key()
        memory.put(None, "after")
        memory.change_chain_key()
    with Memory.open(path, clock=clock) as memory:
        memory.put(None, "later")
        assert memory.verify().whole
        assert [line.kind for line in memory.lines()] == ["line", "epoch", "line", "epoch", "line"]


def test_a_lost_key_file_is_named(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    path.with_name(path.name + ".key").unlink()

    with pytest.raises(StateError, match=r"chain key .* is missing"):
        Memory.open(path, clock=clock)


def test_a_lost_ledger_is_named_and_not_begun_anew(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    path.unlink()

    with pytest.raises(CorruptStateError, match="is gone"):
        Memory.open(path, clock=clock)


def test_a_seal_shows_a_shorter_and_another_chain(path: Path, clock: Ticking) -> None:
    with Memory.open(path, clock=clock) as memory:
        memory.put(None, "one")
        assert memory.verify().pinned == "none"
        memory.put(None, "two")
        seal = memory.seal()
        assert (seal.count, seal.head) == (2, memory.head)
        memory.put(None, "three")
        assert (memory.verify().pinned, memory.verify().unpinned) == ("matches", 1)
        memory.roll_back(1)
        assert memory.verify().pinned == "missing"
        memory.put(None, "another two")
        verdict = memory.verify()
        assert (verdict.pinned, verdict.whole, verdict.broken) == ("differs", False, None)
        assert memory.verify(expect=memory.seal(path.parent / "elsewhere.json")).whole


def test_a_roll_back_takes_what_was_never_committed_away(memory: Memory) -> None:
    memory.put([1, 0], "one")
    memory.put([0, 1], "two")
    memory.roll_back(1)

    assert texts(memory) == ["one"]
    assert [hit.line.seq for hit in memory.query([0, 1])] == [1]
    memory.put([0, 1], "other")
    assert memory.verify().whole
    with pytest.raises(TailMissing, match="says that it has 9 lines, and 2 are there"):
        memory.roll_back(9)


@pytest.mark.parametrize("part", ["header", "digest", "anchor", "content", "gone"])
def test_a_tampered_line_is_named(path: Path, clock: Ticking, part: str) -> None:
    lived(path, clock)
    with opened(path, Change) as ledger:
        tamper(ledger.entry(3), part, ledger)

    verdict = check(path)
    assert verdict.broken == 3
    assert not verdict.whole
    with pytest.raises(ChainBroken, match="Line 3 "):
        Memory.open(path, clock=clock)


def tamper(entry: Entry | None, part: str, ledger: object) -> None:
    assert entry is not None
    rows = [entry, *ledger.entries(4)]
    if part == "content":
        rows[0] = Entry(3, entry.header, entry.digest, entry.anchor, rows[-1].content)
    elif part == "gone":
        rows[0] = Entry(3, entry.header, entry.digest, entry.anchor, None)
    elif part == "header":
        rows[0] = Entry(3, rows[1].header, entry.digest, entry.anchor, entry.content)
    else:
        given = {"digest": entry.digest, "anchor": entry.anchor, part: bytes(32)}
        rows[0] = Entry(3, entry.header, given["digest"], given["anchor"], entry.content)
    ledger.write(Change(keep=2, entries=rows))


def test_lines_gone_from_the_end_are_counted(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with opened(path, Change) as ledger:
        ledger.write(Change(keep=5))

    with pytest.raises(TailMissing, match="has 6 lines, and 5 are there"):
        Memory.open(path, clock=clock)
    assert check(path).broken == 6


def test_a_ledger_from_a_newer_version_is_named(path: Path, clock: Ticking) -> None:
    lived(path, clock)
    with opened(path, Change) as ledger:
        ledger.write(Change(meta={"schema": "2"}))

    with pytest.raises(NewerVersionError, match="schema 2"):
        Memory.open(path, clock=clock)


def test_a_clock_that_goes_backwards_breaks_nothing(path: Path) -> None:
    times = iter(datetime(2026, 1, 1, 20 - hour, tzinfo=UTC) for hour in range(20))
    with Memory.open(path, clock=lambda: next(times)) as memory:
        memory.put([1, 0], "one")
        memory.put([1, 0], "two")
        memory.pop()
        assert texts(memory) == ["one"]
        assert memory.query([1, 0])[0].line.text == "one"
        assert memory.verify().whole


def test_many_threads_put_at_once_and_no_line_is_lost(memory: Memory) -> None:
    def put(name: int) -> None:
        for at in range(10):
            memory.put([1.0, float(name)], f"{name}-{at}")
            memory.query([1.0, 1.0])

    threads = [threading.Thread(target=put, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(texts(memory)) == sorted(f"{name}-{at}" for name in range(6) for at in range(10))
    assert memory.verify().whole


def test_the_async_memory_does_the_same(path: Path, clock: Ticking) -> None:
    async def live() -> None:
        async with await AsyncMemory.open(path, clock=clock) as memory:
            await asyncio.gather(*(memory.put([1.0, at], str(at)) for at in range(5)))
            assert len(await memory.peek(9)) == 5
            assert len(await memory.query([1.0, 0.0], 2)) == 2
            assert (await memory.bias_vector([1.0, 0.0])).shape == (0,)
            await memory.pop()
            await memory.rewind(1)
            await memory.forget(1)
            await memory.erase(2)
            assert (await memory.seal()).count == (await memory.verify()).count == 9

    asyncio.run(live())


def test_a_closed_memory_says_so(path: Path, clock: Ticking) -> None:
    memory = Memory.open(path, clock=clock)
    memory.close()
    memory.close()

    with pytest.raises(StateError, match="closed"):
        memory.put(None, "late")


def test_unknown_lines_are_refused_by_name(plain: Memory) -> None:
    plain.put(None, "one")
    plain.forget(1)

    for unknown in (0, 3, -1, "ffffffffffffffff", "", "one"):
        with pytest.raises(UsageError, match="no line"):
            plain.line(unknown)
    with pytest.raises(UsageError, match="must stay"):
        plain.erase(2)
    with pytest.raises(UsageError, match="no line 7"):
        plain.rewind(7)


def test_an_export_says_everything_and_can_be_read_in(
    plain: Memory, shelf: Path, clock: Ticking
) -> None:
    plain.put([1, 0], ("Grüße", [0.5]), {"turn": 1}, role="assistant", valence=-0.25)
    plain.put(None, "two")
    plain.pop()
    plain.put(None, "gone")
    plain.erase(4)
    assert plain.export(shelf / "out.jsonl") == 5
    rows = [json.loads(row) for row in (shelf / "out.jsonl").read_bytes().splitlines()]
    assert [row["in_force"] for row in rows] == [True, False, True, False, True]
    content = (shelf / "out.jsonl").read_bytes()

    again = plain.import_lines(io.BytesIO(content), "out")
    assert (again.lines, again.known, plain.count) == ((), (1,), 5)
    with Memory.open(shelf / "other" / "memory.sqlite", clock=clock) as other:
        other.import_lines(io.BytesIO(content), "out")
        assert texts(other) == ["Grüße"]
        line = other.line(1)
        assert (line.timestamp, line.role) == (plain.line(1).timestamp, "assistant")
        assert (line.context, line.valence) == ({"turn": 1}, -0.25)
        assert np.array_equal(line.value, [0.5])


def exported(memory: Memory, path: Path) -> bytes:
    memory.export(path)
    return path.read_bytes()


def test_an_export_that_is_read_in_twice_adds_nothing_the_second_time(
    plain: Memory, shelf: Path, clock: Ticking
) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    plain.put(None, "Ada lives in Paris.", {"turn": 1}, timestamp=at)
    plain.put(None, "Ada lives in Paris.", {"turn": 1}, timestamp=at)  # said twice in one moment
    plain.put(None, "Ada lives in Paris.", {"turn": 2}, timestamp=at)
    plain.put([1, 0], [0.5, 1.5], role="assistant")
    content = exported(plain, shelf / "out.jsonl")
    with Memory.open(shelf / "other" / "memory.sqlite", clock=clock) as other:
        other.put(None, "An earlier line.")
        first = other.import_lines(io.BytesIO(content), "out")
        assert ([line.seq for line in first.lines], first.known) == ([2, 3, 4, 5], ())
        second = other.import_lines(io.BytesIO(content), "out")
        assert (second.lines, second.known, other.count) == ((), (2, 3, 4, 5), 5)

        plain.put(None, "And in Rome.")
        third = other.import_lines(io.BytesIO(exported(plain, shelf / "more.jsonl")), "more")
        assert [line.text for line in third.lines] == ["And in Rome."]
        assert third.known == (2, 3, 4, 5)


@pytest.mark.parametrize(
    "other",
    [
        {"text": "Ada lives in Rome."},
        {"role": "assistant"},
        {"timestamp": "2026-03-01T00:00:00.000001Z"},
        {"context": {"turn": 2}},
        {"value": [1.0]},
    ],
)
def test_a_line_that_differs_in_what_was_said_or_by_whom_or_when_is_another_one(
    plain: Memory, other: dict[str, object]
) -> None:
    line = {
        "text": "Ada lives in Paris.", "role": "user", "timestamp": "2026-03-01T01:00:00+01:00",
        "context": {"turn": 1}, "novelty": 0.5,
    }  # fmt: skip
    plain.import_lines(io.BytesIO(json.dumps(line).encode()), "in")
    both = [{**line, **other}, {**line, "timestamp": "2026-03-01T00:00:00Z", "novelty": 0.25}]
    content = "".join(json.dumps(each) + "\n" for each in both).encode()

    found = plain.import_lines(io.BytesIO(content), "in")

    assert ([each.seq for each in found.lines], found.known) == ([2], (1,))


def test_what_was_forgotten_or_erased_here_stays_so_when_it_is_read_in_again(
    plain: Memory, shelf: Path, clock: Ticking
) -> None:
    for text in ("one", "two", "three"):
        plain.put(None, text)
    content = exported(plain, shelf / "out.jsonl")
    plain.forget(1)
    plain.erase(2)
    assert plain.import_lines(io.BytesIO(content), "out").known == (1, 2, 3)
    assert texts(plain) == ["three"]
    with Memory.open(shelf / "other" / "memory.sqlite", clock=clock) as other:
        other.import_lines(io.BytesIO(content), "out")
        other.forget(1)
        assert other.import_lines(io.BytesIO(content), "out").lines == ()
        assert texts(other) == ["two", "three"]


def test_closings_and_merges_are_read_in_once(plain: Memory, shelf: Path, clock: Ticking) -> None:
    for month, text in ((1, "I live in Paris."), (2, "I live in Paris."), (5, "I moved to Rome.")):
        plain.race([Said(text=text, role="user", timestamp=datetime(2026, month, 1, tzinfo=UTC))])
    content = exported(plain, shelf / "out.jsonl")
    with Memory.open(shelf / "other" / "memory.sqlite", clock=clock) as other:
        other.put(None, "An earlier line.")
        other.import_lines(io.BytesIO(content), "out")
        before = other.count
        assert [line.kind for line in other.lines()].count("close") == 1
        assert other.import_lines(io.BytesIO(content), "out").lines == ()
        assert other.count == before


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'{"text": "fine"}\n\xff\xfe\n', "in, line 2 is not UTF-8"),
        (b'{"text": "fine"}\n{"text": \n', "in, line 2 is not JSON"),
        (b"[1]", "line 1 is not an object"),
        (b'{"txet": "x"}', "unknown field 'txet'"),
        (b'{"text": ""}', "line 1: There is nothing to remember"),
        (b'{"text": 3}', "text is 3"),
        (b'{"text": "x", "timestamp": "yesterday"}', "no time"),
        (b'{"text": "x", "timestamp": "2026-13-01"}', "no time"),
        (b'{"text": "x", "key": [1, "a"]}', "no vector"),
        (b'{"text": "a\\ud800"}', "not valid Unicode"),
        (b"[" * 100_000, "line 1 is nested too deeply"),
    ],
)
def test_a_wrong_line_in_an_import_is_named_and_nothing_is_taken(
    plain: Memory, content: bytes, named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        plain.import_lines(io.BytesIO(content), "in")
    assert plain.count == 0


def test_an_imported_line_that_claims_an_existing_anchor_is_refused(plain: Memory) -> None:
    anchor = plain.put(None, "what was said")
    claim = json.dumps({"text": "what was never said", "anchor": anchor}).encode()

    with pytest.raises(UsageError, match=f"claims the anchor {anchor[:16]}"):
        plain.import_lines(io.BytesIO(claim), "in")
    assert plain.count == 1
