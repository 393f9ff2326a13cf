"""The study of recall: perfect and random rankings, the arms, and what ordinary chat closes."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from anima.config import Settings
from anima.errors import UsageError
from anima.evaluation import recall, recall_chat
from anima.evaluation.harness import Request, run
from anima.evaluation.recall_arms import (
    FUSED,
    KEYWORDS,
    OURS,
    RANDOM,
    RECENCY,
    SEED,
    VECTORS,
    Kept,
    Letters,
    Plain,
    Ranking,
    remembered,
)
from anima.evaluation.recall_life import Said
from anima.evaluation.recall_metrics import Tally, pooled
from anima.evaluation.recall_table import tabulate
from anima.evaluation.recall_world import Measure, lives
from anima.memory.ranking.concert import Concert

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIVES = lives("tune", seed=5, count=6)


class Knowing:
    """Puts all gold lines first, or all stale ones; sure of what was told."""

    def __init__(self, life, *, right=True):
        self.right = right
        self.by_text = {}
        for query in life.queries:
            self.by_text.setdefault((query.text, query.at), query)

    def ask(self, text, *, now, k):
        query = self.by_text.get((text, now)) or self.by_text[text, None]
        gold = [line for claim in query.gold for line in sorted(claim)[:1]]
        first = gold if self.right else [*sorted(query.stale), *gold]
        return Ranking(ids=tuple(first[:k]), confidence=float(bool(gold)), abstained=not gold)


def asked(memory, life):
    tally = Tally()
    missed = {}
    for query in life.queries:
        for gap, after in recall.GAPS.items():
            recall._ask(memory, life, query, gap, after, tally, missed)
    return tally.row(), missed


def figures(rows, group):
    return {
        name: value.value for name, value in pooled(rows, group, np.random.default_rng(0)).items()
    }


def test_a_perfect_ranking_is_right_in_everything():
    found = [asked(Knowing(life), life) for life in LIVES]
    rows = [row for row, _ in found]
    for gap in recall.GAPS:
        shown = figures(rows, f"after {gap}")
        assert shown["hit@1"] == shown["hit@5"] == shown["recall@10"] == shown["AUROC"] == 1
        assert shown["stale"] == shown["said twice in 5"] == shown["silent, told"] == 0
        assert shown["silent, untold"] == 1
    assert figures(rows, recall.EARLIER)["as of"] == 1
    assert all(counts[1:] == [0, 0] for _, missed in found for counts in missed.values())


def test_a_ranking_with_what_was_replaced_in_front_is_always_stale():
    rows = [asked(Knowing(life, right=False), life)[0] for life in LIVES]
    assert figures(rows, "after 1 day")["stale"] == 1
    assert figures(rows, recall.EARLIER)["as of"] == 0


def test_random_finds_about_as_many_as_chance():
    rows, chance = [], []
    for life in LIVES:
        for seed in range(3):
            rows.append(
                asked(Plain(arm=RANDOM, lines=life.lines, encoder=None, seed=seed), life)[0]
            )
        chance += [
            5 * len(query.gold[0]) / len(life.lines)
            for query in life.queries
            if query.asks == "now" and len(query.gold) == 1
        ]
    shown = figures(rows, "after 1 day")
    assert 0 < shown["hit@5"] < 3 * np.mean(chance)
    assert abs(shown["AUROC"] - 0.5) < 0.1


def said(*texts):
    return [
        Said(id=at, text=text, when=NOON + timedelta(hours=at), kind="fact")
        for at, text in enumerate(texts)
    ]


def test_each_plain_arm_is_its_formula():
    lines = said("the red fox jumps", "a quiet lake", "the red fox jumps again")
    late = NOON + timedelta(days=9)

    def ids(arm, now=late, text="red fox jumps"):
        with remembered(arm, lines, Kept(Letters()), seed=0) as memory:
            return memory.ask(text, now=now, k=3).ids

    assert ids(RECENCY) == (2, 1, 0)
    assert ids(KEYWORDS) == (0, 2)
    assert ids(VECTORS)[0] == 0
    assert ids(FUSED)[0] == 0
    assert ids(SEED, text="a quiet lake")[0] == 1
    assert sorted(ids(RANDOM)) == [0, 1, 2]
    for arm in (RECENCY, KEYWORDS, VECTORS, FUSED, SEED, RANDOM):
        assert 2 not in ids(arm, now=NOON + timedelta(hours=1))


def test_the_seeds_arm_weighs_recency_similarity_and_novelty_as_written():
    lines = said("alpha beta", "alpha beta")
    with remembered(SEED, lines, Kept(Letters()), seed=0) as memory:
        answer = memory.ask("alpha beta", now=NOON + timedelta(hours=1), k=2)
    weights = Concert()
    # The first was new when it was said and is an hour old; the second is neither.
    first = weights.alpha * math.exp(-1 / 6) + weights.beta + weights.gamma
    assert first > weights.alpha + weights.beta
    assert answer.ids == (0, 1)
    assert answer.confidence == pytest.approx(first, abs=1e-6)


def test_letters_are_unit_vectors_that_know_shared_words():
    vectors = Letters().encode(["my red car", "a red car", "stormy night", ""])
    assert np.linalg.norm(vectors[:3], axis=1) == pytest.approx(1)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert Letters().encode(["my red car"])[0].tolist() == vectors[0].tolist()


def test_a_text_is_encoded_once_while_it_is_kept():
    seen = []

    class Counting(Letters):
        def encode(self, texts):
            seen.extend(texts)
            return super().encode(texts)

    kept = Kept(Counting(), most=3)
    kept.encode(["a", "b", "a"])
    assert kept("a").tolist() == Letters().encode(["a"])[0].tolist()
    assert seen == ["a", "b"]
    kept.encode(["c", "d"])
    kept.encode(["a"])
    assert seen == ["a", "b", "c", "d", "a"]


def request(size="smoke", **options):
    return Request(
        home=None, settings=Settings(), size=size, seed=0, judge="words", say=print,
        options=options,
    )  # fmt: skip


def few(study, *arms):
    cells = tuple(c for c in study.cells if c.arm in arms and c.unit in ("0", "1"))
    return replace(study, cells=cells)


def test_the_study_has_every_arm_once_for_each_encoder():
    one = recall.study(request(half="tune"), [Letters()])
    assert {cell.arm for cell in one.cells} == {
        "random", "recency only", "BM25 only", "vectors only", "RRF", "seed's concert",
        "ours, append only, each line alone", "ours, append only", "ours",
    }  # fmt: skip
    assert one.settings["half"] == "tune"
    assert recall.study(request(), [Letters()]).settings["half"] == "report"

    class Other(Letters):
        name = "other"

    two = recall.study(request(half="tune"), [Letters(), Other()])
    assert {"ours (letters)", "ours (other)", "BM25 only"} <= {cell.arm for cell in two.cells}


def test_the_study_goes_on_where_it_was(tmp_path):
    study = few(recall.study(request(half="tune"), [Letters()]), "BM25 only", "vectors only")
    measured = []

    def counting(cells):
        measured.extend(cells)
        return study.measure(cells)

    watched = replace(study, measure=counting, batch=1)
    journal = tmp_path / "cells.jsonl"
    ticks = iter([0.0, 0.0, 0.0, 99.0])
    stopped = run(
        watched, seed=0, journal=journal, minutes=1, clock=lambda: next(ticks), say=lambda m: None
    )
    whole = run(watched, seed=0, journal=journal, clock=lambda: 0.0, say=lambda m: None)
    assert not stopped.complete
    assert whole.complete
    assert len(measured) == len(study.cells)
    assert whole.lines == run(study, seed=0, clock=lambda: 0.0, say=lambda m: None).lines


def test_words_find_more_than_chance_and_recency_is_never_stale():
    study = few(
        recall.study(request(half="tune"), [Letters()]), "random", "recency only", "BM25 only"
    )
    outcome = run(study, seed=0, clock=lambda: 0.0, say=lambda m: None)
    table = {(line.group, line.arm): line.figures for line in outcome.lines}
    day = "after 1 day"
    assert table[day, "BM25 only"]["hit@5"].value > 2 * table[day, "random"]["hit@5"].value
    assert table[day, "recency only"]["stale"].value == 0
    assert outcome.lines[0].group == "after 1 hour"
    assert table[day, "BM25 only"]["hit@5"].n == 2


def test_ours_closes_what_was_replaced_and_leaves_the_rest():
    study = few(recall.study(request(half="tune"), [Letters()]), "ours", "ours, append only")
    outcome = run(study, seed=0, clock=lambda: 0.0, say=lambda m: None)
    table = {(line.group, line.arm): line.figures for line in outcome.lines}
    ours, appended = table["after 1 day", "ours"], table["after 1 day", "ours, append only"]
    assert ours["stale"].value < appended["stale"].value
    judged = table["race and trace", "ours"]
    assert judged["closed rightly"].value > 0
    assert judged["closed wrongly"].value == 0
    assert ("race and trace", "ours, append only") not in table


def test_planted_facts_are_the_first_of_each_slot():
    life = LIVES[0]
    planted = recall_chat.planted(life)
    slots = [line.slot for line in planted]
    assert len(set(slots)) == len(slots) > 5
    assert [line.id for line in planted] == list(range(len(planted)))
    assert all(line.kind == "fact" for line in planted)


def test_a_line_that_takes_back_a_fact_is_counted_and_chat_is_not():
    small = lives("tune", seed=0, count=1, measure=Measure(told=3, untold=1, chat=0))[0]
    home = Said(id=99, text="I live in Porto.", when=small.end, kind="fact", slot="home")
    life = replace(small, lines=(*(each for each in small.lines if each.slot != "home"), home))
    talk = recall_chat.Talk(texts=("What a day!", "I moved to Graz.", "How is the weather?"))
    row = recall_chat.row(talk, life, Kept(Letters()))
    shown = figures([row], recall_chat.GROUP)
    assert shown["closed by a line"] == pytest.approx(1 / 3)
    assert row["closings"] == [("I moved to Graz.", "I live in Porto.")]
    assert shown["facts closed"] > 0


def test_an_encoder_of_no_name_is_refused():
    with pytest.raises(UsageError, match="nonsense"):
        recall.open_encoders(request(encoder=("nonsense",)))
    assert [each.name for each in recall.open_encoders(request(encoder=("letters",)))] == [
        "letters"
    ]


def test_a_table_pools_the_rows_of_each_arm():
    tally = Tally()
    tally.add("after 1 day", **{"hit@1": 1.0})
    tally.add("after 1 hour", **{"hit@1": 0.0})
    rows = [{**tally.row(), "arm": OURS, "unit": str(at), "group": ""} for at in range(3)]
    lines = tabulate(rows, np.random.default_rng(0))
    assert [(line.group, line.figures["hit@1"].value) for line in lines] == [
        ("after 1 hour", 0.0),
        ("after 1 day", 1.0),
    ]
