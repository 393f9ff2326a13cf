import pytest
from runtime_rig import wake

from anima.errors import UsageError
from anima.runtime.figures import figures


def turn(said, per_second, finish="end", read=3):
    return {
        "ids": [0] * read, "reply_ids": [0] * said, "per_second": per_second, "finish": finish,
    }  # fmt: skip


def test_turns_add_up():
    found = figures(
        [turn(11, 10.0), turn(21, 40.0, "stopped"), turn(1, None)],
        draws=5, context_used=100, context_window=2048,
    )  # fmt: skip
    assert (found.turns, found.taken_back, found.stopped) == (3, 2, 1)
    assert (found.tokens_read, found.tokens_said) == (9, 33)
    assert (found.per_second, found.seconds) == (25.0, pytest.approx(1.5))


def test_no_turn_has_no_speed():
    found = figures([], draws=0, context_used=7, context_window=2048)
    assert (found.per_second, found.seconds, found.taken_back) == (None, 0, 0)


def test_a_runtime_counts_its_own():
    runtime = wake()
    runtime.say("Hello")
    list(runtime.regenerate())
    found = runtime.figures()
    assert (found.turns, found.taken_back, found.tokens_said) == (1, 1, 8)
    assert found.context_used == runtime.status()["context_used"]


def test_changed_settings_are_those_that_differ_from_the_defaults():
    runtime = wake(temperature=0.0, max_tokens=8)
    assert runtime.changed == {}
    runtime.set("temperature", 0.5)
    runtime.set("max_tokens", 9)
    runtime.set("seed", 77)
    assert runtime.changed == {"temperature": 0.5, "max_tokens": 9}
    runtime.set("temperature", 0.0)
    runtime.set("max_tokens", None)
    assert (runtime.changed, runtime.settings()["max_tokens"]) == ({}, 8)


@pytest.mark.parametrize("value", [0, 1.5, float("inf"), float("nan")])
def test_a_length_is_a_whole_number(value):
    with pytest.raises(UsageError, match=r"max_tokens .* cannot be"):
        wake().set("max_tokens", value)
