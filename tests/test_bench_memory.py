import pytest

from tools.bench_memory import Talk, ledger_rows


def test_every_cost_of_the_memory_has_its_row_and_the_raw_engine_beside_it():
    rows = ledger_rows([60], 1)
    own = {each.what: each for each in rows if each.whose == "anima"}
    raw = {each.what for each in rows if each.whose == "raw engine"}
    assert {
        "put, durable, 60 lines", "query, 60 lines, p50", "query, 60 lines, p90",
        "open, 60 lines", "verify, 60 lines", "memory while open, 60 lines",
    } <= set(own)  # fmt: skip
    assert raw == {
        "put, durable, 60 lines", "query, 60 lines, p50", "query, 60 lines, p90", "open, 60 lines"
    }  # fmt: skip
    assert all(each.least <= each.median <= each.most for each in rows)


def test_a_flat_faiss_index_misses_nothing():
    pytest.importorskip("faiss")
    found = {each.whose: each.median for each in ledger_rows([60], 1) if "recall@5" in each.what}
    assert found["faiss flat"] == 1.0


def test_the_same_seed_gives_the_same_talk():
    assert Talk(seed=4).text() == Talk(seed=4).text() != Talk(seed=5).text()
    assert (Talk(seed=4).key() == Talk(seed=4).key()).all()
