"""The guard against repetition in turns, over a tiny model that an organ makes repeat itself."""

from collections.abc import Sequence
from typing import Any

import torch
from runtime_rig import Shelf, wake

from anima.events import Event
from anima.organ import Contribution, Delta, OrganState, Reading, Turn
from anima.trunk.repeating import BREAK, LONG, Repeating


class Chanting:
    """Makes four words of the model likelier than all others."""

    name = "chanting"

    def contribute(self, turn: Turn) -> Contribution:
        bias = torch.zeros(512)
        bias[[65, 66, 67, 68]] = 4.0
        return Contribution(logit_bias=lambda logits: bias[: len(logits)])

    def observe(self, reading: Reading) -> None: ...

    def finish(self) -> tuple[Sequence[Event], Delta]:
        return (), Delta()

    def undo(self, delta: Delta) -> None: ...

    def state(self) -> OrganState:
        return OrganState(schema=1)

    def load(self, state: OrganState) -> None: ...


def said(shelf: Shelf) -> list[list[int]]:
    return [list(each["reply_ids"]) for each in shelf.records if each["record"] == "turn"]


def talk(*texts: str, **settings: Any) -> list[list[int]]:
    """The ids of the replies to some texts."""
    shelf = Shelf()
    with wake(shelf, organs=[Chanting()], **{"max_tokens": 40, **settings}) as runtime:
        for text in texts:
            runtime.say(text)
    return said(shelf)


def longest_run(replies: list[list[int]]) -> int:
    """How many tokens in a row some reply ends a run with that was said before."""
    longest = 0
    for number, reply in enumerate(replies):
        before = [i for each in replies[:number] for i in (*each, BREAK)]
        for end in range(1, len(reply)):
            runs = Repeating(said=before).runs(reply[:end])
            longest = max(longest, runs.get(reply[end], 0))
    return longest


def test_without_the_guard_the_model_goes_on_as_it_would_and_with_it_repeats_little() -> None:
    texts = ("Hello there", "Hello there", "Hello there")
    plain, guarded = talk(*texts, repeat_guard=0), talk(*texts, repeat_guard=1)
    assert plain == talk(*texts)
    assert longest_run(plain) >= 10
    assert longest_run(guarded) < longest_run(plain) / 2


def test_without_the_part_for_long_replies_a_reply_is_the_same_up_to_where_it_acts() -> None:
    given: dict[str, Any] = {"repeat_guard": 1, "max_tokens": LONG + 60}
    plain, without = talk("Hello", **given), talk("Hello", litany_guard=0, **given)
    ((reply,), (guarded,)) = plain, talk("Hello", litany_guard=1, **given)
    assert plain == without
    assert len(reply) > LONG + 1
    assert guarded[: LONG + 1] == reply[: LONG + 1]
    assert guarded != reply


def test_the_same_seed_gives_the_same_guarded_reply() -> None:
    given: dict[str, Any] = {"repeat_guard": 1, "temperature": 0.8}
    assert talk("Hello", "More", **given) == talk("Hello", "More", **given)


def test_the_guard_is_in_the_record_of_the_turn_and_can_be_set() -> None:
    shelf = Shelf()
    with wake(shelf) as runtime:
        assert runtime.set("repeat_guard", 1) == 1
        runtime.say("Hello")
        assert runtime.set("repeat_guard", None) == 0
    (turn,) = [each for each in shelf.records if each["record"] == "turn"]
    assert turn["sampling"]["repeat_guard"] == 1
