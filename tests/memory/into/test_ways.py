import pytest

from anima.config import Settings, checked
from anima.errors import UsageError
from anima.memory.into.ways import Ways, ways_of


def test_a_setting_names_several_ways_in_any_order():
    assert ways_of("knn+quote") == ways_of("quote+knn") == Ways(names=("quote", "knn"))
    assert ways_of("quote").inner == ()
    assert not ways_of("bias+overlay").quoted


def test_strength_zero_leaves_only_the_quoted_block():
    assert ways_of("quote+bias+knn+overlay", 0.0).inner == ()


@pytest.mark.parametrize("words", ["", "loud", "quote+loud", "quote++knn"])
def test_a_way_that_does_not_exist_is_named_with_those_that_do(words):
    with pytest.raises(UsageError, match="quote, bias, knn, overlay"):
        ways_of(words)


def test_a_strength_out_of_bounds_is_refused():
    with pytest.raises(UsageError, match="from 0 to 4"):
        ways_of("knn", 4.5)


def test_the_setting_takes_what_ways_of_reads_and_is_the_quoted_block_by_default():
    assert Settings().memory_into == "quote"
    choices = Settings.__dataclass_fields__["memory_into"].metadata["choices"]
    assert len(choices) == 15
    for words in choices:
        assert "+".join(ways_of(words).names) == words
    with pytest.raises(UsageError, match="memory_into"):
        checked("memory_into", "loud", "--memory-into", UsageError)
