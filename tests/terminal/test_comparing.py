import pytest

from anima.errors import StateError, UsageError
from anima.terminal import comparing
from tests.terminal.scripted import ScriptedRuntime
from tests.terminal.test_commands import Room


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("temperature=0 top_p=0.5", ([{"temperature": 0.0}, {"top_p": 0.5}], "")),
        ("temperature=1.2,top_p=0.8 Hi", ([{}, {"temperature": 1.2, "top_p": 0.8}], "Hi")),
        ("a=1 b=2 c=3  is\nit", ([{"a": 1.0}, {"b": 2.0}], "c=3  is\nit")),
    ],
)
def test_what_is_compared(argument: str, expected: object) -> None:
    assert comparing.parsed(argument) == expected


@pytest.mark.parametrize("argument", ["", "Hello", "temperature=warm Hello", "temperature="])
def test_what_cannot_be_compared_gets_an_example(argument: str) -> None:
    with pytest.raises(UsageError, match=r"/compare temperature=0 temperature=1\.2"):
        comparing.parsed(argument)


def room(*replies: str, width: int = 80) -> Room:
    room = Room(ScriptedRuntime(heard=["Where to?"], replies=list(replies)))
    room.width = width
    return room


def test_both_answer_the_last_message_with_its_seed_or_another_and_nothing_is_kept() -> None:
    here = room("one", "two")
    here.do("/compare temperature=0 seed=3,temperature=1")
    assert here.runtime.previews == [
        {"text": None, "seed": 7, "temperature": 0.0},
        {"text": None, "seed": 3, "temperature": 1.0},
    ]
    assert (here.runtime.heard, here.runtime.committed) == (["Where to?"], 0)


def test_another_text_is_answered_with_the_next_seed() -> None:
    here = room("one", "two")
    here.do("/compare temperature=0 temperature=1 What now?")
    assert [(each["text"], each["seed"]) for each in here.runtime.previews] == [
        ("What now?", 1),
        ("What now?", 1),
    ]


def test_in_a_narrow_window_they_stream_one_after_the_other() -> None:
    shown = room("one", "two").do("/compare temperature=1").splitlines()
    assert [line for line in shown if line[0] in "ABR"] == [
        "A: as it is now", "Replied", "B: temperature=1", "Replied",
    ]  # fmt: skip


def test_in_a_wide_window_they_stand_side_by_side() -> None:
    shown = room("one\nmore", "two", width=100).do("/compare temperature=0 temperature=1")
    assert shown.splitlines()[1:] == [
        f"{left:48} │ {right}".rstrip()
        for left, right in (
            ("A: temperature=0", "B: temperature=1"),
            ("", ""),
            ("one", "two"),
            ("more", ""),
            ("", "1 token · context 13/2048"),
            ("1 token · context 13/2048", ""),
        )
    ]


def test_where_features_are_shown_they_stream_one_after_the_other_in_any_window() -> None:
    here = room("one", "two", width=120)
    here.from_inside = True
    assert "│" not in here.do("/compare temperature=0 temperature=1")


@pytest.mark.parametrize("width", [80, 120])
def test_stopping_the_first_leaves_the_second_out(width: int) -> None:
    here = room("one two", "three", width=width)
    here.runtime.before_token = lambda n: here.runtime.stop() if n else None
    shown = here.do("/compare temperature=0 temperature=1")
    assert "B:" not in shown
    assert here.runtime.replies == ["three"]


def test_a_setting_that_does_not_exist_runs_nothing() -> None:
    here = room("one", "two")
    with pytest.raises(UsageError, match="Did you mean temperature"):
        here.do("/compare temprature=0 temperature=1")
    assert here.runtime.previews == []


def test_without_a_message_one_has_to_be_given() -> None:
    with pytest.raises(StateError, match="no message to compare with yet; give one: /compare"):
        Room().do("/compare temperature=0")
