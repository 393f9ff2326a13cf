"""Words and vectors together, either alone, what no longer holds, the gate, and the seed's formula."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import UsageError
from anima.memory import Answer, HybridRecall, Line, Memory
from anima.memory.ranking.hybrid import Mixture, relative, standing_out

from ..asked import START, closing, line, question
from ..conftest import Ticking

TALK = ["My dog is called Rex", "I live in Rome", "We had soup", "My aunt bakes bread"]


def told(*lines: Line, **settings: object) -> HybridRecall:
    recall = HybridRecall(**settings)
    for each in lines:
        recall.add(each)
    return recall


def seqs(answer: Answer) -> list[int]:
    return [each.seq for each in answer.found]


def talk() -> Sequence[Line]:
    return [line(seq, text) for seq, text in enumerate(TALK, 1)]


def test_words_alone_find_lines_without_keys() -> None:
    answer = told(*talk()).search(question("What is my dog called?"), 3)
    assert seqs(answer)[0] == 1
    assert not answer.abstained
    assert answer.confidence == pytest.approx(1.0)


def test_a_vector_alone_finds_the_nearest() -> None:
    recall = told(line(1, "a", [1, 0, 0]), line(2, "b", [0.8, 0.6, 0]), line(3, "c", [0, 0, 1]))
    assert seqs(recall.search(question(vector=[0.9, 0.5, 0]), 3)) == [2, 1, 3]


def test_a_line_without_a_key_is_found_by_its_words_beside_lines_with_keys() -> None:
    recall = told(line(1, "tea", [1, 0]), line(2, "saffron"), line(3, "cake", [0, 1]))
    answer = recall.search(question("saffron", [1, 0]), 3)
    assert set(seqs(answer)) == {1, 2, 3}
    terms = {each.seq: each.terms for each in answer.found}
    assert "similarity" not in terms[2]
    assert terms[2]["keywords"] > 0


def test_what_both_find_comes_before_what_one_of_them_finds() -> None:
    recall = told(
        line(1, "saffron rice", [1, 0, 0]),
        line(2, "saffron cake", [0, 1, 0]),
        line(3, "plain rice", [0.9, 0.1, 0]),
        *(line(seq, f"chat {seq}", [0, 0, 1]) for seq in range(4, 30)),
    )
    assert seqs(recall.search(question("saffron", [1, 0, 0]), 3)) == [1, 3, 2]


def test_the_score_is_the_sum_of_its_terms() -> None:
    recall = told(*(line(s, t, k) for s, t, k in [
        (1, "saffron rice", [1, 0.1, 0]), (2, "saffron", [0, 1, 0]), (3, "rice", [0.5, 0.5, 0.1])
    ]))  # fmt: skip
    for each in recall.search(question("saffron rice", [1, 0, 0], hours=4), 3).found:
        terms = each.terms
        age = 4 - each.seq
        assert terms["recency"] == pytest.approx(math.exp(-age / 6))
        share = terms["share of keywords"]
        assert each.score == pytest.approx(
            share * terms["keywords"]
            + (1 - share) * terms["nearness"]
            + 0.05 * terms["recency"]
            + terms["manner"]
            + terms["newer"]
        )
        assert {"bm25", "similarity", "novelty"} <= set(terms)


def test_a_newer_equal_line_wins() -> None:
    by_time = told(line(1, "I like tea", [1, 0]), line(2, "I like tea", [1, 0]))
    assert seqs(by_time.search(question("tea", [1, 0], hours=3), 2)) == [2, 1]
    at_once = told(*(line(seq, "I like tea", [1, 0], hours=1) for seq in range(1, 9)))
    assert seqs(at_once.search(question("tea", [1, 0]), 3)) == [8, 7, 6]


def test_recency_never_outweighs_relevance() -> None:
    recall = told(line(1, "saffron", hours=1), line(2, "saffron tea and much more", hours=999.9))
    recall.add(line(3, "nothing of it", hours=1000))
    assert seqs(recall.search(question("saffron"), 5)) == [1, 2]


def test_what_was_dropped_is_not_found_and_comes_back() -> None:
    recall = told(line(1, "saffron", [1, 0]), line(2, "saffron", [1, 0]))
    recall.drop(2)
    assert seqs(recall.search(question("saffron", [1, 0]), 5)) == [1]
    recall.add(line(2, "saffron", [1, 0]))
    assert seqs(recall.search(question("saffron", [1, 0]), 5)) == [2, 1]
    recall.clear()
    assert recall.search(question("saffron", [1, 0]), 5).abstained


def test_closed_lines_are_found_only_by_questions_about_before() -> None:
    recall = told(line(1, "I live in Rome", [1, 0]), line(2, "I live in Oslo", [0.9, 0.1], hours=5))
    recall.add(closing(3, target=1, by=2, hours=5))
    assert seqs(recall.search(question("where I live", [1, 0]), 5)) == [2]
    assert seqs(recall.search(question("where I live", [1, 0], as_of=4), 5)) == [1]
    assert seqs(recall.search(question("where I live", as_of=4), 5)) == [1]


def test_a_partly_closed_line_comes_below_its_replacement_with_no_greater_score() -> None:
    recall = told(
        line(1, "I live in Rome and bake bread", [1, 0]), line(2, "I am in Oslo now", [0, 1])
    )
    recall.add(closing(3, target=1, by=2, hours=2, whole=False))
    answer = recall.search(question("do I bake bread", [1, 0]), 5)
    assert seqs(answer) == [2, 1]
    assert answer.found[0].score >= answer.found[1].score
    assert seqs(recall.search(question("do I bake bread", [1, 0], as_of=1.5), 5)) == [1]


def test_the_best_that_are_there_are_found_below_thousands_that_are_not() -> None:
    mixture = Mixture(pool=4)
    lines = [line(seq, "saffron", [1, seq / 100], hours=9) for seq in range(1, 60)]
    recall = told(line(99, "a saffron cake that we had", [1, 3], hours=1), *lines, mixture=mixture)
    assert seqs(recall.search(question("saffron", [1, 0], as_of=2), 3)) == [99]


@pytest.mark.parametrize("text", ["?!", "who am I", "🎉"])
def test_without_words_or_vectors_there_is_no_answer(text: str) -> None:
    answer = told(*talk()).search(question(text), 5)
    assert (answer.found, answer.abstained, answer.confidence) == ([], True, 0.0)


def test_words_that_no_line_has_leave_the_vectors_to_decide() -> None:
    recall = told(line(1, "tea", [1, 0]), line(2, "cake", [0, 1]))
    answer = recall.search(question("xylophone", [0, 1]), 1)
    assert seqs(answer) == [2]
    assert "bm25" not in answer.found[0].terms


def test_the_gate_abstains_where_no_line_stands_out_in_small_and_large_memories() -> None:
    generator = np.random.default_rng(1)
    for count in (3, 1000):
        keys = generator.normal(size=(count, 384)) + 2
        recall = told(*(line(seq, "", key) for seq, key in enumerate(keys, 1)))
        near, far = keys[1] + 0.1 * generator.normal(size=384), generator.normal(size=384)
        assert not recall.search(question(vector=near), 1).abstained
        assert recall.search(question(vector=far), 1).abstained


def test_one_line_alone_can_answer() -> None:
    recall = told(line(1, "tea", [1, 0]))
    assert not recall.search(question(vector=[1, 0.1]), 1).abstained
    assert recall.search(question(vector=[0.1, 1]), 1).abstained


def test_words_alone_abstain_where_the_line_has_little_of_the_question() -> None:
    recall = told(*talk())
    assert recall.search(question("did the dog of Annabel chase squirrels in Paris?"), 1).abstained
    assert not recall.search(question("dog called"), 1).abstained


def test_the_seed_ranks_by_its_formula(shelf: Path) -> None:
    recall = HybridRecall(concert="seed")
    now = START
    from datetime import timedelta

    with Memory.open(shelf / "memory.sqlite", clock=Ticking(START), recall=recall) as memory:
        memory.put([1.0, 0.0], ("old", [1.0, 0.0]), timestamp=now - timedelta(hours=6))
        memory.put([0.8, 0.6], ("new", [0.0, 1.0]), timestamp=now)
        memory.put([0.1, 1.0], ("below the floor", [9.0, 9.0]), timestamp=now)
        hits = memory.query([1.0, 0.0], explain=True, at=now)

    old = 0.35 * math.exp(-1) + 0.5 * 1.0 + 0.08 * 1.0
    new = 0.35 * 1.0 + 0.5 * 0.8 + 0.08 * 0.2
    assert [hit.line.text for hit in hits] == ["new", "old"]
    assert [hit.score for hit in hits] == pytest.approx([new, old], abs=1e-6)
    assert hits[1].terms == pytest.approx(
        {"recency": math.exp(-1), "similarity": 1.0, "novelty": 1.0}, abs=1e-6
    )


def test_the_bias_of_the_seed_blends_by_its_scores(shelf: Path) -> None:
    clock = Ticking(START)
    with Memory.open(
        shelf / "m.sqlite", clock=clock, recall=HybridRecall(concert="seed")
    ) as memory:
        memory.put([1.0, 0.0], ("a", [1.0, 0.0]))
        memory.put([0.8, 0.6], ("b", [0.0, 1.0]))
        hits = memory.query([1.0, 0.0])
        scores = {hit.line.text: hit.score for hit in hits}
        total = sum(scores.values())
        assert memory.bias_vector([1.0, 0.0]).tolist() == pytest.approx(
            [scores["a"] / total, scores["b"] / total], abs=1e-3
        )


def test_the_seed_finds_by_words_where_there_is_no_vector() -> None:
    assert seqs(told(*talk(), concert="seed").search(question("Rome"), 2)) == [2]


def test_a_question_of_another_width_is_refused() -> None:
    with pytest.raises(UsageError, match="same encoder"):
        told(line(1, "tea", [1, 0])).search(question(vector=[1, 0, 0]), 1)


def test_novelty_is_that_of_the_nearest_key() -> None:
    recall = told(line(1, "tea", [1, 0]))
    assert recall.novelty(np.float32([3, 4])) == pytest.approx(0.4)
    assert HybridRecall().novelty(np.float32([3, 4])) == 1.0


Numbers = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20)


@given(Numbers, st.floats(-1, 1, width=32), st.floats(0, 1, width=32))
def test_relative_values_keep_their_order_and_lie_between_0_and_1(values, low, least):
    found = relative(np.array(values), low, least)
    assert ((found >= 0) & (found <= 1)).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()


def test_relative_takes_nan_as_nothing_and_stretches_no_noise() -> None:
    assert relative(np.array([np.nan, 0.5, 1.0]), 0.0, 0.0).tolist() == [0.0, 0.5, 1.0]
    assert relative(np.array([0.50, 0.51]), 0.5, 0.1).tolist() == pytest.approx([0.0, 0.1])
    assert relative(np.array([]), 0.0, 0.0).size == 0


@given(st.floats(-0.9, 0.9), st.integers(2, 10_000))
def test_a_line_that_is_as_near_as_all_others_does_not_stand_out(mean, count):
    assert standing_out(mean, mean, count) == pytest.approx(0.0, abs=1e-6)


@given(st.floats(-0.5, 0.5), st.floats(0, 0.4), st.integers(3, 1000))
def test_a_nearer_line_stands_out_more(mean, more, count):
    assert standing_out(mean + more, mean, count) >= standing_out(mean + more / 2, mean, count)


def test_merges_come_with_the_hit_and_a_reply_says_whether_it_abstained(plain: Memory) -> None:
    plain.put(None, "My dog is called Rex")
    plain.put(None, "I live in Rome")
    reply = plain.ask("What is my dog called?", explain=True)
    assert not reply.abstained
    assert (reply.hits[0].line.seq, reply.hits[0].merged) == (1, [])
    assert reply.hits[0].terms["bm25"] > 0
    assert plain.ask("Do you like chess?").abstained
    assert [hit.line.seq for hit in plain.query("dog", 1)] == [1]


HOMES = [[1, 0.1, 0], [1, 0.2, 0], *([0, 0.3, 1] for _ in range(6))]


def homes() -> HybridRecall:
    texts = ["I live in Rome", "I live in Oslo", *(f"We had soup {at}" for at in range(6))]
    return told(*(line(s, t, k) for s, (t, k) in enumerate(zip(texts, HOMES, strict=True), 1)))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Where do I live?", [2, 1]),
        ("Where did I live before?", [1, 2]),
        ("Which was my previous home?", [1, 2]),
        ("Where did I live in 1990?", [1, 2]),
    ],
)
def test_of_two_that_say_the_same_the_newer_answers_now_and_the_older_before(text, first):
    answer = homes().search(question(text, [1, 0.1, 0]), 2)
    assert seqs(answer) == first
    moved = [each.terms["newer"] for each in answer.found]
    assert (moved == [0, 0]) == ("1990" in text)


def test_a_newer_line_that_lacks_the_telling_word_does_not_come_first() -> None:
    assert seqs(homes().search(question("Who lives in Rome?", [1, 0.1, 0]), 2)) == [1, 2]


def test_a_question_about_before_finds_what_was_closed_and_as_of_a_time_what_was_said_by_then():
    recall = told(line(1, "I live in Rome", [1, 0]), line(2, "I live in Oslo", [0.9, 0.1], hours=5))
    recall.add(closing(3, target=1, by=2, hours=5))
    before = "Where did I live before?"
    assert seqs(recall.search(question(before, [1, 0]), 5)) == [1, 2]
    assert seqs(recall.search(question(before, [1, 0], as_of=4), 5)) == [1]
    assert seqs(recall.search(question("Where do I live?", [1, 0]), 5)) == [2]


def test_what_asks_or_is_of_somebody_else_comes_below_what_answers_and_counts_half() -> None:
    texts = ["My boss is Ada", "Is Ada a good name for a boss?", "Tom's boss is called Ada"]
    recall = told(*(line(seq, text, [1, 0, 0]) for seq, text in enumerate(texts, 1)))
    for seq in range(4, 12):
        recall.add(line(seq, "We had soup", [0, 1, seq / 20]))
    answer = recall.search(question("Who is my boss?", [1, 0, 0]), 3)
    assert seqs(answer)[0] == 1
    assert [each.terms["manner"] for each in answer.found] == pytest.approx([0, -0.2, -0.5])
    recall.drop(1)
    assert recall.search(question("Who is my boss?", [1, 0, 0]), 3).confidence <= 0.51
    assert answer.confidence > 0.99
    of_anybody = recall.search(question("Which boss is called Ada?", [1, 0, 0]), 3)
    assert (seqs(of_anybody)[0], of_anybody.found[0].terms["manner"]) == (3, 0)


def test_words_count_by_how_telling_those_are_that_a_line_has() -> None:
    chat = [line(seq, f"tea {seq}", [0, 1, 0.1 * seq]) for seq in range(10, 80)]
    recall = told(line(1, "saffron and cardamom", [1, 0, 0]), *chat)

    def share(text: str) -> float:
        return recall.search(question(text, [0, 1, 0]), 1).found[0].terms["share of keywords"]

    assert 0 < share("tea") < share("saffron") < share("saffron cardamom") < 2 / 3
    assert share("saffron xylophone zither") == pytest.approx(share("saffron"))


def test_the_other_wording_of_what_was_merged_is_found_under_its_line(plain: Memory) -> None:
    from anima.memory.claims.race import Said

    plain.put(None, "We had soup")
    told_first = plain.race([Said(text="My dog is called Rex.")])[0]
    again = plain.race([Said(text="My dog's name is Rex.")])[0]
    assert (again.kind, again.target) == ("merge", told_first.line.seq)
    reply = plain.ask("name")
    assert [hit.line.seq for hit in reply.hits] == [told_first.line.seq]
    assert [hit.line.text for hit in plain.query("name called dog")] == ["My dog is called Rex."]
    early = told_first.line.timestamp
    assert plain.query("name", at=early) == []
    plain.pop(1)
    assert plain.query("name") == []


def talked(*, by: str = "user") -> HybridRecall:
    """Thirty lines apart, and amid them a question with its reply."""
    chat = [line(seq, f"chat {seq}", [0, 0, 1]) for seq in range(1, 31)]
    asked = line(31, "What is your dog called?", [1, 0.2, 0], role="assistant")
    reply = line(32, "Bo, he is three.", [0, 1, 0.5], hours=31.001, role=by)
    return told(*chat, asked, reply)


def test_a_reply_is_found_by_the_question_it_answers() -> None:
    answer = talked().search(question("What is my dog called?", [1, 0, 0]), 3)
    places = {each.seq: each for each in answer.found}
    assert 32 in seqs(answer)[:2]
    assert places[32].asked == 31
    assert places[32].terms["asked"] == pytest.approx(0.5)
    assert places[32].terms["manner"] == 0, "what is replied to a question about you is of you"
    assert places[31].asked is None
    without = told(
        *(line(s, t, hours=h) for s, t, h in [(1, "chat", 0), (2, "Bo, he is three.", 9)])
    )
    assert without.search(question("What is my dog called?"), 3).found == []


def test_a_reply_comes_with_its_question_out_of_a_pool_that_it_is_too_far_for() -> None:
    recall = talked()
    recall.mixture = Mixture(pool=1)
    answer = recall.search(question("What is my dog called?", [1, 0, 0]), 1)
    assert 32 in seqs(recall.search(question("What is my dog called?", [1, 0, 0]), 2))
    assert len(answer.found) == 1


def test_of_the_user_nobody_else_replies() -> None:
    recall = talked(by="Clara")
    about_me = recall.search(question("What is my dog called?", [1, 0, 0]), 40)
    about_it = recall.search(question("What is the dog called?", [1, 0, 0]), 40)
    lent = [
        next(each.terms["asked"] for each in answer.found if each.seq == 32)
        for answer in (about_me, about_it)
    ]
    assert lent == [0.0, pytest.approx(0.5)]


def test_a_line_that_is_nearer_than_the_question_it_answers_was_not_found_by_it() -> None:
    recall = told(
        line(1, "What about you?", [0, 1, 0], role="assistant"),
        line(2, "My dog is called Bo.", [1, 0, 0], hours=1),
        *(line(seq, f"chat {seq}", [0, 0, 1]) for seq in range(3, 30)),
    )
    (first, *_) = recall.search(question("What is my dog called?", [1, 0.1, 0]), 3).found
    assert (first.seq, first.asked) == (2, None)


def test_the_seed_finds_by_words_beside_a_reply_that_has_none_of_them() -> None:
    recall = told(
        line(1, "What is the name of my dog?", hours=1, role="assistant"),
        line(2, "Rex it be.", hours=1.01),
        concert="seed",
    )
    assert seqs(recall.search(question("name of the dog"), 3)) == [1]
