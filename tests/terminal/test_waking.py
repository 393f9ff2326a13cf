import threading

import pytest

from anima.errors import ModelError
from anima.terminal.waking import Waking


def test_the_result_and_the_last_note_come_out() -> None:
    def load(say):
        say("first")
        say("second")
        return 7

    waking = Waking(load)
    assert (waking.done, waking.value) == (False, None)
    waking.start()
    assert waking.result() == 7
    assert (waking.done, waking.failed, waking.value, waking.note) == (True, False, 7, "second")


def test_what_the_loading_raises_is_raised_where_the_result_is_asked_for() -> None:
    def load(say):
        raise ModelError("no such model")

    waking = Waking(load)
    waking.start()
    with pytest.raises(ModelError, match="no such model"):
        waking.result()
    assert waking.failed


def test_the_end_is_told_once_however_often_it_is_started() -> None:
    ends: list[str] = []
    told = threading.Event()

    def then() -> None:
        ends.append("end")
        told.set()

    waking = Waking(lambda say: "value")
    waking.start(then)
    waking.start(then)
    assert told.wait(5)
    assert ends == ["end"]
