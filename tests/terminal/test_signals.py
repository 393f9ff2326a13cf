import signal

from anima.terminal.signals import Signals


def test_ctrl_c_is_counted_and_interrupts_nothing() -> None:
    calls: list[int] = []
    with Signals() as signals, signals.calling(lambda: calls.append(signals.presses)):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert calls == [1, 2]


def test_a_press_from_before_is_passed_on_until_it_is_forgotten() -> None:
    calls: list[str] = []
    with Signals() as signals:
        signal.raise_signal(signal.SIGINT)
        with signals.calling(lambda: calls.append("first")):
            pass
        signals.forget()
        with signals.calling(lambda: calls.append("second")):
            pass
    assert calls == ["first"]


def test_termination_asks_for_the_exit_code_of_its_signal() -> None:
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert (signals.leave, signals.hung_up, signals.presses) == (143, False, 0)
        signal.raise_signal(signal.SIGHUP)
        assert (signals.leave, signals.hung_up) == (129, True)


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.called
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_from_before_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Signals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_inner_action_gives_way_to_the_outer_one_again() -> None:
    calls: list[str] = []
    with Signals() as signals, signals.calling(lambda: calls.append("outer")):
        with signals.calling(lambda: calls.append("inner")):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert calls == ["inner", "outer"]


def test_another_key_may_count_as_ctrl_c() -> None:
    calls: list[int] = []
    signals = Signals()
    with signals.calling(lambda: calls.append(signals.presses)):
        signals.press()
    assert (calls, signals.called) == ([1], True)
