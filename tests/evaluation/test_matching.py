import pytest

from anima.evaluation.matching import says


@pytest.mark.parametrize(
    ("text", "answers", "right"),
    [
        ("Your sister is called Clara.", ["Clara"], True),
        ("CLARA!", ["clara"], True),
        ("Clarabella", ["Clara"], False),
        ("It is the Blue-Whale, of course.", ["blue whale"], True),
        ("The whale is blue.", ["blue whale"], False),
        ("It is Malmö.", ["Malmo"], True),
        ("Eight legs.", ["8", "eight"], True),
        ("It has 8 legs.", ["8"], True),
        ("It has 18 legs.", ["8"], False),
        ("3 + 4 = 7, so the answer is 7.", ["7"], True),
        ("", ["7", "seven"], False),
    ],
)
def test_an_answer_is_right_where_its_words_stand_or_its_number_comes_out(text, answers, right):
    assert says(text, answers) is right
