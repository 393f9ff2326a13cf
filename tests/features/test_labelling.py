from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from label_rig import source
from planted import planted
from torch import Tensor

from anima.errors import FeatureError
from anima.features.labelling import (
    PART,
    Lens,
    effects_of,
    known_tokens,
    label_all,
    vocabulary,
)
from anima.features.labels import read_labels, write_labels
from anima.features.passages import joined, reading
from anima.features.sae import Sae
from anima.features.statistics import measure


@pytest.fixture
def loaded():
    return tiny.loaded()


def on_token(loaded, folder, text) -> Sae:
    """An SAE whose feature 0 is on where the stream is as it is on one of a text's tokens."""
    (token,) = loaded.tokenizer.encode(text)
    rows, ids = [], []
    for passage in source(loaded, folder)(0):
        rows.append(passage.h)
        ids.append(torch.from_numpy(passage.marks.ids))
    h, same = torch.cat(rows), torch.cat(ids) == token
    direction = h[same].mean(0) - h[~same].mean(0)
    direction /= direction.norm()
    least = float((h[same] @ direction).min())
    assert float((h[~same] @ direction).max()) < least
    sae = planted(threshold=least - 1e-4)
    decoder = torch.cat([direction[None], sae.decoder[1:]])
    return replace(sae, encoder=decoder.T, decoder=decoder)


def test_a_feature_of_one_token_is_named_after_it(loaded, tmp_path):
    sae = on_token(loaded, tmp_path, "?")
    labels = label_all(loaded, sae, source(loaded, tmp_path), tmp_path)
    found = labels.get(0)
    assert "?" in found.label
    assert all("«?»" in context for context in found.contexts)
    assert list(read_labels(tmp_path)) == list(labels)
    assert not (tmp_path / PART).exists()


def test_density_and_maximum_are_those_of_the_statistics_where_there_are_any(loaded, tmp_path):
    sae = planted(threshold=0.1)
    made = source(loaded, tmp_path)
    statistics = measure(sae, [passage.h for passage in made(0)])
    own = label_all(loaded, sae, made, tmp_path)
    given = label_all(loaded, sae, made, tmp_path, statistics=statistics)
    for one, other in zip(own, given, strict=True):
        assert one.density == pytest.approx(other.density, rel=0.01)
        assert one.maximum == pytest.approx(other.maximum, rel=0.01)
    doubled = replace(statistics, maximum=2 * statistics.maximum)
    twice = label_all(loaded, sae, made, tmp_path, statistics=doubled)
    assert next(iter(twice)).maximum == pytest.approx(2 * next(iter(own)).maximum, rel=0.01)


def test_a_feature_that_is_never_active_gets_no_label(loaded, tmp_path):
    sae = planted(threshold=0.1)
    threshold = sae.biases["threshold"].clone()
    threshold[3] = 1e9
    sae = replace(sae, biases={**sae.biases, "threshold": threshold})
    labels = label_all(loaded, sae, source(loaded, tmp_path), tmp_path)
    assert labels.get(3) is None
    assert labels.get(2) is not None


def test_a_label_by_hand_stays_when_labelled_again(loaded, tmp_path):
    sae = planted(threshold=0.1)
    labels = label_all(loaded, sae, source(loaded, tmp_path), tmp_path)
    write_labels(tmp_path, labels.named(2, "mine"))
    again = label_all(loaded, sae, source(loaded, tmp_path), tmp_path)
    assert again.label(2) == "mine"
    assert again.label(1) == labels.label(1)
    assert again.get(2).contexts == labels.get(2).contexts


def test_a_damaged_label_is_said_before_anything_is_read(loaded, tmp_path):
    (tmp_path / "labels.jsonl").write_text("{\n", encoding="utf-8")
    run, starts = stopping(source(loaded, tmp_path), 99)
    with pytest.raises(FeatureError, match="line 1"):
        label_all(loaded, planted(), run, tmp_path)
    assert starts == []


class Stopped(Exception):
    pass


def stopping(made, after):
    """A source that breaks off, and says from where it was read."""
    starts = []

    def run(start):
        starts.append(start)
        for number, passage in enumerate(made(start)):
            if number == after:
                raise Stopped
            yield passage

    return run, starts


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr("anima.features.labelling._SAVED_EVERY", 1)
    sae = planted(threshold=0.1)
    made = source(loaded, tmp_path)
    whole = label_all(loaded, sae, made, tmp_path)
    (tmp_path / "again").mkdir()
    broken, _ = stopping(made, 2)
    with pytest.raises(Stopped):
        label_all(loaded, sae, broken, tmp_path / "again")
    rest, starts = stopping(made, 99)
    assert list(label_all(loaded, sae, rest, tmp_path / "again")) == list(whole)
    assert starts == [2]


@pytest.mark.parametrize("change", ["mark", "sae", "damage"])
def test_what_was_kept_of_something_else_is_not_gone_on_with(loaded, tmp_path, monkeypatch, change):
    monkeypatch.setattr("anima.features.labelling._SAVED_EVERY", 1)
    sae = planted(threshold=0.1)
    made = source(loaded, tmp_path)
    broken, _ = stopping(made, 2)
    with pytest.raises(Stopped):
        label_all(loaded, sae, broken, tmp_path, mark="one")
    if change == "damage":
        (tmp_path / PART).write_bytes(b"x")
    other = planted(threshold=0.1, seed=1) if change == "sae" else sae
    rest, starts = stopping(made, 99)
    label_all(loaded, other, rest, tmp_path, mark="two" if change == "mark" else "one")
    assert starts == [0]


def test_without_a_token_there_is_nothing_to_label(loaded, tmp_path):
    with pytest.raises(FeatureError, match="no content token"):
        label_all(loaded, planted(), reading(loaded.trunk, 1, list), tmp_path)


def test_the_lens_of_many_is_that_of_each(loaded):
    rows = torch.randn(100, loaded.trunk.info.width, generator=torch.Generator().manual_seed(1))
    known = torch.arange(5, 200)
    many = Lens(loaded.trunk, known).scores(rows)
    each = Lens(loaded.trunk, known).scores(rows[:3])
    assert torch.allclose(many[:3], each, atol=1e-3)
    wanted = loaded.trunk.lens(rows[:3])[:, known]
    assert torch.equal(each.argsort(dim=1)[:, -5:], wanted.argsort(dim=1)[:, -5:])


def test_a_norm_that_takes_the_mean_is_read_row_by_row(loaded):
    class Centred:
        info = loaded.trunk.info

        def lens(self, h: Tensor) -> Tensor:
            return loaded.trunk.lens(h - h.mean(1, keepdim=True))

    rows = torch.randn(100, loaded.trunk.info.width, generator=torch.Generator().manual_seed(1))
    known = torch.arange(259)
    many = Lens(Centred(), known).scores(rows)
    each = Lens(Centred(), known).scores(rows[:3])
    assert torch.allclose(many[:3], each, atol=1e-3)


def test_the_lens_does_not_see_a_direction_s_length(loaded):
    rows = torch.randn(2, loaded.trunk.info.width, generator=torch.Generator().manual_seed(1))
    lens = Lens(loaded.trunk, torch.arange(259))
    assert torch.allclose(lens.scores(rows), lens.scores(50 * rows), atol=1e-2)


def test_effects_are_words_said_once_and_only_what_stands_out_is_outstanding():
    texts = ["", " sea", "Sea", " blue", "!", " x"]
    scores = torch.tensor([[6.0, 5.5, 1.0, 9.0, -2.0]])
    (found,) = effects_of(scores, torch.arange(1, 6), texts)
    assert found.promoted[:3] == ("!", "sea", "blue")
    assert found.suppressed[0] == "x"
    assert found.outstanding == ("sea",)


def test_tokens_that_the_texts_hardly_use_are_not_promoted():
    texts = [f"t{number}" for number in range(2000)]
    texts[7] = ""
    texts[8] = "\ufffd"
    ids = [number for number in range(1500) for _ in range(3)]
    known = known_tokens(np.array([*ids, 1600]), texts).tolist()
    assert 1600 not in known
    assert 7 not in known
    assert 8 not in known
    assert 1499 in known
    assert len(known_tokens(np.array([1, 1, 1]), texts)) == 1998


def test_every_token_has_its_text_with_its_space(loaded):
    texts = vocabulary(loaded.tokenizer, loaded.trunk.info.vocabulary)
    (space,) = loaded.tokenizer.encode(" ")
    assert texts[space] == " "
    assert texts[2] == ""
    ids = loaded.tokenizer.encode("a sea")
    assert "".join(texts[token] for token in ids) == "a sea"


def test_passages_may_come_in_any_size(loaded, tmp_path):
    sae = planted(threshold=0.1)
    made = list(source(loaded, tmp_path)(0))
    together = type(made[0])(
        marks=joined([one.marks for one in made]), h=torch.cat([one.h for one in made])
    )
    (tmp_path / "one").mkdir()
    apart = label_all(loaded, sae, lambda start: iter(made[start:]), tmp_path)
    once = label_all(loaded, sae, lambda start: iter([together][start:]), tmp_path / "one")
    assert list(apart) == list(once)
