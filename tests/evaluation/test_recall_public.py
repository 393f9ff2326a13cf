"""Public sets are read as they were published, and what is no such file is refused by name."""

import json
from datetime import UTC, datetime

import pytest

from anima.errors import UsageError
from anima.evaluation.harness import Request, run
from anima.evaluation.recall import prepare
from anima.evaluation.recall_arms import Letters, Ranking
from anima.evaluation.recall_evidence import found, study
from anima.evaluation.recall_public import Asked, read_locomo, read_longmemeval


def locomo():
    """One conversation of the shape of locomo10.json, with its oddities."""
    return {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Bo",
            "session_2_date_time": "12:09 am on 13 September, 2023",
            "session_2": [
                {"speaker": "Bo", "dia_id": "D2:1", "text": "I adopted a parrot called Figaro."},
                {"speaker": "Ann", "dia_id": "D2:2", "text": "Wow!", "blip_caption": "a parrot"},
            ],
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ann", "dia_id": "D1:1", "text": "My marathon is in October."},
                {"speaker": "Bo", "dia_id": "D1:2", "text": "Good luck with the training."},
            ],
            "session_3_date_time": "1:00 pm on 1 October, 2023",
        },
        "qa": [
            {"question": "When is Ann's marathon?", "answer": "October", "evidence": ["D1:1"],
             "category": 2},
            {"question": "What is the parrot called?", "answer": "Figaro",
             "evidence": ["D2:1; D:2:2"], "category": 4},
            {"question": "Of the wrong person?", "adversarial_answer": "x", "evidence": ["D1:1"],
             "category": 5},
            {"question": "Nowhere?", "answer": "y", "evidence": ["D9:1"], "category": 1},
            {"question": "No evidence?", "answer": "z", "evidence": [], "category": 3},
        ],
    }  # fmt: skip


def longmemeval(name="q1", sessions=("s1", "answer_s2")):
    turns = {
        "s1": [{"role": "user", "content": "I like tea."}, {"role": "assistant", "content": "Oh."}],
        "answer_s2": [
            {"role": "user", "content": "I studied botany in Lund.", "has_answer": True},
            {"role": "assistant", "content": " ", "has_answer": False},
        ],
    }
    return {
        "question_id": name,
        "question_type": "single-session-user",
        "question": "What did I study?",
        "answer": "botany",
        "question_date": "2023/05/30 (Tue) 23:40",
        "haystack_session_ids": list(sessions),
        "haystack_dates": ["2023/05/20 (Sat) 02:21"] * len(sessions),
        "haystack_sessions": [turns[each] for each in sessions],
        "answer_session_ids": ["answer_s2"],
    }


def written(tmp_path, content):
    path = tmp_path / "set.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_locomo_turns_come_in_the_order_of_their_sessions_with_speaker_and_caption(tmp_path):
    (history,), digest = read_locomo(written(tmp_path, [locomo()]))
    assert [line.text for line in history.lines] == [
        "Ann: My marathon is in October.",
        "Bo: Good luck with the training.",
        "Bo: I adopted a parrot called Figaro.",
        "Ann: Wow! [shares a parrot]",
    ]
    assert history.session_of == (1, 1, 2, 2)
    assert history.lines[0].when == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert history.lines[2].when == datetime(2023, 9, 13, 0, 9, tzinfo=UTC)
    assert history.end == history.lines[3].when > history.lines[2].when
    assert len(digest) == 64


def test_locomo_questions_are_those_with_an_answer_whose_evidence_is_there(tmp_path):
    (history,), _ = read_locomo(written(tmp_path, [locomo()]))
    assert [(each.kind, sorted(each.turns), sorted(each.sessions)) for each in history.asked] == [
        ("temporal", [0], [1]),
        ("single-hop", [2, 3], [2]),
    ]


def test_longmemeval_counts_turns_and_sessions_and_never_reads_the_names(tmp_path):
    entries = [longmemeval(), longmemeval("q2_abs"), longmemeval("q3", ("s1", "answer_s2", "s1"))]
    entries[2]["answer_session_ids"] = ["s1"]
    histories, _ = read_longmemeval(written(tmp_path, entries))
    assert [history.name for history in histories] == ["q1", "q3"]
    (asked,) = histories[0].asked
    assert (asked.turns, asked.sessions) == ({2}, {1})
    assert [line.role for line in histories[0].lines] == ["user", "assistant", "user"]
    assert histories[0].lines[0].when == datetime(2023, 5, 20, 2, 21, tzinfo=UTC)
    assert histories[1].asked[0].sessions == {0, 2}


def test_the_oracle_variant_is_refused(tmp_path):
    path = written(tmp_path, [longmemeval(sessions=("answer_s2",)) for _ in range(3)])
    with pytest.raises(UsageError, match="oracle"):
        read_longmemeval(path)


def without(entry, *names):
    entry = json.loads(json.dumps(entry))
    part = entry
    for name in names[:-1]:
        part = part[name]
    del part[names[-1]]
    return [entry]


def with_time(entry, text):
    entry["conversation"]["session_1_date_time"] = text
    return [entry]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON"),
        ("[]", "one at least"),
        ({"data": []}, "a list"),
        (["x"], "entry 0: there is no 'conversation'"),
        (without(locomo(), "conversation", "session_1_date_time"), "session_1_date_time"),
        (without(locomo(), "conversation", "session_1", 0, "dia_id"), "session_1, turn 0.*dia_id"),
        (without(locomo(), "qa"), "'qa'"),
        (without(locomo(), "qa", 0, "category"), "qa 0.*category"),
        (with_time(locomo(), "noon"), "no time such as"),
        (with_time(locomo(), "1:56 pm on 31 June, 2023"), "no time"),
        ([{**locomo(), "conversation": {}}], "no session"),
    ],
)
def test_what_is_no_locomo_is_refused_with_its_place(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        read_locomo(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([locomo()], "question_id"),
        (without(longmemeval(), "haystack_dates"), "haystack_dates"),
        ([{**longmemeval(), "haystack_dates": []}], "equally many"),
        ([{**longmemeval(), "haystack_dates": ["then", "now"]}], "no time such as"),
        (without(longmemeval(), "haystack_sessions", 0, 0, "content"), "session 0, turn 0"),
        ([{**longmemeval(), "haystack_sessions": 3}], "another kind"),
    ],
)
def test_what_is_no_longmemeval_is_refused_with_its_place(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        read_longmemeval(written(tmp_path, content))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_locomo(tmp_path / "none.json")


def test_any_and_all_of_the_evidence_by_turn_and_by_session():
    asked = Asked(text="", kind="", turns=frozenset({0, 3}), sessions=frozenset({1, 2}))
    shown = found(Ranking(ids=(0, 1, 3), confidence=1.0), asked, session_of=(1, 1, 1, 2))
    assert (shown["any@1"], shown["all@1"], shown["recall@1"]) == (1, 0, 0.5)
    assert (shown["any@5"], shown["all@5"], shown["recall@5"]) == (1, 1, 1)
    assert (shown["session any@1"], shown["session all@1"], shown["session all@5"]) == (1, 0, 1)


def test_what_was_merged_into_a_line_is_found_with_it():
    asked = Asked(text="", kind="", turns=frozenset({1}), sessions=frozenset({2}))
    ranking = Ranking(ids=(0,), confidence=1.0, merged={0: (1,)})
    assert found(ranking, asked, session_of=(1, 2))["any@1"] == 1
    assert found(Ranking(ids=(0,), confidence=1.0), asked, session_of=(1, 2))["any@1"] == 0


def test_a_question_without_known_turns_counts_for_its_sessions_alone():
    asked = Asked(text="", kind="", turns=frozenset(), sessions=frozenset({1}))
    shown = found(Ranking(ids=(0,), confidence=1.0), asked, session_of=(1,))
    assert set(shown) == {f"session {part}@{k}" for part in ("any", "all") for k in (1, 5, 10)}


def request(**options):
    return Request(
        home=None, settings=None, size="smoke", seed=0, judge="words", say=print, options=options
    )


@pytest.mark.parametrize(
    ("name", "content"), [("locomo", [locomo()]), ("longmemeval", [longmemeval()])]
)
def test_a_public_set_is_asked_under_every_arm_at_both_gaps(tmp_path, name, content):
    path = written(tmp_path, content)
    made = study(request(), name, str(path), [Letters()])
    outcome = run(made, seed=0, clock=lambda: 0.0, say=lambda line: None)
    table = {(line.group, line.arm): line.figures for line in outcome.lines}
    for gap in ("after 1 hour", "after 1 day"):
        assert table[gap, "BM25 only"]["any@1"].value == 1
        assert table[gap, "ours"]["any@5"].value == 1
    assert outcome.complete


def test_a_set_without_a_question_and_two_sets_at_once_are_refused(tmp_path):
    path = written(tmp_path, [{**locomo(), "qa": []}])
    with pytest.raises(UsageError, match="no question"):
        study(request(), "locomo", str(path), [Letters()])
    with pytest.raises(UsageError, match="one at a time"):
        prepare(request(locomo="a", longmemeval="b"))
