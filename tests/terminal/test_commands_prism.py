"""The commands that steer, over a real runtime: a tiny Llama, a planted SAE, labels, modes."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prism_rig import dense, furnished, mode
from runtime_rig import wake

from anima.errors import SteeringError, UsageError
from anima.terminal import commands, toolbar
from anima.terminal.turns import percent
from tests.terminal.room import Room

Rooms = Callable[..., Room]


@pytest.fixture
def room(tmp_path: Path) -> Rooms:
    """A room over modes dream (feature 3), system (feature 5) and plain (a vector)."""

    numbers = itertools.count()

    def made(*modes: Any, **settings: Any) -> Room:
        place = tmp_path / str(next(numbers))
        furniture = furnished(place, *modes, with_book=settings.pop("book", True))
        return Room(wake(furniture=furniture, max_tokens=6, **settings))

    return made


def strong(room: Rooms) -> Room:
    """A room whose two modes ask for more than the budget together."""
    return room(mode(strength=0.4), mode("system", strength=0.4, feature=5))


def test_mode_alone_says_what_is_in_force(room: Rooms) -> None:
    here = room()
    assert here.do("/mode") == "Mode off: nothing is pushed. /modes lists all.\n"
    here.do("/mode dream")
    assert here.do("/mode") == "Mode dream: up to 30% of ‖h‖ is pushed. /modes lists all.\n"


def test_mode_switches_at_once_and_says_from_what_to_what(room: Rooms) -> None:
    here = room()
    assert here.do("/mode dream") == "Mode dream (was off): up to 30% of ‖h‖ is pushed.\n"
    assert here.runtime.mode == "dream"
    assert here.do("/mode off") == "Mode off (was dream): nothing is pushed.\n"
    assert here.runtime.mode == "off"


def test_mode_takes_a_strength(room: Rooms) -> None:
    here = room()
    assert here.do("/mode dream 0.5") == "Mode dream (was off): up to 15% of ‖h‖ is pushed.\n"
    for wrong in ("9", "nan", "-1"):
        with pytest.raises(SteeringError, match="out of range: it goes from 0 to 4"):
            here.do(f"/mode dream {wrong}")
    assert here.runtime.prism.nominal == pytest.approx(0.15)


@pytest.mark.parametrize("line", ["/mode dream system", "/mode dream+system"])
def test_two_modes_that_ask_for_more_than_the_budget_are_said_to_be_scaled(
    room: Rooms, line: str
) -> None:
    assert strong(room).do(line) == (
        "Mode dream+system (was off): 57% of ‖h‖ is asked for and scaled down to the\n"
        "budget, 50%.\n"
    )


def test_a_mode_that_is_not_there_changes_nothing_and_names_the_nearest(room: Rooms) -> None:
    here = room()
    here.do("/mode dream")
    with pytest.raises(SteeringError, match="Did you mean dream"):
        here.do("/mode draem")
    with pytest.raises(SteeringError, match="no classifier of texts for `auto`"):
        here.do("/mode auto")
    assert here.runtime.mode == "dream"


def test_a_control_is_said_beside_the_mode(room: Rooms) -> None:
    said = room(control="zombie").do("/mode dream")
    assert said == ("Mode dream (was off): up to 30% of ‖h‖ is pushed, under --control zombie.\n")
    assert room(control="off").do("/mode dream") == (
        "Mode dream (was off): nothing is pushed, as --control off has it.\n"
    )


def test_modes_is_a_table_that_marks_what_is_in_force(room: Rooms) -> None:
    here = room()
    here.do("/mode dream")
    assert here.do("/modes") == (
        "   MODE    STRENGTH  KL P95  PUSHES\n"
        "*  dream   1                 1 feature  How dream speaks. (your own)\n"
        "   plain   1                 1 vector   (your own)\n"
        "   system  1                 1 feature  How system speaks. (your own)\n"
        "Mode dream: up to 30% of ‖h‖ is pushed.\n"
    )


def test_modes_in_a_narrow_window_are_paragraphs(room: Rooms) -> None:
    here = room()
    here.width = 40
    assert here.do("/modes").splitlines()[:3] == [
        "dream",
        "  strength 1, 1 feature",
        "  How dream speaks. (your own)",
    ]


def test_modes_say_why_one_cannot_be_used_here(room: Rooms) -> None:
    said = room(mode(feature=99), dense("wide", width=64)).do("/modes")
    plain = " ".join(said.split())
    assert "Not here: Mode dream: feature 99 does not exist; planted has features 0 to 23." in plain
    assert "Not here: Mode wide: vector 'direction' is 64 wide, and tiny is 32" in plain
    assert max(map(len, said.splitlines())) <= 80


def test_without_a_mode_modes_says_how_to_make_them(room: Rooms) -> None:
    here = room()
    shutil.rmtree(here.runtime.prism.shelf.own)
    assert here.do("/modes") == (
        "There is no mode for this model yet: anima mode build makes the shipped ones.\n"
    )


def test_steer_by_number_or_label_lists_and_ends(room: Rooms) -> None:
    here = room()
    assert here.do("/steer") == (
        "Nothing is pushed by hand. To push a feature: /steer rain at night 0.1\n"
    )
    assert here.do("/steer rain at night 0.1") == (
        "Pushed: #3 rain at night, clamp at 10% of ‖h‖.\n"
    )
    assert here.do("/steer #5 -0.2 add") == "Pushed: #5 arithmetic, add at -20% of ‖h‖.\n"
    assert here.do("/steer") == (
        "10%   clamp  #3 rain at night\n-20%  add    #5 arithmetic\n/steer off [WHAT] ends it.\n"
    )
    assert here.do("/steer off arithmetic") == "Not pushed any more: #5 arithmetic.\n"
    assert here.do("/steer off") == "Not pushed any more: #3 rain at night.\n"
    assert here.runtime.prism.steers() == []


def test_steer_says_where_all_pushes_together_are_more_than_the_budget(room: Rooms) -> None:
    here = strong(room)
    here.do("/mode dream+system")
    assert "57% of ‖h‖ is asked for and scaled down to the budget, 50%, 1 push by hand" in " ".join(
        here.do("/steer 7 0.1").split()
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/steer 99 0.1", "Feature 99 does not exist: planted has features 0 to 23"),
        ("/steer 3 2", "strength 2 cannot be; for clamp it is a fraction of the residual norm"),
        ("/steer 3 nan", "strength nan cannot be"),
        ("/steer 3 inf", "strength inf cannot be"),
        ("/steer foo 0.1", "No feature's label fits 'foo'"),
        ("/steer 3", "Say what to push and how far, such as: /steer rain at night 0.1"),
        ("/steer rain hard", "'hard' is no strength: it is a fraction of ‖h‖ from -1 to 1"),
        ("/steer off", "Nothing is pushed by hand, so there is nothing to end"),
    ],
)
def test_a_push_that_cannot_be_changes_nothing_and_says_why(
    room: Rooms, line: str, error: str
) -> None:
    here = room()
    with pytest.raises(UsageError, match=error.replace(".", r"\.")):
        here.do(line)
    assert here.runtime.prism.steers() == []


def test_steer_off_of_what_is_not_pushed_takes_nothing_off(room: Rooms) -> None:
    here = room()
    here.do("/steer 3 0.1")
    with pytest.raises(SteeringError, match="#5 arithmetic is not pushed by hand"):
        here.do("/steer off 5")
    assert len(here.runtime.prism.steers()) == 1


def test_features_show_what_is_active_on_the_last_turn(room: Rooms) -> None:
    here = room()
    with pytest.raises(SteeringError, match="no turn in this session yet"):
        here.do("/features")
    here.runtime.say("Hello")
    lines = here.do("/features").splitlines()
    head, rest = " ".join(lines[:-10]), lines[-10:]
    assert "the most telling first: strong here, seldom elsewhere" in head
    shares = [int(line.split("%")[0]) for line in rest]
    assert shares == sorted(shares, reverse=True)  # in the planted SAE all are equally rare
    assert any(line.endswith("#5 arithmetic") for line in rest)


def test_features_are_found_by_their_labels(room: Rooms) -> None:
    here = room()
    assert here.do("/features rain") == (
        "FEATURE  DENSITY  MAXIMUM  LABEL\n#3       2.0%     3        rain at night\n"
    )
    assert here.do("/features #5").splitlines()[1].endswith("arithmetic")
    with pytest.raises(SteeringError, match="No feature's label fits 'xyzzy'"):
        here.do("/features xyzzy")


def test_features_without_an_sae_or_without_labels_say_so(room: Rooms) -> None:
    with pytest.raises(SteeringError, match="no SAE here"):
        room(dense(), book=False).do("/features rain")
    here = room()
    here.runtime.prism.book.names.own.clear()
    with pytest.raises(SteeringError, match="no labels yet: anima features label makes them"):
        here.do("/features rain")


def test_why_shows_the_pushes_and_then_each_token(room: Rooms) -> None:
    here = room()
    here.do("/mode dream+system")
    here.runtime.say("Hello")
    assert here.do("/why") == (
        "SHARE  OPERATION  THERE → WANTED  PUSH\n"
        "31%    clamp      4.09 → 1.8      #5 x\n"
        "26%    clamp      1.42 → 1.8      #3 x\n"
        "The budget of 50% bound: scaled down to 22% at the least.\n"
        "\n"
        "TOKEN           PUSHED  FEATURES THERE\n"
        "“i”                42%  #16 459%, #18 388%, #4 253%\n"
        "“_”                42%  #2 247%, #4 242%, #16 216%\n"
        "“t”                50%  #2 364%, #14 347%, #21 335%\n"
        "“F”                50%  #2 624%, #5 arithmetic 369%, #19 347%\n"
        "…                  50%  #15 527%, #19 478%, #5 arithmetic 310%\n"
        "… /why 1 all shows all 10 tokens.\n"
    )
    whole = here.do("/why 1 all").splitlines()
    assert [line.split()[0] for line in whole[5:]] == [
        "TOKEN", "“H”", "“e”", "“l”", "“l”", "“o”", "“i”", "“_”", "“t”", "“F”", "…",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_why_fits_the_window(room: Rooms, width: int) -> None:
    here = room()
    here.width = width
    here.do("/mode dream+system")
    here.runtime.say("Hello")
    assert max(map(len, here.do("/why all").splitlines())) <= width


def test_why_of_an_unsteered_turn_still_shows_the_features(room: Rooms) -> None:
    here = room()
    here.runtime.say("Hello")
    first, empty, head, *tokens = here.do("/why").splitlines()
    assert (first, empty, head) == (
        "Nothing was pushed.", "", "TOKEN           PUSHED  FEATURES THERE",
    )  # fmt: skip
    assert "%" in tokens[0]


def test_why_without_an_sae_shows_the_pushes_alone(room: Rooms) -> None:
    here = room(dense(), book=False)
    here.do("/mode plain")
    here.runtime.say("Hello")
    said = here.do("/why").splitlines()
    assert said[1].split()[-1] == "direction"
    assert said[-1] == "This model has no SAE here, so there are no features to show."


def test_why_reaches_only_turns_that_are_there(room: Rooms) -> None:
    here = room()
    here.runtime.say("Hello")
    with pytest.raises(SteeringError, match="no turn 9 in this session of 1"):
        here.do("/why 9")
    with pytest.raises(UsageError, match="takes the number of a turn"):
        here.do("/why later")


def choices(room: Room, line: str) -> list[str]:
    return [choice.text for choice in commands.completions(room, line).choices]


def test_completion_knows_modes_and_the_labels_of_features(room: Rooms) -> None:
    here = room()
    assert choices(here, "/mode ") == ["dream", "plain", "system", "off", "auto"]
    assert choices(here, "/mode d") == ["dream"]
    assert choices(here, "/steer rain a") == ["rain at night"]
    assert choices(here, "/features ari") == ["arithmetic"]
    here.runtime.prism.book.names.own[7] = "“sea”, “sun” after “the”"
    assert choices(here, "/steer sea") == ["sea, sun after the"]
    here.do("/steer 3 0.1")
    assert choices(here, "/steer off r") == ["rain at night"]
    assert commands.completions(here, "/steer off rain at").replaced == len("rain at")


@pytest.mark.parametrize("line", ["/mode d", "/steer rain", "/features ari"])
def test_completion_does_not_wait_for_the_model(room: Rooms, line: str) -> None:
    here = room()
    here.awake = None
    assert choices(here, line) == []


def test_only_what_acts_on_a_reply_may_be_typed_while_it_streams() -> None:
    assert commands.is_live("/mode dream")
    assert commands.is_live("/steer 3 0.1")
    assert not any(map(commands.is_live, ["/modes", "/undo", "/mod dream", "mode", "", "//mode"]))


def test_the_toolbar_shows_what_was_measured_only_of_what_is_in_force(room: Rooms) -> None:
    here = room()
    here.do("/mode dream")
    assert ("mode", "dream ≤30%") in toolbar.facts(here.runtime, "tester", None)
    here.runtime.say("Hello")
    measured = percent(here.runtime.prism.share)
    assert ("mode", f"dream {measured}") in toolbar.facts(here.runtime, "tester", None)
    here.do("/mode system")
    assert ("mode", "system ≤30%") in toolbar.facts(here.runtime, "tester", None)
    here.do("/mode off")
    assert ("mode", "off") in toolbar.facts(here.runtime, "tester", None)


def test_steer_off_means_what_is_pushed_where_a_label_fits_several(room: Rooms) -> None:
    here = room()
    here.runtime.prism.book.names.own[2] = "rain"
    here.do("/steer #3 0.1")
    here.do("/steer #2 0.1")
    here.do("/steer off night")
    assert [push.feature for push in here.runtime.prism.steers()] == [2]
