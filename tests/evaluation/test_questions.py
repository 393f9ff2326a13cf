import json

import pytest

from anima.errors import UsageError
from anima.evaluation.matching import says
from anima.evaluation.questions import arithmetic, facts, gsm8k


@pytest.mark.parametrize("steps", [1, 2])
def test_arithmetic_is_different_questions_with_whole_answers_from_zero_up(steps):
    made = arithmetic(5, 30, steps=steps)
    assert len({question.text for question in made}) == 30
    assert all(int(answer) >= 0 for question in made for answer in question.answers)
    assert made == arithmetic(5, 30, steps=steps) != arithmetic(6, 30, steps=steps)


def test_the_answer_of_a_question_of_arithmetic_is_right():
    (one,) = [q for q in arithmetic(0, 6, steps=1) if q.text.endswith("plus 2?")]
    words = one.text.removesuffix("?").split()
    assert int(words[2]) + int(words[4]) == int(one.answers[0])


def test_no_packaged_question_gives_its_answer_away():
    made = facts()
    assert len({question.text for question in made}) == len(made) >= 30
    assert not [q.text for q in made if says(q.text, q.answers)]


def test_both_forms_of_the_public_set_are_read_and_drawn_by_the_seed(tmp_path):
    own = [{"question": f"Q{n}?", "answer": f"First 3.\n#### {n},000"} for n in range(9)]
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(json.dumps(entry) for entry in own))
    told = [
        {"instruction": "How many?", "output": "2+2 = 4 in all."},
        {"instruction": "Half?", "output": "0.5"},
    ]
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps(told))
    drawn = gsm8k(lines, 1, 4)
    assert len(drawn) == 4
    assert all(q.answers == (q.text[1:-1] + "000",) or q.text == "Q0?" for q in drawn)
    assert gsm8k(lines, 1, 4) == drawn
    assert [(q.text, q.answers) for q in gsm8k(whole, 0, 9)] == [("How many?", ("4",))]


@pytest.mark.parametrize("text", ["[1, 2]", "nonsense", "[]", '[{"question": "Q"}]'])
def test_a_file_that_is_no_such_set_is_named(tmp_path, text):
    path = tmp_path / "set.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"set\.json"):
        gsm8k(path, 0, 3)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        gsm8k(tmp_path / "none.json", 0, 3)
