"""Any text is a safe question; rare words count most; what was dropped is not found."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.memory.ranking.keywords import STOP_WORDS, KeywordIndex, content_words, spaced


def filled(*texts: str) -> KeywordIndex:
    index = KeywordIndex()
    for seq, text in enumerate(texts, 1):
        index.add(seq, text)
    return index


def found(index: KeywordIndex, text: str, most: int = 10) -> list[int]:
    return index.search(index.asked(text), most).seqs.tolist()


@given(st.text())
def test_any_text_is_a_question(text: str) -> None:
    index = filled("tea and cake", "AND OR NOT NEAR", '"quoted" (words) col:umn * ^ -')
    hits = index.search(index.asked(text), 5)
    assert (hits.scores >= 0).all()


@pytest.mark.parametrize(
    "text",
    [
        '"',
        '"a" OR',
        "NEAR(tea cake)",
        "text:tea*",
        "tea^2",
        "-tea",
        "tea\x00cake",
        "' ; --",
        "{tea}",
    ],
)
def test_operators_are_words_like_any_other(text: str) -> None:
    index = filled("tea and cake", "nothing")
    assert set(found(index, text)) <= {1}
    assert (1 in found(index, text)) == ("tea" in text)


def test_stems_and_letter_size_do_not_matter() -> None:
    assert found(filled("I was RUNNING by the rivers", "cake"), "runs river") == [1]


def test_a_script_without_spaces_is_found_by_its_characters() -> None:
    assert found(filled("我喜欢北京的秋天", "東京に住んでいます", "tea"), "北京") == [1, 2]
    assert spaced("plain") == "plain"


@pytest.mark.parametrize("text", ["", "  ", "?!…", "🎉🎉", "who are you", "_ _"])
def test_what_is_no_word_or_only_stop_words_finds_nothing(text: str) -> None:
    index = filled("who are you", "🎉 party", "a _ b")
    asked = index.asked(text)
    assert (asked.weights, asked.mass) == ({}, 0)
    assert index.search(asked, 5).seqs.size == 0
    assert index.coverage(asked, [1, 2]) == {1: 0.0, 2: 0.0}


def test_of_a_question_of_megabytes_the_beginning_counts() -> None:
    index = filled("tea", "cake")
    assert found(index, "tea " * 2_500_000 + "cake") == [1]
    assert len(index.asked(" ".join(f"w{at}" for at in range(2000))).weights) == 32


def test_rare_words_weigh_more_and_unknown_ones_count_as_missing() -> None:
    index = filled(*["common tea"] * 20, "common saffron")
    asked = index.asked("common saffron xylophone")
    assert asked.weights["common"] < asked.weights["saffron"] < asked.weights["xylophone"]
    assert asked.mass == pytest.approx(math.fsum(asked.weights.values()))
    covered = index.coverage(asked, [1, 21])
    assert 0 < covered[1] < covered[21] < 1


def test_a_word_that_most_lines_have_is_not_looked_up_beside_a_rare_one() -> None:
    index = filled(*["common tea"] * 99, "common saffron")
    assert list(index.asked("common saffron").weights) == ["saffron"]
    assert list(index.asked("common").weights) == ["common"]
    assert found(index, "common saffron") == [100]


def test_dropped_lines_are_gone_before_and_after_they_were_written() -> None:
    index = filled("tea one", "tea two", "tea three")
    index.drop(1)
    assert sorted(found(index, "tea")) == [2, 3]
    index.drop(2)
    index.drop(99)
    assert found(index, "tea") == [3]
    index.add(2, "tea again")
    assert sorted(found(index, "tea")) == [2, 3]
    assert found(index, "two") == []
    index.clear()
    assert (len(index), found(index, "tea")) == (0, [])


def test_only_as_many_as_asked_for_come_best_first() -> None:
    hits = filled("tea", "tea tea tea", "tea and a lot of other words that dilute it", "cake", "x")
    best = hits.search(hits.asked("tea"), 2)
    assert best.seqs.size == 2
    assert best.scores[0] >= best.scores[1]


@given(st.text(max_size=60))
def test_content_words_are_different_and_hold_no_quotation_mark(text: str) -> None:
    words = content_words(text)
    assert len(set(words)) == len(words)
    assert not any('"' in word or word in STOP_WORDS for word in words)
