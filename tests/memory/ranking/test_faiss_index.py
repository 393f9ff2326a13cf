"""FAISS finds what the exact index finds, also after keys went; a graph nearly so, and says how nearly."""

import numpy as np
import pytest

from anima.memory import HybridRecall
from anima.memory.ranking.vectors import ExactIndex

from ..asked import line, question

pytest.importorskip("faiss")
from anima.memory.ranking.faiss_index import FaissIndex, recall_of

KEYS = np.random.default_rng(5).normal(size=(2500, 24)).astype(np.float32)
ASKED = np.random.default_rng(6).normal(size=(30, 24)).astype(np.float32)


def both(kind: str) -> tuple[ExactIndex, FaissIndex]:
    exact, index = ExactIndex(), FaissIndex(kind)
    for seq, key in enumerate(KEYS, 1):
        exact.add(seq, key)
        index.add(seq, key)
    for seq in range(3, 2500, 7):
        exact.drop(seq)
        index.drop(seq)
    return exact, index


def test_the_flat_index_finds_the_same_also_after_keys_went() -> None:
    exact, index = both("flat")
    assert len(index) == len(exact)
    assert recall_of(index, exact, list(ASKED), k=20) == 1.0
    assert index.background(ASKED[0]) == pytest.approx(exact.background(ASKED[0]), abs=1e-6)


def test_a_graph_finds_nearly_the_same_and_none_that_was_dropped() -> None:
    exact, index = both("hnsw")
    assert recall_of(index, exact, list(ASKED)) > 0.9
    dropped = set(range(3, 2500, 7))
    assert all(dropped.isdisjoint(index.near(each, 50).seqs.tolist()) for each in ASKED)


def test_a_graph_is_made_anew_when_half_of_it_was_dropped() -> None:
    _, index = both("hnsw")
    for seq in range(1, 2000):
        index.drop(seq)
    found = index.near(KEYS[2300])
    assert found.seqs.size == len(index)
    assert found.similarities.max() == pytest.approx(1.0, abs=1e-5)


def test_the_hybrid_ranks_the_same_over_either_index() -> None:
    answers = []
    for index in (ExactIndex(), FaissIndex()):
        recall = HybridRecall(index=index)
        for seq in range(1, 2500):
            recall.add(line(seq, f"word{seq % 50} and word{seq % 7}", KEYS[seq]))
        recall.drop(17)
        found = [recall.search(question("word3 word5", each), 10).found for each in ASKED]
        answers.append([[each.seq for each in one] for one in found])
    assert answers[0] == answers[1]
