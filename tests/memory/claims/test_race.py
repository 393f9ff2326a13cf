"""What is said races: new lines, merges, closings and skips, whole or not at all, and all undone."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anima.errors import StorageError, UsageError
from anima.memory import Decision, Memory, Said
from anima.memory.line import CLOSE, LINE, MERGE, RACE

from ..conftest import Ticking

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def say(memory: Memory, *texts: str, role: str = "user") -> Sequence[Decision]:
    return [memory.race([Said(text=text, role=role)])[0] for text in texts]


def kinds(decisions: Sequence[Decision]) -> list[str]:
    return [each.kind for each in decisions]


def open_texts(memory: Memory, when: datetime | None = None) -> list[str]:
    return [line.text for line in memory.as_of(when or datetime(2100, 1, 1, tzinfo=UTC))]


def test_every_kind_of_decision_is_the_same_in_every_ledger_and_after_opening_again(
    path: Path, clock: Ticking
) -> None:
    with Memory.open(path, clock=clock) as memory:
        decisions = say(
            memory,
            "I live in Oslo.",
            "ok thanks",
            "my home is in Oslo",
            "I moved to Bergen.",
            "It rained all day.",
        )
        assert kinds(decisions) == ["insert", "skip", "merge", "close", "insert"]
        assert [line.kind for line in memory.lines()] == [LINE, RACE, MERGE, LINE, CLOSE, LINE]
        assert (decisions[2].target, decisions[3].closed) == (1, (1,))
        assert memory.verify().whole
        before = open_texts(memory)
    with Memory.open(path, clock=clock) as memory:
        assert open_texts(memory) == before == ["I moved to Bergen.", "It rained all day."]
        assert [each.value for each in memory.history("user", "home")] == ["oslo", "bergen"]


def test_a_closing_says_when_by_what_and_why(plain: Memory) -> None:
    _, decision = say(plain, "My locker number is 42.", "My locker number is 57 now.")
    record = plain.line(decision.records[1])

    assert decision.line is not None
    assert record.header.target == 1
    assert record.timestamp == decision.line.timestamp
    assert record.context == {
        "by": decision.line.seq,
        "slots": [["user", "locker number"]],
        "whole": True,
        "race": {
            "winner": "close",
            "candidates": {"close": 1.0, "insert": 0.0},
            "by": "rules",
            "reason": "it says otherwise of user: locker number",
        },
    }


def test_a_merge_keeps_the_words_the_time_and_the_context_as_they_came(plain: Memory) -> None:
    plain.race([Said(text="I live in Oslo.")])
    context = {"session": "s2", "turn": 3}
    said = Said(text="i live in oslo", timestamp=NOON + timedelta(days=900), context=context)
    (decision,) = plain.race([said])
    record = plain.line(decision.records[0])

    assert (record.kind, record.text, record.role) == (MERGE, "i live in oslo", "user")
    assert record.timestamp == said.timestamp
    assert record.context["context"] == context
    assert record.key is None


def test_what_is_said_again_in_its_session_is_skipped_and_in_another_merged(plain: Memory) -> None:
    told = [
        Said(text="The sky is on fire", context={"session": session, "turn": turn})
        for session, turn in [("a", 1), ("a", 2), ("b", 1)]
    ]

    assert kinds(plain.race(told[:1])) == ["insert"]
    assert kinds(plain.race(told[1:])) == ["skip", "merge"]


def test_what_a_transcript_has_others_say_closes_nothing(plain: Memory) -> None:
    said = [
        "I live in Oslo.",
        "Bo: I live in Bonn.",
        "Ann: I live in Rome now.",
        "Bo: I moved to Ulm.",
    ]
    assert kinds(say(plain, *said)) == ["insert"] * 4
    assert open_texts(plain) == said
    (decision,) = say(plain, "Update: I live in Rome now.")
    assert len(decision.closed) == 1


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("text", ["ok", "Thanks!", "lol", "hahaha", "👍", "Ok, thank you so much!"])
def test_filler_is_skipped_and_its_words_are_not_kept(plain: Memory, text: str, role: str) -> None:
    (decision,) = say(plain, text, role=role)

    assert decision.kind == "skip"
    assert [line.text for line in plain.lines()] == [""]


@pytest.mark.parametrize("text", ["yes", "no", "42", "Rome", "ok, but I live in Rome", "C++"])
def test_an_answer_of_one_word_is_no_filler(plain: Memory, text: str) -> None:
    assert kinds(say(plain, text)) == ["insert"]


def test_the_assistant_closes_nothing_and_claims_nothing(plain: Memory) -> None:
    say(plain, "My name is Ana.", "I live in Oslo.")
    decisions = say(plain, "My name is Bob.", "I live in Rome.", role="assistant")

    assert kinds(decisions) == ["insert", "insert"]
    assert len(open_texts(plain)) == 4
    assert [each.value for each in plain.history("I", "name")] == ["ana"]


def test_what_one_likes_is_added_and_only_what_ended_is_closed(plain: Memory) -> None:
    decisions = say(
        plain, "I like jazz.", "I like tea.", "I love hiking.", "I don't like tea anymore."
    )

    assert kinds(decisions) == ["insert", "insert", "insert", "close"]
    assert decisions[3].closed == (2,)


def test_a_list_that_begins_alike_is_not_the_same(plain: Memory) -> None:
    decisions = say(plain, "I like hiking and camping", "I like hiking, dancing, photography, art")

    assert kinds(decisions) == ["insert", "insert"]


def test_another_dog_is_another_dog_and_a_renamed_one_is_not(plain: Memory) -> None:
    decisions = say(
        plain, "I have a dog named Rex.", "I have a dog named Bo.", "We renamed the dog to Max now."
    )

    assert kinds(decisions) == ["insert", "insert", "close"]


def test_other_peoples_claims_need_the_same_person(plain: Memory) -> None:
    decisions = say(
        plain,
        "I live in Oslo.",
        "My sister Mia lives in Bonn.",
        "Ana lives in Lyon.",
        "Mia moved to Kiel.",
        "Ana moved to Nice.",
    )

    assert [each.closed for each in decisions] == [(), (), (), (2,), (3,)]
    assert [each.value for each in plain.history("my sister", "city")] == ["bonn", "kiel"]


def test_a_line_that_says_more_is_closed_in_part(plain: Memory) -> None:
    say(plain, "My name is Ana and I live in Oslo.")
    (decision,) = say(plain, "I moved to Bergen.")

    assert plain.line(decision.records[1]).context["whole"] is False
    assert open_texts(plain) == ["My name is Ana and I live in Oslo.", "I moved to Bergen."]
    (named,) = say(plain, "Call me Bea from now on.")
    assert plain.line(named.records[1]).context["whole"] is True
    assert open_texts(plain) == ["I moved to Bergen.", "Call me Bea from now on."]


def test_a_story_around_a_claim_is_not_closed_with_it(plain: Memory) -> None:
    say(plain, "I live in Oslo. Yesterday we sailed around the islands and saw forty seals.")
    say(plain, "I moved to Bergen.")

    assert len(open_texts(plain)) == 2


def test_what_arrives_late_is_kept_as_what_held_before(plain: Memory) -> None:
    def at(day: int, text: str) -> Decision:
        return plain.race([Said(text=text, timestamp=NOON + timedelta(days=day))])[0]

    at(10, "I live in Rome.")
    late = at(5, "I live in Oslo.")

    assert (late.kind, late.closed) == ("insert", (2,))
    assert open_texts(plain) == ["I live in Rome."]
    assert open_texts(plain, NOON + timedelta(days=7)) == ["I live in Oslo."]
    at(7, "I live in Bonn.")
    spans = [
        (each.value, (each.since - NOON).days, each.until and (each.until - NOON).days)
        for each in plain.history("user", "city")
    ]
    assert spans == [("oslo", 5, 7), ("bonn", 7, 10), ("rome", 10, None)]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(range(5)))
def test_the_order_of_arrival_makes_no_difference_to_what_held_when(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    cities = ["Oslo", "Rome", "Bonn", "Kiel", "Lyon"]
    said = [
        Said(text=f"I live in {cities[day]}.", timestamp=NOON + timedelta(days=day))
        for day in order
    ]
    folder = tmp_path_factory.mktemp("order")
    with Memory.open(folder / "memory.json", clock=Ticking()) as memory:
        memory.race(said)

        for day, city in enumerate(cities):
            evening = NOON + timedelta(days=day, hours=5)
            assert open_texts(memory, evening) == [f"I live in {city}."]


def test_of_two_at_one_time_the_second_is_newer(plain: Memory) -> None:
    plain.race([Said(text=f"My PIN is {number}.", timestamp=NOON) for number in (1111, 2222)])

    assert open_texts(plain) == ["My PIN is 2222."]


def test_as_of_and_the_question_as_of_say_what_held_then(plain: Memory) -> None:
    for day, color in enumerate(["blue", "green"]):
        when = NOON + timedelta(days=day)
        plain.race([Said(text=f"My favorite color is {color}.", timestamp=when)])

    assert open_texts(plain, NOON - timedelta(days=1)) == []
    assert open_texts(plain, NOON) == ["My favorite color is blue."]
    assert open_texts(plain, NOON + timedelta(days=1)) == ["My favorite color is green."]
    then = plain.query("What is my favorite color?", at=NOON + timedelta(hours=1))
    assert [hit.line.text for hit in then] == ["My favorite color is blue."]
    now = plain.query("What is my favorite color?", at=NOON + timedelta(days=2))
    assert [hit.line.text for hit in now] == ["My favorite color is green."]


def test_rewinding_popping_or_forgetting_the_newer_line_opens_the_older(memory: Memory) -> None:
    say(memory, "I live in Oslo.", "I moved to Bergen.")
    assert open_texts(memory) == ["I moved to Bergen."]

    memory.rewind(1)
    assert open_texts(memory) == ["I live in Oslo."]
    memory.rewind(3)
    assert open_texts(memory) == ["I moved to Bergen."]
    memory.pop()
    assert open_texts(memory) == ["I live in Oslo."]
    say(memory, "I moved to Kiel.")
    memory.forget(memory.peek()[0].seq)
    assert open_texts(memory) == ["I live in Oslo."]
    assert kinds(say(memory, "I moved to Bonn.")) == ["close"]


def test_taking_back_a_turn_undoes_lines_closings_merges_and_skips_in_one_commit(
    memory: Memory,
) -> None:
    say(memory, "I live in Oslo.", "I like jazz.")
    said = [Said(text=text) for text in ("I moved to Bergen.", "i like jazz", "ok", "It rains.")]
    turn = memory.race(said)
    count = memory.count

    records = [seq for each in turn for seq in each.records]
    assert len(memory.take_back(records)) == len(records) == memory.count - count
    assert open_texts(memory) == ["I live in Oslo.", "I like jazz."]
    assert memory.query("jazz")[0].merged == []
    assert memory.take_back(records) == ()
    with pytest.raises(UsageError, match=r"is a record \(forget\)"):
        memory.take_back([memory.count])


def test_erasing_a_line_erases_what_was_merged_into_it(plain: Memory, shelf: Path) -> None:
    say(plain, "My PIN is 4821.", "my pin is 4821")
    plain.erase(1)
    plain.close()

    for file in shelf.iterdir():
        assert b"4821" not in file.read_bytes(), file.name


def test_confidence_halves_with_a_race_that_is_lost_and_comes_back_with_what_is_taken_back(
    plain: Memory,
) -> None:
    _, decision = say(plain, "I live in Oslo.", "I moved to Bergen.")
    assert [each.confidence for each in plain.history("user", "city")] == [0.5, 1.0]

    plain.take_back(decision.records)
    assert [each.confidence for each in plain.history("user", "city")] == [1.0]


def test_all_that_was_said_is_decided_in_one_commit_as_though_one_after_the_other(
    memory: Memory,
) -> None:
    texts = ["I live in Oslo.", "I live in Oslo", "I moved to Bergen.", "I moved to Kiel."]
    decisions = memory.race([Said(text=text) for text in texts])

    assert kinds(decisions) == ["insert", "merge", "close", "close"]
    assert [each.closed for each in decisions] == [(), (), (1,), (3,)]
    assert open_texts(memory) == ["I moved to Kiel."]
    assert [line.kind for line in memory.lines()] == [LINE, MERGE, LINE, CLOSE, LINE, CLOSE]


def test_a_refused_commit_leaves_nothing_known_of_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(memory, "I live in Oslo.")

    def refuse(*_: object, **__: object) -> None:
        raise StorageError("No space left.")

    with monkeypatch.context() as broken:
        broken.setattr(memory._book, "append", refuse)
        with pytest.raises(StorageError):
            memory.race([Said(text="I moved to Bergen."), Said(text="I like jazz.")])
    with pytest.raises(UsageError, match="empty"):
        memory.race([Said(text="I moved to Bergen."), Said(text=" ")])

    assert memory.count == 1
    assert open_texts(memory) == ["I live in Oslo."]
    assert kinds(say(memory, "I like jazz.", "I moved to Kiel.")) == ["insert", "close"]
    assert open_texts(memory) == ["I like jazz.", "I moved to Kiel."]


@pytest.mark.parametrize("name", ["name", "favorite color", "dog"])
def test_a_roll_back_forgets_what_was_closed(plain: Memory, name: str) -> None:
    say(plain, f"My {name} is Rex." if name != "favorite color" else "My favorite color is red.")
    say(
        plain,
        f"My {name} is Max now." if name != "favorite color" else "My favorite color is blue.",
    )
    before = plain.line(1).text
    plain.roll_back(1)

    assert open_texts(plain) == [before]


# --- vectors


class Words:
    """An encoder that counts a few words, so that equal bags of them have cosine 1."""

    vocabulary = (
        "bought",
        "bike",
        "red",
        "blue",
        "tea",
        "park",
        "walked",
        "dog",
        "seven",
        "3",
        "4",
    )

    def __call__(self, text: str) -> np.ndarray:
        words = text.casefold().replace(".", "").split()
        return np.float32([0.1, *(words.count(word) for word in self.vocabulary)])


@pytest.fixture
def encoded(shelf: Path, clock: Ticking) -> Iterator[Memory]:
    with Memory.open(shelf / "memory.sqlite", clock=clock, encoder=Words()) as opened:
        yield opened


def test_a_near_duplicate_that_says_no_more_is_merged(encoded: Memory) -> None:
    decisions = say(
        encoded, "We walked the dog in the park.", "So we walked in the park with the dog."
    )

    assert kinds(decisions) == ["insert", "merge"]
    assert decisions[1].reason == "a near-duplicate that says no more"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("walked the dog 3 times", "walked the dog 4 times"),
        ("he walked the dog", "he never walked the dog"),
        ("he walked the dog", "he walked the dog?"),
        ("we walked to Anna", "we walked to Berta"),
        ("she bought a bike", "she bought a folding bike"),
    ],
)
def test_a_near_duplicate_with_another_number_name_or_sense_is_inserted(
    encoded: Memory, one: str, other: str
) -> None:
    assert kinds(say(encoded, one, other)) == ["insert", "insert"]


# --- the model's own judgement


class Copying:
    """NLL of a text after a context: the share of its words that the context lacks.

    Of a question it is 1 where lines contradict each other, as a model would be unsure.
    """

    def __init__(self, *, sure: bool = True) -> None:
        self.asked: list[tuple[str, str]] = []
        self.sure = sure

    def __call__(self, context: str, text: str) -> float:
        self.asked.append((context, text))
        known = context.casefold().replace(".", " ").split()
        words = text.casefold().replace(".", " ").split()
        missing = sum(word not in known for word in words) / len(words)
        unsure = "Question:" in context and context.count("\n- ") > 1
        return missing + (1.0 if unsure and self.sure else 0.0)


def test_the_likelihood_closes_where_two_answers_would_explain_less(plain: Memory) -> None:
    model = Copying()
    plain.race([Said(text="My PIN is 1111.")], likelihood=model)
    assert model.asked == []
    (decision,) = plain.race([Said(text="My PIN is 2222.")], likelihood=model)

    assert (decision.kind, decision.closed) == ("close", (1,))
    assert decision.candidates["close"] > decision.candidates["insert"]
    assert any("What is the user's pin?" in context for context, _ in model.asked)
    assert plain.line(3).context["race"]["by"] == "likelihood"


def test_where_the_likelihood_prefers_both_the_race_is_journalled_and_costs_confidence(
    plain: Memory,
) -> None:
    def prefers_more(context: str, text: str) -> float:
        return 5.0 / context.count("\n- ") if "\n- " in context else 9.0

    plain.race([Said(text="My PIN is 1111.")])
    (decision,) = plain.race([Said(text="My PIN is 2222.")], likelihood=prefers_more)

    assert (decision.kind, decision.closed) == ("insert", ())
    assert len(open_texts(plain)) == 2
    record = plain.line(decision.records[1])
    assert (record.kind, record.header.target) == (RACE, 1)
    assert record.context["race"]["winner"] == "insert"
    assert [each.confidence for each in plain.history("user", "pin")] == [0.5, 1.0]


def test_the_likelihood_of_the_same_candidates_gives_the_same_decision(plain: Memory) -> None:
    said = [
        Said(text=text) for text in ("I live in Oslo.", "My home is in Oslo", "I moved to Kiel.")
    ]
    first = plain.race(said, likelihood=Copying())
    plain.roll_back(0)

    second = plain.race(said, likelihood=Copying())
    assert [(a.kind, a.candidates) for a in first] == [(b.kind, b.candidates) for b in second]


def test_an_interval_is_asked_for_by_line(plain: Memory) -> None:
    _, decision = say(plain, "I live in Oslo.", "I moved to Bergen.")
    assert decision.line is not None

    since, until = plain.intervals_of(1)
    assert until == decision.line.timestamp > since
    assert plain.intervals_of(decision.line.seq)[1] is None
    assert not math.isnan(since.timestamp())


def test_a_time_without_a_zone_is_refused(plain: Memory) -> None:
    with pytest.raises(UsageError, match="no zone"):
        plain.race([Said(text="I live in Oslo.", timestamp=datetime(2026, 1, 1))])
    with pytest.raises(UsageError, match="no zone"):
        plain.as_of(datetime(2026, 1, 1))


def test_sql_knows_from_when_until_when_a_line_holds(plain: Memory) -> None:
    pytest.importorskip("duckdb")
    say(plain, "I live in Oslo.", "I moved to Bergen.")

    answer = plain.sql(
        "SELECT text, valid_from < valid_to FROM lines WHERE kind = 'line' ORDER BY valid_to NULLS LAST"
    )
    assert answer.rows == [("I live in Oslo.", True), ("I moved to Bergen.", None)]
    records = plain.sql("SELECT valid_from, valid_to FROM lines WHERE kind <> 'line'")
    assert records.rows == [(None, None)]


@pytest.mark.parametrize("steps", [0, 1, 3, 99])
def test_reading_claims_ahead_changes_no_decision(shelf: Path, clock: Ticking, steps: int) -> None:
    before = ["I live in Rome.", "I drink tea.", "My dog is called Rex.", "I sold my bike."]
    after = ["I live in Oslo now.", "I switched from tea to coffee.", "I sold my bike."]
    for name in ("plain.sqlite", "ahead.sqlite"):
        with Memory.open(shelf / name, clock=clock) as memory:
            memory.race([Said(text=text) for text in before])
            memory.put(None, "My locker number is 42.")
            memory.forget(3)
    with (
        Memory.open(shelf / "plain.sqlite", clock=clock) as plain,
        Memory.open(shelf / "ahead.sqlite", clock=clock) as ahead,
    ):
        left = [ahead.read_claims(2) for _ in range(steps)]
        assert left == [max(0, ahead.count - 2 * at) for at in range(1, steps + 1)]
        ahead.erase(2)
        plain.erase(2)
        said = [Said(text=text) for text in after]
        first, second = ahead.race(said), plain.race(said)
        assert kinds(first) == kinds(second)
        assert [(one.target, *one.closed) for one in first] == [
            (one.target, *one.closed) for one in second
        ]
        assert ahead.read_claims(5) == 0
