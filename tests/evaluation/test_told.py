from anima.evaluation.told import facts


def test_the_facts_of_a_half_are_all_different_and_their_questions_too():
    made = facts("report", 3)
    assert len(made) == len({fact.question for fact in made}) == len({f.text for f in made}) == 72
    for fact in made:
        assert fact.answer in fact.text
        assert fact.answer not in fact.question
        assert fact.start.startswith(("Your", "The"))


def test_the_halves_share_neither_persons_nor_values():
    tune, report = facts("tune"), facts("report")
    assert not {fact.answer for fact in tune} & {fact.answer for fact in report}
    assert not {fact.question for fact in tune} & {fact.question for fact in report}


def test_the_same_seed_tells_the_same_and_another_one_something_else():
    assert facts("tune", 1) == facts("tune", 1) != facts("tune", 2)
