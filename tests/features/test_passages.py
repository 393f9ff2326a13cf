import numpy as np
import pytest
import tiny
from label_rig import TALKS, corpus_file, pieces

from anima.context import Tokens
from anima.errors import UsageError
from anima.features import corpus, passages
from anima.features.harvest import harvest
from anima.features.passages import chained, joined, marks_of, reading, shards, stored


@pytest.fixture
def loaded():
    return tiny.loaded()


def piece(*stretches):
    """`("user", 3)` is three tokens of that role."""
    roles = [role for role, count in stretches for _ in range(count)]
    return Tokens(ids=tuple(range(len(roles))), roles=tuple(roles))


def test_marks_are_of_content_tokens_and_tell_pieces_turns_and_replies_apart():
    first = piece(("template", 1), ("user", 2), ("template", 1), ("assistant", 2))
    marks = marks_of([first, piece(("system", 2), ("user", 1))])
    assert marks.ids.tolist() == [1, 2, 4, 5, 2]
    assert marks.piece.tolist() == [0, 0, 0, 0, 1]
    assert marks.turn.tolist() == [0, 0, 1, 1, 2]
    assert marks.reply.tolist() == [False, False, True, True, False]


def test_two_turns_of_one_role_are_two_turns():
    marks = marks_of([piece(("user", 1), ("template", 1), ("user", 1))])
    assert marks.turn.tolist() == [0, 1]


def test_joined_marks_count_on():
    one = marks_of([piece(("user", 1), ("assistant", 1))])
    both = joined([one, marks_of([]), one])
    assert both.piece.tolist() == [0, 0, 1, 1]
    assert both.turn.tolist() == [0, 1, 2, 3]


def test_reading_gives_the_stream_of_content_tokens(loaded, tmp_path):
    made = list(reading(loaded.trunk, 1, pieces(loaded, tmp_path))(0))
    assert len(made) == len(TALKS)
    together = joined([one.marks for one in made])
    texts = [loaded.tokenizer.decode(one.marks.ids.tolist()) for one in made]
    source = corpus.read_text(corpus_file(tmp_path))
    assert texts == ["".join(one.turns) for one in source.conversations]
    assert all(len(one.h) == len(one.marks) for one in made)
    assert together.reply.any()


def test_reading_ends_after_enough_tokens_and_begins_where_told(loaded, tmp_path):
    made = reading(loaded.trunk, 1, pieces(loaded, tmp_path), tokens=1)
    assert len(list(made(0))) == 1
    assert list(made(1)) == []
    whole = reading(loaded.trunk, 1, pieces(loaded, tmp_path))
    assert np.array_equal(next(iter(whole(2))).marks.ids, list(whole(0))[2].marks.ids)


def test_a_harvest_read_again_is_what_the_model_says(loaded, tmp_path):
    source = pieces(loaded, tmp_path)
    harvest(loaded.trunk.model, source(), tmp_path / "kept", layers=[1], tokens=10_000)
    (kept,) = list(stored(tmp_path / "kept", 1, source)(0))
    live = list(reading(loaded.trunk, 1, source)(0))
    # A harvest sorts pieces by length.
    for number in range(len(TALKS)):
        ids = kept.marks.ids[kept.marks.piece == number]
        (same,) = [one for one in live if np.array_equal(one.marks.ids, ids)]
        rows = kept.h[kept.marks.piece == number].float()
        assert np.allclose(rows.numpy(), same.h.numpy(), atol=0.01)
    assert shards(tmp_path / "kept") == 1


def test_tokens_that_a_harvest_left_out_are_stepped_over(loaded, tmp_path):
    source = pieces(loaded, tmp_path)
    folder = tmp_path / "kept"
    harvest(loaded.trunk.model, source(), folder, layers=[1], tokens=10_000)
    (whole,) = list(stored(folder, 1, source)(0))
    for part in ("tokens", "layer-1"):
        path = folder / part / "00000.npy"
        np.save(path, np.delete(np.load(path), 3, axis=0))
    (less,) = list(stored(folder, 1, source)(0))
    assert np.array_equal(less.marks.turn, np.delete(whole.marks.turn, 3))


def test_activations_of_other_texts_are_refused(loaded, tmp_path):
    harvest(
        loaded.trunk.model, pieces(loaded, tmp_path)(), tmp_path / "kept", layers=[1], tokens=10_000
    )
    other = pieces(loaded, tmp_path, [("Hello", "Hi")])
    with pytest.raises(UsageError, match="other texts"):
        list(stored(tmp_path / "kept", 1, other)(0))


def test_sources_in_a_row_are_one_from_any_place(loaded, tmp_path):
    one = reading(loaded.trunk, 1, pieces(loaded, tmp_path))
    both = chained([(one, 3), (one, 3)])
    ids = [passage.marks.ids.tolist() for passage in both(0)]
    assert len(ids) == 6
    for start in range(7):
        assert [passage.marks.ids.tolist() for passage in both(start)] == ids[start:]


def test_a_part_of_a_corpus_is_rendered_alone(loaded, tmp_path):
    source = corpus.read_text(corpus_file(tmp_path))
    parts = [
        list(passages.pieces_of(source, loaded.tokenizer, tiny.chat_format(), (), part=part)())
        for part in ("held", "train", None)
    ]
    assert len(parts[0]) + len(parts[1]) == len(parts[2]) == len(TALKS)
