import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from planted import planted

from anima.features.contexts import Ground, Strongest
from anima.features.passages import Marks

TEXTS = ["", "I", " see", " you", "!", " Hel", "lo", " wo", "rld", "\n", " «", "\u2019s"]


def marks(*turns, pieces=None):
    """Each turn a list of token numbers; turns of one piece unless told."""
    ids = [token for turn in turns for token in turn]
    turn = [number for number, each in enumerate(turns) for _ in each]
    piece = [0] * len(ids) if pieces is None else [pieces[number] for number in turn]
    return Marks(
        ids=np.array(ids), piece=np.array(piece), turn=np.array(turn),
        reply=np.array([number % 2 == 1 for number in turn]),
    )  # fmt: skip


def ground(*turns, **more):
    return Ground(marks=marks(*turns, **more), texts=TEXTS)


def test_the_whole_word_around_a_peak_is_seen():
    seen = ground([1, 2, 5, 6, 4]).sight(3)
    assert (seen.word, seen.token) == ("Hello", "lo")
    assert (seen.before, seen.after) == (("I", "see"), ("!",))


def test_a_mark_is_no_part_of_the_word_before_it():
    seen = ground([5, 6, 4]).sight(2)
    assert seen.word == "!"
    assert seen.last
    assert not seen.first


def test_what_is_around_ends_with_the_turn_and_the_shown_text_with_the_piece():
    both = ground([1, 2], [3, 4], [5, 6], pieces=[0, 0, 1])
    seen = both.sight(2)
    assert seen.first
    assert seen.before == ()
    assert seen.reply
    assert both.shown(2) == "I see ⏎ «you»!"


def test_a_peak_without_a_letter_is_shown():
    both = ground([1, 9, 2])
    assert both.shown(1) == "I«↵» see"
    assert both.sight(1).word == "↵"


def test_marks_in_the_text_itself_are_changed():
    assert ground([1, 10, 2]).shown(2) == "I “ «see»"


def sights(both, *positions):
    values = np.linspace(1.0, 0.5, len(positions))
    return both.sights(values, np.array(positions), 5)


def test_peaks_that_say_the_same_count_once_and_one_conversation_gives_few():
    both = ground([1, 2, 3, 1, 2, 3, 1, 2, 4, 5, 6, 4])
    assert len(sights(both, 1, 4)) == 2
    assert len(sights(both, 1, 1, 1)) == 1
    assert len(sights(both, 1, 2, 7, 8)) == 2
    apart = ground([1, 2, 4], [1, 2, 4], [1, 3, 4], pieces=[0, 1, 2])
    assert [seen.position for seen in sights(apart, 1, 4, 7)] == [1, 7]


def test_a_weaker_peak_weighs_less():
    both = ground([1, 2, 4], [1, 3, 4], pieces=[0, 1])
    assert [seen.weight for seen in sights(both, 1, 4)] == [1.0, 0.25]


def test_the_strongest_are_those_of_the_whole_table():
    sae = planted(threshold=0.0)
    h = torch.randn(50, sae.width, generator=torch.Generator().manual_seed(0))
    a = sae.encode(h)
    found = Strongest(features=sae.n_features, keep=5)
    for part in h.split(7):
        found.add(sae, part)
    found.settle()
    for feature in range(sae.n_features):
        values, positions = found.of(feature)
        best = a[:, feature].topk(5)
        assert np.allclose(values, best.values.numpy())
        assert positions.tolist() == best.indices.tolist()
    assert found.fired.tolist() == (a > 0).sum(0).tolist()
    assert found.tokens == 50


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 4))
def test_settling_in_between_changes_nothing(sizes, keep):
    sae = planted(threshold=0.2)
    total = sum(sizes)
    h = torch.randn(total, sae.width, generator=torch.Generator().manual_seed(total))
    once, often = (Strongest(features=sae.n_features, keep=keep) for _ in range(2))
    once.add(sae, h)
    once.settle()
    for part in h.split(sizes):
        often.add(sae, part)
        often.settle()
    assert np.array_equal(once.position, often.position)
    assert np.array_equal(once.feature, often.feature)


def test_a_feature_that_is_never_active_has_no_peak():
    sae = planted(threshold=1e9)
    found = Strongest(features=sae.n_features)
    found.add(sae, torch.randn(4, sae.width))
    found.settle()
    assert all(len(found.of(feature)[0]) == 0 for feature in range(sae.n_features))
