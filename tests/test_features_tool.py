import json

import pytest
import tiny
import torch
from label_rig import corpus_file
from planted import planted, save

from anima.features.labels import FeatureLabel, Labels, write_labels
from anima.features.statistics import FeatureStatistics
from tools import features


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A tiny model's folder, an SAE's folder with labels and statistics, and conversations."""
    monkeypatch.setenv("ANIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANIMA_CACHE", str(tmp_path / "cache"))
    sae = planted(threshold=0.1)
    folder = save(tmp_path / "sae", sae)
    labels = [
        FeatureLabel(feature=number, label=f"thing {number}", density=0.01, maximum=2.0)
        for number in range(sae.n_features)
    ]
    write_labels(folder, Labels(labels))
    ones = torch.ones(sae.n_features)
    FeatureStatistics(
        density=0.01 * ones, typical=ones, maximum=2 * ones, norm=5.0, tokens=100
    ).save(folder)
    model = tiny.save(tmp_path / "model")

    def run(*arguments):
        page = tmp_path / "page.html"
        named = ["--model", str(model), "--sae", str(folder), "--out", str(page)]
        code = features.main([*named, *arguments])
        return code, page.read_text(encoding="utf-8") if page.exists() else ""

    return run, corpus_file(tmp_path)


def test_a_feature_is_found_by_its_label_and_drawn(made):
    run, talks = made
    code, page = run("page", "thing 3", "--text", str(talks))
    assert code == 0
    assert "<h1>thing 3</h1>" in page
    assert "talks.jsonl" in page


def test_a_feature_that_is_not_there_is_said(made, capsys):
    run, talks = made
    code, page = run("page", "unicorns", "--text", str(talks))
    assert code == 2
    assert page == ""
    assert "unicorns" in capsys.readouterr().err


def test_a_conversation_is_drawn_from_a_text_and_from_a_session_s_record(made, tmp_path):
    run, talks = made
    code, page = run("tokens", "--text", str(talks))
    assert code == 0
    assert "Features over talks" in page
    record = tmp_path / "abc.jsonl"
    record.write_text(json.dumps(turn_record()) + "\n", encoding="utf-8")
    code, page = run("tokens", "--session", str(record))
    assert code == 0
    assert "Features over abc" in page
    assert "(assistant)" in page


def turn_record():
    return {
        "record": "turn", "turn": 1, "text": "Do you swim?", "reply": "In the sea.", "seed": 1,
        "segments": [{"role": "user", "text": "Do you swim?"}], "sampling": {}, "max_tokens": 4,
        "organs": [], "dropped": 0, "fresh": True, "calls": [], "ids": [], "roles": [],
        "reply_ids": [], "finish": "end", "deltas": {}, "started": "", "ended": "",
        "per_second": None,
    }  # fmt: skip


def test_without_a_conversation_there_is_nothing_to_draw(made, capsys):
    run, _ = made
    assert run("tokens")[0] == 2
    assert "--session" in capsys.readouterr().err


def test_the_map_is_drawn(made):
    run, _ = made
    code, page = run("map")
    assert code == 0
    assert "8 decoder rows" in page
