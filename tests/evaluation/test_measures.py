import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.evaluation import measures
from anima.evaluation.material import MODES, styled_replies

WARM = (
    "I'm so sorry that you feel lonely. I care about you, and I hope you can rest a little. "
    "Would you like to tell me about your day?"
)
DRY = "The bridge is 340 metres long. It was built in 1974. It carries two lanes."
DREAMY = (
    "The moon trembles like a silver fish in the dark river, and the wind whispers of velvet stars "
    "that slumber beneath the sea."
)


@pytest.mark.parametrize(("text", "mode"), [(WARM, "anima"), (DRY, "system"), (DREAMY, "dream")])
def test_a_text_of_a_modes_kind_meets_all_its_constraints_and_few_of_the_others(text, mode):
    assert measures.constraint_rate(text, mode) == 1
    for other in set(MODES) - {mode}:
        assert measures.constraint_rate(text, other) < 0.6


@pytest.mark.parametrize("mode", MODES)
def test_constraints_tell_the_styles_of_the_training_texts_apart(mode):
    def rate(style):
        texts = [reply.replies[style] for reply in styled_replies("train")]
        return sum(measures.constraint_rate(text, mode) for text in texts) / len(texts)

    assert all(rate(mode) > rate(other) + 0.3 for other in {*MODES, "neutral"} - {mode})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", ["", "...", "1 2 3 4", "Yes."])
def test_silence_and_scraps_meet_no_constraint(text, mode):
    assert measures.constraint_rate(text, mode) == 0


def test_repeating_one_image_does_not_make_a_text_poetic():
    met = measures.constraints_met("moon " * 40, "dream")
    assert not met["has images"]
    assert not met["makes things live"]


@pytest.mark.parametrize(
    ("mode", "name", "text"),
    [
        ("system", "states only", "The train leaves at nine from the second platform!"),
        ("system", "speaks of no person", "The train that I know leaves at nine from there."),
        ("system", "no fantasy", "The train to the kingdom leaves at nine from there."),
        ("system", "gives a number", "The train leaves late from the platform over there."),
        ("anima", "asks the person back", "I know that you are tired. What is a fox then?"),
        ("dream", "compares", "The moon and the river and the dark sleeping wind of night."),
    ],
)
def test_a_constraint_fails_where_its_one_condition_does(mode, name, text):
    assert not measures.constraints_met(text, mode)[name]


def test_repetition_is_the_share_of_trigrams_seen_before():
    assert measures.repetition("a b c d e") == 0
    assert measures.repetition("a b c a b c") == pytest.approx(1 / 4)
    assert measures.repetition("no " * 50) > 0.9
    assert measures.repetition("") == 0


@given(st.text(max_size=200))
def test_rates_stay_within_0_and_1_whatever_the_text(text):
    for value in (
        measures.repetition(text),
        measures.distinct(text),
        measures.real_words(text, str.isalpha),
        *(measures.constraint_rate(text, mode) for mode in MODES),
    ):
        assert 0 <= value <= 1


def test_distinct_2_is_the_share_of_different_pairs():
    assert measures.distinct("a b a b a b a b a") == pytest.approx(2 / 8)


def test_broken_words_lower_the_share_of_real_ones_and_names_and_figures_do_not():
    known = {"the", "river", "is", "blue", "well", "made"}.__contains__
    assert measures.real_words("The river's blue", known) == 1
    assert measures.real_words("the riverrr is bluue", known) == 0.5
    assert measures.real_words("the Elbe is 12 well-made", known) == 1
    assert measures.real_words("", known) == 0


def test_a_topic_is_met_by_a_word_or_by_a_stem():
    assert measures.on_topic("He was Sailing.", ["sail*"])
    assert not measures.on_topic("He was assailed.", ["sail*"])
    assert measures.on_topic("An owl.", ["owl"])
    assert not measures.on_topic("Two owls.", ["owl"])


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("3 + 4 = 7", True),
        ("The answer is 7, of course, not 8.", True),
        ("It is 70.", False),
        ("7 times 3", False),
        ("Adding 3 and 4 gives 7.", True),
        ("", False),
    ],
)
def test_an_answer_counts_where_it_is_stated_or_comes_last(text, right):
    assert measures.gives_answer(text, "7") == right


def test_thousands_may_be_separated():
    assert measures.gives_answer("It makes 1,250", "1250")
