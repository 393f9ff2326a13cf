import io

import pytest

from anima.errors import StateError, UsageError
from anima.terminal import commands
from anima.terminal.screen import Screen
from tests.terminal.scripted import ScriptedRuntime


class Room:
    """A chat reduced to what a command may use of it."""

    def __init__(self, runtime: ScriptedRuntime | None = None) -> None:
        self.err = io.StringIO()
        self.screen = Screen(io.StringIO(), self.err)
        self.runtime = runtime or ScriptedRuntime()
        self.awake = self.runtime
        self.left = False

    def stream(self, events) -> None:
        for event in events:
            self.screen.say(type(event).__name__)

    def leave(self) -> None:
        self.left = True

    def do(self, line: str) -> str:
        self.err.truncate(0)
        self.err.seek(0)
        commands.dispatch(self, line)
        return self.err.getvalue()


def test_no_two_commands_share_a_name() -> None:
    names = [name for command in commands.COMMANDS for name in command.names]
    assert len(names) == len(set(names))
    assert all(name.startswith("/") for name in names)


def test_every_command_has_one_line_of_help_in_the_list() -> None:
    listed = Room().do("/help")
    for command in commands.COMMANDS:
        assert command.usage.startswith(command.name)
        assert "\n" not in command.help
        assert f"{command.usage}  " in listed
        assert command.help in listed


def test_help_fits_a_narrow_terminal() -> None:
    assert max(map(len, Room().do("/help").splitlines())) <= 80


def test_help_says_how_to_send_a_slash_and_how_to_leave() -> None:
    listed = Room().do("/help")
    assert "//" in listed
    assert "Ctrl-D" in listed


@pytest.mark.parametrize("line", ["/help set", "/help /set", "/? set"])
def test_help_on_one_command_says_more(line: str) -> None:
    assert "/set temperature 0.7" in Room().do(line)


def test_help_names_the_aliases() -> None:
    assert "/quit" in Room().do("/help exit")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("/hlep", "/help"), ("/reg", "/regen"), ("/ste", "/set"), ("/stat", "/status")],
)
def test_an_unknown_command_names_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"no command {typed}\. Did you mean {meant}"):
        Room().do(typed)


def test_a_word_like_nothing_points_to_help() -> None:
    with pytest.raises(UsageError, match=r"no command /xyzzy\. /help lists"):
        Room().do("/xyzzy")


def test_a_command_is_matched_whole_and_not_by_its_beginning() -> None:
    with pytest.raises(UsageError, match="/settle"):
        Room().do("/settle temperature 1")


def test_two_slashes_are_a_message_with_one() -> None:
    assert not commands.is_command("//etc/hosts, what is it?")
    assert commands.message("//etc/hosts, what is it?") == "/etc/hosts, what is it?"
    assert commands.is_command("/etc")
    assert commands.message("and/or") == "and/or"


@pytest.mark.parametrize("line", ["/exit", "/quit"])
def test_exit_leaves(line: str) -> None:
    room = Room()
    room.do(line)
    assert room.left


def test_clear_names_the_new_session_and_how_to_find_the_old() -> None:
    room = Room(ScriptedRuntime(heard=["a turn"]))
    said = room.do("/clear")
    assert "20260101-130000-ef01" in said
    assert "anima --resume 20260101-120000-abcd" in said


def test_clear_does_not_promise_a_session_that_had_no_turn() -> None:
    assert "--resume" not in Room().do("/clear")


def test_system_is_set_shown_and_taken_out() -> None:
    room = Room()
    assert room.do("/system") == "There is no system text.\n"
    assert room.do("/system  Speak like a pirate. ") == "System: Speak like a pirate.\n"
    assert room.runtime.system == "Speak like a pirate."
    assert room.do("/system off") == "There is no system text.\n"
    assert room.runtime.system is None


def test_set_lists_shows_changes_and_resets() -> None:
    room = Room()
    assert room.do("/set") == "temperature  0.2\nseed         1\n"
    assert room.do("/set temperature") == "temperature  0.2\n"
    assert room.do("/set temperature 0.7") == "temperature  0.7\n"
    assert room.runtime.values["temperature"] == 0.7
    assert room.do("/set temperature default") == "temperature  none\n"


def test_set_names_the_nearest_setting_and_changes_nothing() -> None:
    room = Room()
    with pytest.raises(UsageError, match=r"no setting temprature\. Did you mean temperature"):
        room.do("/set temprature 1")
    assert room.runtime.values == {"temperature": 0.2, "seed": 1}


def test_set_wants_a_number() -> None:
    with pytest.raises(UsageError, match="takes a number or the word default, not 'warm'"):
        Room().do("/set temperature warm")


def test_undo_shows_what_was_taken_back() -> None:
    assert (
        Room(ScriptedRuntime(heard=["a\nlong story"])).do("/undo") == "Taken back: a long story\n"
    )
    with pytest.raises(StateError):
        Room().do("/undo")


def test_regen_streams_a_turn_on_the_same_text() -> None:
    room = Room(ScriptedRuntime(heard=["again"], replies=["Once more."]))
    assert room.do("/regen").split() == ["Perceived", "Token", "Token", "Replied", "Persisted"]
    assert room.runtime.asked == ["again"]


def test_status_lists_nested_values() -> None:
    assert Room().do("/status") == (
        "persona               default\n"
        "turns                 0\n"
        "settings.temperature  0.2\n"
        "settings.seed         1\n"
        "organs.sampling       on\n"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/se", ["/set"]),
        ("/s", ["/system", "/set", "/status"]),
        ("/set te", ["temperature"]),
        ("/set temperature ", ["default"]),
        ("/system o", ["off"]),
        ("/help /un", ["/undo"]),
        ("/xyzzy ", []),
        ("//s", []),
        ("not a command /s", []),
        ("/set\nte", []),
    ],
)
def test_completion(line: str, expected: list[str]) -> None:
    assert list(commands.completions(Room(), line)) == expected


def test_completion_does_not_wait_for_the_model() -> None:
    room = Room()
    room.awake = None
    assert list(commands.completions(room, "/set te")) == []
