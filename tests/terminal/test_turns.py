from dataclasses import replace

import pytest

from anima.events import Finish, ModeChanged, Recomputed, Replied, Steered
from anima.terminal import turns
from anima.terminal.screen import Screen
from anima.terminal.signals import Signals
from tests.terminal.scripted import ScriptedRuntime, Terminal


def replied(finish: Finish, tokens: int = 3, per_second: float | None = 14.25) -> Replied:
    return Replied(
        turn=1, text="…", finish=finish, tokens=tokens, per_second=per_second,
        context_used=40, context_window=2048,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("finish", "said"),
    [
        ("end", None),
        ("stopped", "⏹ stopped"),
        ("length", "⏹ cut off after 3 tokens; /set max_tokens N or --max-tokens N allows more"),
        ("context", "⏹ the context is full; /clear begins a new session"),
    ],
)
def test_why_a_reply_ended(finish: Finish, said: str | None) -> None:
    assert turns.ended(replied(finish)) == said


def test_figures_with_and_without_a_speed() -> None:
    assert turns.figures(replied("end")) == "3 tokens · 14.2 tokens/s · context 40/2048"
    assert turns.figures(replied("end", 1, None)) == "1 token · context 40/2048"


def test_why_the_conversation_is_read_again() -> None:
    again = Recomputed(reason="resumed", tokens=120)
    assert turns.recomputed(again) == "Reading the conversation again (resumed, 120 tokens) …"
    rolled = Recomputed(reason="rolled over", tokens=120, dropped_turns=1)
    assert "the oldest turn was dropped (120 tokens are left)" in turns.recomputed(rolled)


def test_leaving_a_turn_early_closes_it() -> None:
    runtime = ScriptedRuntime()
    with Signals() as signals:
        taken = turns.until_stopped(
            runtime.turn("Hello"), runtime.stop, Screen(Terminal(), Terminal()), signals
        )
        next(taken)
        assert runtime.committed == 0
        taken.close()
    assert runtime.committed == 1


def test_going_on_shows_where_the_talk_stood() -> None:
    runtime = ScriptedRuntime(heard=["one", "Where to?"], said="To the\n\nriver.")
    assert turns.going_on(runtime, "my trip") == (
        "Going on in session my trip (20260101-120000-abcd), 2 turns.\n> Where to?\n  To the river."
    )


STEERED = Steered(mode="dream", share=0.083, scaled=1.0, pushes=())


def test_the_figures_name_the_mode_and_how_far_it_pushed() -> None:
    plain = turns.figures(replied("end"))
    assert turns.figures(replied("end"), STEERED) == f"{plain} · dream 8.3%"
    by_hand = replace(STEERED, mode="off", share=0.2)
    assert turns.figures(replied("end"), by_hand) == f"{plain} · pushed 20%"


def test_only_a_budget_that_bound_is_worth_a_word() -> None:
    assert turns.scaled(STEERED) is None
    assert turns.scaled(replace(STEERED, scaled=0.625)) == (
        "The pushes asked for more than the norm budget: they were scaled down, to 62% at the "
        "least."
    )


def test_a_mode_that_auto_chose_is_said() -> None:
    changed = ModeChanged(before="off", after="dream")
    assert turns.mode_changed(changed) == "auto: off → dream, for what you wrote"


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0%"), (0.0831, "8.3%"), (0.0996, "10%"), (0.5, "50%"), (-0.1, "-10%"), (0.0001, "<0.1%")],
)
def test_per_cents_are_short(share: float, shown: str) -> None:
    assert turns.percent(share) == shown
