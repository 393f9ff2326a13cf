"""What there is for a question: in force, said by then, and not closed by then."""

import pytest

from anima.memory.ranking.roll import SOON, Roll

from ..asked import START, closing, line


def there(roll: Roll, hours: float | None = None) -> list[int]:
    from datetime import timedelta

    as_of = None if hours is None else START + timedelta(hours=hours)
    return roll.counts(as_of).nonzero()[0].tolist()


def filled() -> Roll:
    """Three lines at hours 1, 2, 5; the first was closed by the third."""
    roll = Roll()
    for record in (line(1), line(2), line(3, hours=5), closing(4, target=1, by=3, hours=5)):
        roll.add(record)
    return roll


def test_a_closed_line_is_there_only_for_questions_about_before() -> None:
    roll = filled()
    assert there(roll) == [2, 3]
    assert there(roll, 4.9) == [1, 2]
    assert there(roll, 5) == [2, 3]
    assert there(roll, 0.5) == []


def test_without_a_time_lines_whose_clock_was_ahead_count_too() -> None:
    roll = Roll()
    roll.add(line(1, hours=10**6))
    assert there(roll) == [1]
    assert there(roll, 10) == []


def test_what_a_closing_ended_holds_again_when_it_or_its_reason_is_taken_back() -> None:
    by_record, by_reason = filled(), filled()
    assert there(by_record) == there(by_reason) == [2, 3]
    by_record.drop(4)
    assert there(by_record) == [1, 2, 3]
    by_reason.drop(3)
    assert there(by_reason) == [1, 2]
    by_reason.add(line(3, hours=5))
    assert there(by_reason) == [2, 3]


def test_a_closing_of_what_is_gone_passes_to_what_that_had_closed() -> None:
    roll = filled()
    roll.drop(3)
    roll.add(line(5, hours=6))
    roll.add(closing(6, target=3, by=5, hours=6))
    assert there(roll) == [2, 5]


def test_thousands_of_lines_are_followed_and_forgotten_with_clear() -> None:
    roll = Roll()
    for seq in range(1, 3000):
        roll.add(line(seq))
    roll.drop(7)
    assert len(there(roll)) == 2998
    roll.clear()
    assert there(roll) == []
    roll.add(line(1))
    assert there(roll) == [1]


def test_no_line_comes_above_one_that_replaced_a_part_of_it() -> None:
    roll = Roll()
    for record in (line(1), line(2), line(3), line(4)):
        roll.add(record)
    roll.add(closing(5, target=1, by=3, hours=3, whole=False))
    roll.add(closing(6, target=3, by=4, hours=4, whole=False))
    counts = roll.counts(None)
    assert list(roll.newest_first([2, 1, 3, 4], counts, None)) == [2, 4, 3, 1]
    assert list(roll.newest_first([1, 2], counts, START)) == [1, 2]


def test_two_lines_that_closed_parts_of_each_other_come_each_once() -> None:
    roll = Roll()
    for record in (line(1), line(2)):
        roll.add(record)
    roll.add(closing(3, target=1, by=2, hours=3, whole=False))
    roll.add(closing(4, target=2, by=1, hours=4, whole=False))
    assert sorted(roll.newest_first([1, 2], roll.counts(None), None)) == [1, 2]


def replies(*said: tuple[str, str, float]) -> list[tuple[int, int]]:
    """The replies and questions among lines of a role, a text and so many seconds."""
    roll = Roll()
    for seq, (role, text, seconds) in enumerate(said, 1):
        roll.add(line(seq, text, hours=seconds / 3600, role=role))
    return list(zip(*(each.tolist() for each in roll.replies()), strict=True))


@pytest.mark.parametrize(
    "asked", ["Your dog?", "And your dog? :)", "“Your dog?”", "Hi. Your dog?!"]
)
def test_what_is_said_to_somebody_elses_question_is_a_reply(asked: str) -> None:
    assert replies(("assistant", asked, 0), ("user", "Bo.", SOON)) == [(2, 1)]


@pytest.mark.parametrize(
    "said",
    [
        [("assistant", "Your dog? I see.", 0), ("user", "Bo.", 1)],
        [("assistant", "Yes. " * 50 + "Your dog?", 0), ("user", "Bo.", 1)],
        [("assistant", "Your dog?", 0), ("user", "Bo.", SOON + 1)],
        [("assistant", "Your dog?", 0), ("user", "Bo.", -1)],
        [("user", "My dog?", 0), ("user", "Bo.", 1)],
        [("assistant", "Your dog?", 0), ("assistant", "Or cat.", 1), ("user", "Bo.", 2)],
    ],
    ids=["tells", "long", "late", "before", "own question", "a line between"],
)
def test_anything_else_is_none(said: list[tuple[str, str, float]]) -> None:
    assert replies(*said) == []


def test_the_speakers_of_a_transcript_are_told_apart_by_their_names() -> None:
    assert replies(("user", "Ann: Your dog?", 0), ("user", "Bo Lee: Rex.", 1)) == [(2, 1)]
    assert replies(("user", "Ann: Your dog?", 0), ("user", "Ann: Rex?", 1)) == []


def test_a_question_that_was_dropped_has_no_reply_until_it_is_back() -> None:
    roll = Roll()
    question, reply = line(1, "Your dog?", hours=0, role="assistant"), line(2, "Bo.", hours=0)
    for each in (question, reply):
        roll.add(each)
    roll.drop(1)
    assert roll.replies()[0].size == 0
    roll.add(question)
    assert roll.replies()[0].tolist() == [2]


def test_nothing_of_a_name_is_left_in_the_roll() -> None:
    roll = Roll()
    roll.add(line(1, "Hunter Two: do not tell"))
    roll.drop(1)
    assert "Hunter" not in repr(roll)
