import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import SteeringError
from anima.prism.contrast import Reader
from anima.prism.switching import (
    Hysteresis,
    Leaning,
    leaned,
    read_switcher,
    train_switcher,
    write_switcher,
)

RULE = Hysteresis()
TEXTS = {
    "dream": ["zzzz aaaa", "zz aa zz", "azaz zaza", "aaazzz"],
    "system": ["1234 5678", "99 12", "123123", "7 8 9"],
}


def reader():
    model = tiny.loaded()
    return Reader(trunk=model.trunk, encoder=model.tokenizer, format=tiny.chat_format())


def chances(**given):
    rest = (1 - sum(given.values())) / (3 - len(given))
    return {name: given.get(name, rest) for name in ("anima", "dream", "system")}


def followed(*texts, mode="system"):
    leaning, modes = Leaning(mode=mode), []
    for each in texts:
        leaning = leaned(leaning, each, RULE)
        modes.append(leaning.mode)
    return modes


def test_a_clear_wish_switches_at_once():
    assert followed(chances(dream=0.98)) == ["dream"]


def test_a_text_that_says_nothing_leaves_the_mode_however_often_it_comes():
    assert followed(*[chances(dream=0.4)] * 1, *[chances()] * 20, mode="anima") == ["anima"] * 21


def test_a_doubtful_wish_has_to_come_again():
    modes = followed(*[chances(dream=0.8)] * 3)
    assert modes[0] == "system"
    assert modes[-1] == "dream"


def test_from_off_the_first_clear_text_chooses():
    assert followed(chances(anima=0.9), mode="off") == ["anima"]


@given(
    st.lists(st.tuples(*[st.floats(0.001, 1)] * 3), min_size=1, max_size=8),
    st.sampled_from(["off", "dream"]),
)
def test_belief_always_sums_to_one_and_the_mode_is_the_one_believed_in_or_kept(texts, mode):
    leaning = Leaning(mode=mode)
    for weights in texts:
        total = sum(weights)
        said = {n: w / total for n, w in zip(("a", "dream", "z"), weights, strict=True)}
        after = leaned(leaning, said, RULE)
        assert sum(after.belief.values()) == pytest.approx(1, abs=1e-5)
        assert after.mode == leaning.mode or after.belief[after.mode] > 0.5
        leaning = after


def test_texts_are_told_apart_by_the_models_own_stream(tmp_path):
    made = train_switcher(reader(), TEXTS, 1, fingerprint="tiny-0")
    write_switcher(tmp_path / "switcher.safetensors", made)
    again = read_switcher(tmp_path / "switcher.safetensors")
    choosing = again.on(reader())
    assert choosing.labels == ("dream", "system")
    assert choosing.chances("zaaz az")["dream"] > 0.5
    assert choosing.chances("4321 7")["system"] > 0.5
    assert choosing.chances("zaaz az") == made.on(reader()).chances("zaaz az")


def test_a_classifier_is_known_by_its_digest_before_and_after_its_file(tmp_path):
    made = train_switcher(reader(), TEXTS, 1, fingerprint="tiny-0")
    other = train_switcher(reader(), TEXTS, 1, fingerprint="tiny-0", penalty=0.1)
    write_switcher(tmp_path / "switcher.safetensors", made)
    assert read_switcher(tmp_path / "switcher.safetensors").digest == made.digest != other.digest


def test_a_damaged_classifier_is_refused_with_its_path(tmp_path):
    path = tmp_path / "switcher.safetensors"
    with pytest.raises(SteeringError, match="cannot be read"):
        read_switcher(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(SteeringError, match=r"switcher\.safetensors"):
        read_switcher(path)
    made = train_switcher(reader(), TEXTS, 1, fingerprint="")
    write_switcher(path, type(made)(**{**vars(made), "bias": torch.zeros(5)}))
    with pytest.raises(SteeringError, match="do not belong together"):
        read_switcher(path)
