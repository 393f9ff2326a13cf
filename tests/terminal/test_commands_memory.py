"""The commands about memory, over a real runtime: a tiny Llama and a real ledger."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tiny
from runtime_rig import wake

from anima.errors import StateError, UsageError
from anima.events import Recalled, Remembered
from anima.memory import Memory
from anima.memory.ranking.hybrid import HybridRecall
from anima.terminal import commands, toolbar, turns
from tests.terminal.room import Room

Rooms = Callable[..., Room]
TOLD = (
    "My sister is called Clara.",
    "The attic is cold.",
    "I work as a bridge engineer in Lisbon.",
)


def clock() -> Callable[[], datetime]:
    """Noon, and a minute more whenever it is read; the times shown are those of this machine."""
    minutes = iter(range(10_000))
    return lambda: tiny.NOON.astimezone(UTC) + timedelta(minutes=next(minutes))


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "memory.json", clock=clock(), recall=HybridRecall()) as opened:
        yield opened


@pytest.fixture
def room(memory: Memory) -> Rooms:
    def made(*told: str, **settings: Any) -> Room:
        for text in told or TOLD:
            memory.put(None, text, {"session": "earlier", "turn": 1})
        model = tiny.loaded(window=4096)
        return Room(wake(loaded=model, remembering=memory, max_tokens=6, **settings))

    return made


def plain(text: str) -> str:
    """What was said with times and anchors out of it."""
    text = re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?", "DAY", text)
    return re.sub(r"\b[0-9a-f]{16}\b", "ANCHOR", text)


def test_memory_shows_how_much_where_and_the_last_lines(room: Rooms) -> None:
    assert plain(room().do("/memory")) == (
        "lines   3 in force, 3 records in the chain\n"
        "ledger  memory.json, in clear\n"
        "head    ANCHOR\n"
        "seal    none: anima memory seal makes one\n"
        "\n"
        "#3  DAY  user  I work as a bridge engineer in Lisbon.\n"
        "#2  DAY  user  The attic is cold.\n"
        "#1  DAY  user  My sister is called Clara.\n"
    )


def test_memory_verify_walks_over_the_chain_and_compares_with_the_seal(
    room: Rooms, memory: Memory
) -> None:
    here = room()
    assert plain(here.do("/memory verify")) == (
        "The chain is whole: 3 records, head ANCHOR. There is no seal to\n"
        "compare with: anima memory seal makes one.\n"
    )
    memory.seal()
    memory.put(None, "One more.")
    assert "It is the one that was sealed, with 1 record since." in " ".join(
        here.do("/memory verify").split()
    )
    assert "1 record since; /memory verify compares" in here.do("/memory")
    with pytest.raises(UsageError, match="nothing or the word verify"):
        here.do("/memory all")


def test_recall_shows_the_best_lines_and_whether_they_answer(room: Rooms) -> None:
    here = room()
    answered = here.do("/recall What is my sister called?")
    first = answered.splitlines()[0]
    assert re.fullmatch(r"\d\.\d\d  #1  \S+ \S+  user  My sister is called Clara\.", first)
    unknown = here.do("/recall quantum chromodynamics")
    assert unknown.startswith("The memory does not know that.")
    with pytest.raises(UsageError, match="/recall TEXT"):
        here.do("/recall")


def test_remember_puts_a_line_in_and_says_what_became_of_it(room: Rooms, memory: Memory) -> None:
    here = room()
    assert here.do("/remember The spare key is under the blue pot.") == (
        "Remembered: your words, as #4.\n"
    )
    line = memory.peek()[0]
    assert (line.text, line.role) == ("The spare key is under the blue pot.", "user")
    assert line.context == {"session": "s1", "said": "/remember"}
    again = here.do("/remember The spare key is under the blue pot.")
    assert again == "Known already: your words say what #4 says.\n"
    assert here.do("/remember Ok, thanks!") == "Not kept: your words say nothing to remember.\n"
    with pytest.raises(UsageError, match="/remember TEXT"):
        here.do("/remember  ")


def test_forget_takes_a_line_out_by_number_or_anchor_and_leaves_it_in_the_chain(
    room: Rooms, memory: Memory
) -> None:
    here = room()
    assert here.do("/forget 2") == (
        "Not recalled any more: #2 “The attic is cold.”. It stays in the chain; /forget 2\n"
        "--erase erases what it says.\n"
    )
    here.do(f"/forget {memory.line(1).short}")
    assert [line.seq for line in memory.peek(9)] == [3]
    assert memory.line(2).text == "The attic is cold."
    for wrong in ("", "99", "nonsense", "1 --now"):
        with pytest.raises(UsageError):
            here.do(f"/forget {wrong}")


def test_forget_erase_asks_first_and_then_leaves_only_the_anchor(
    room: Rooms, memory: Memory
) -> None:
    here = room()
    asked = here.do("/forget #1 --erase")
    assert "would be erased for good" in asked
    assert "/forget 1 --erase yes" in " ".join(asked.split())
    assert memory.line(1).text == "My sister is called Clara."
    assert here.do("/forget 1 --erase yes") == "Erased: #1. The chain goes on verifying.\n"
    assert memory.line(1).content is None
    assert memory.verify().whole


@pytest.mark.parametrize("flag", ["", " --erase", " --erase yes"])
def test_forget_refuses_a_record_at_once_and_says_what_it_is(
    room: Rooms, memory: Memory, flag: str
) -> None:
    memory.put(None, "The door is green.", {})
    memory.forget(1)
    here = room()
    with pytest.raises(UsageError, match=r"#2 is no line that anybody said, but a record .*forget"):
        here.do(f"/forget 2{flag}")
    assert here.err.getvalue() == ""


def test_why_begins_with_what_was_recalled_with_its_scores(room: Rooms) -> None:
    here = room()
    here.runtime.say("What is my sister called?")
    told = here.do("/why")
    assert told.startswith("Recalled, and quoted before your text:\n")
    first, terms = told.splitlines()[1:3]
    assert first.endswith("user  My sister is called Clara.")
    assert re.match(r"  #1: bm25 \d+\.\d\d, ", terms)
    here.runtime.say("How tall is the Eiffel tower?")
    assert here.do("/why").startswith("Nothing was recalled.\n")


def test_without_a_memory_the_commands_say_so_and_why_says_nothing_of_it() -> None:
    here = Room(wake(max_tokens=6))
    here.runtime.say("Hello")
    for line in ("/memory", "/recall x", "/remember x", "/forget 1"):
        with pytest.raises(StateError, match="The memory is off"):
            here.do(line)
    assert "ecalled" not in here.do("/why")
    assert list(commands.completions(here, "/forget ").choices) == []


def test_completion_offers_the_newest_lines_with_what_they_say(room: Rooms) -> None:
    here = room()
    offered = commands.completions(here, "/forget ").choices
    assert [each.text for each in offered] == ["3", "2", "1"]
    assert [each.text for each in commands.completions(here, "/memory ").choices] == ["verify"]
    here.awake = None
    assert list(commands.completions(here, "/forget ").choices) == []


def test_the_toolbar_says_how_many_lines_there_are(room: Rooms) -> None:
    assert ("memory", "3") in toolbar.facts(room().runtime, "default", None)
    assert "memory" not in [name for name, _ in toolbar.facts(wake(), "default", None)]


def test_one_line_says_what_was_recalled_within_the_window() -> None:
    line = {"seq": 1, "text": "My sister is called Clara. " * 9, "timestamp": "2026-11-20T10:00"}
    one = Recalled(lines=({**line, "text": "My sister is called Clara."},), abstained=False)
    assert turns.recalled(one) == "recalled 1: “My sister is called Clara.” (2026-11-20)"
    two = turns.recalled(Recalled(lines=(line, line), abstained=False), 60)
    assert two.startswith("recalled 2: “My sister is called Clara.")
    assert two.endswith("” (2026-11-20) …")
    assert len(two) <= 60


def test_only_what_took_the_place_of_something_is_said_of_what_was_remembered() -> None:
    line = {"seq": 7, "anchor": "f" * 64, "role": "user", "decision": "insert", "target": None}
    told = {4: "I live in\nthe old house by the harbour, up the stairs."}
    assert turns.replaced(Remembered(lines=({**line, "closed": []},)), told.__getitem__) is None
    closing = Remembered(lines=({**line, "decision": "close", "closed": [4]},))
    assert turns.replaced(closing, told.__getitem__) == (
        "remembered: #7 takes the place of #4 “I live in the old house by the harbour,…”"
    )
