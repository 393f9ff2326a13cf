import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anima.errors import ContextError, StateError, UsageError
from anima.events import Event
from anima.home import Home
from anima.persona import Persona
from anima.persona.names import name_session, names
from anima.terminal import commands
from tests.terminal.room import Room
from tests.terminal.scripted import ScriptedRuntime


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
    [("/hlep", "/help"), ("/reg", "/regen"), ("/ste", "/steer"), ("/stat", "/status")],
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
    room.kept = True
    said = room.do("/clear")
    assert "20260101-130000-ef01" in said
    assert "/load 20260101-120000-abcd" in said


def test_clear_does_not_promise_a_session_that_had_no_turn() -> None:
    assert "/load" not in Room().do("/clear")


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


def test_status_lists_nested_values_and_the_sessions_name(tmp_path: Path) -> None:
    said = Room(home=named(tmp_path, "my trip")).do("/status").splitlines()
    assert "session               20260101-120000-abcd (my trip)" in said
    assert "settings.temperature  0.2" in said
    assert "organs.sampling       on" in said


def named(folder: Path, name: str) -> Home:
    """A home whose persona has the session of the scripted runtime on disk, with this name."""
    home = Home(root=folder, cache=folder, config=folder / "config.toml")
    begun = datetime(2026, 1, 1, 12, 0, 0, 671_097, tzinfo=UTC)
    with Persona.open(home, "default", clock=lambda: begun) as persona:
        session = persona.begin_session({})
        persona.commit(states={}, records=[{"record": "turn", "text": "Where to?"}])
    assert session == ScriptedRuntime().session
    name_session(home, "default", session, name)
    return home


def test_stats_adds_up_the_session(tmp_path: Path) -> None:
    assert Room(home=named(tmp_path, "my trip")).do("/stats") == (
        "session  20260101-120000-abcd (my trip)\n"
        "turns    0 (2 stopped, 1 taken back)\n"
        "read     90 tokens\n"
        "said     40 tokens in 1.9 s, 20.0 tokens/s (median)\n"
        "context  130/2048 (6%)\n"
    )


def test_save_names_the_session_and_says_how_to_come_back(tmp_path: Path) -> None:
    room = Room(home=named(tmp_path, "first"))
    assert "anima --resume 'rivers of Europe'" in room.do("/save  rivers of  Europe")
    assert names(room.home, "default") == {"20260101-120000-abcd": "rivers of Europe"}


def test_save_without_a_name_says_that_saving_needs_none() -> None:
    room = Room()
    room.kept = True
    with pytest.raises(UsageError, match=r"Everything is saved by itself\. To name"):
        room.do("/save")


def test_save_where_nothing_is_kept_says_so() -> None:
    with pytest.raises(StateError, match="without --ephemeral"):
        Room().do("/save my trip")


def test_load_goes_on_where_the_other_session_stood() -> None:
    room = Room(ScriptedRuntime(heard=["one"], others={"20260102": ["Where to?"]}))
    assert room.do("/load 20260102") == (
        "Going on in session 20260102, 1 turn.\n> Where to?\n  Good day.\n"
    )
    with pytest.raises(StateError, match="There is no session 'elsewhere'"):
        room.do("/load elsewhere")
    assert room.runtime.session == "20260102"


@pytest.mark.parametrize("line", ["/load", "/sessions"])
def test_load_alone_lists_the_sessions_and_says_which_one_is_open(
    line: str, tmp_path: Path
) -> None:
    assert Room(home=named(tmp_path, "my trip")).do(line) == (
        "20260101-120000-abcd  1 turn  my trip ← here\n/load ID or NAME opens one.\n"
    )


def test_load_alone_says_where_there_is_nothing_to_list(tmp_path: Path) -> None:
    empty = Home(root=tmp_path, cache=tmp_path, config=tmp_path / "config.toml")
    assert "no session on disk yet" in Room(home=empty).do("/load")


def test_fork_says_how_to_go_back() -> None:
    said = Room(ScriptedRuntime(heard=["one"])).do("/fork")
    assert "20260101-140000-ab12" in said
    assert "/load 20260101-120000-abcd" in said


def test_edit_asks_the_changed_message_anew() -> None:
    room = Room(ScriptedRuntime(heard=["Where?"], replies=["Here."]))
    room.written = "When?"
    said = room.do("/edit")
    assert room.edited == ["Where?"]
    assert "asked anew: When?" in said
    assert (room.runtime.asked, room.runtime.heard, room.draft) == (["When?"], ["When?"], "")


@pytest.mark.parametrize("written", ["Where?", "", " \n"])
def test_edit_without_a_change_or_with_nothing_left_changes_nothing(written: str) -> None:
    room = Room(ScriptedRuntime(heard=["Where?"]))
    room.written = written
    assert room.do("/edit") == "Nothing was changed; the turn stays as it is.\n"
    assert (room.runtime.heard, room.runtime.asked) == (["Where?"], [])


def test_edit_keeps_the_turn_and_what_was_written_where_that_cannot_be_asked() -> None:
    class Small(ScriptedRuntime):
        def preview(self, text: str | None = None, **given: Any) -> Iterator[Event]:
            raise ContextError("The text has 9000 tokens, the window 2048: shorten it.")

    room = Room(Small(heard=["Where?"]))
    room.written = "long " * 9000
    with pytest.raises(ContextError):
        room.do("/edit")
    assert room.runtime.heard == ["Where?"]
    assert room.draft == room.written


def test_edit_needs_a_turn() -> None:
    with pytest.raises(StateError, match="no turn to edit"):
        Room().do("/edit")


def test_copy_sends_the_last_reply_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    room = Room(ScriptedRuntime(heard=["Where?"], said="Over\x1b[31m there"))
    assert room.do("/copy") == "Sent 14 characters to the terminal, if it lets programs copy.\n"
    assert room.told is not None
    (sequence,) = room.told
    copied = sequence.removeprefix("\x1b]52;c;").removesuffix("\x07")
    assert base64.b64decode(copied) == b"Over[31m there"


def test_copy_says_what_is_missing_where_nothing_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    room = Room(ScriptedRuntime(heard=["Where?"]))
    room.told = None
    with pytest.raises(UsageError, match="nothing to copy with: install"):
        room.do("/copy")
    with pytest.raises(StateError, match="no reply to copy"):
        Room().do("/copy")


def test_settings_may_be_written_with_an_equals_sign() -> None:
    assert Room().do("/set temperature=0.7") == "temperature  0.7\n"


def choices(room: Room, line: str) -> list[str]:
    return [choice.text for choice in commands.completions(room, line).choices]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/se", ["/set"]),
        ("/s", ["/steer", "/system", "/set", "/status", "/stats", "/save"]),
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
    assert choices(Room(), line) == expected


def test_completion_replaces_only_what_is_being_typed(tmp_path: Path) -> None:
    room = Room(home=named(tmp_path, "My trip"))
    trips = commands.completions(room, "/load my tr")
    assert (trips.replaced, trips.choices[0].text) == (5, "My trip")
    second = commands.completions(room, "/compare temperature=0,te")
    assert (second.replaced, second.choices[0].text) == (2, "temperature=")


def test_completion_offers_names_first_and_says_what_a_session_is_about(tmp_path: Path) -> None:
    found = commands.completions(Room(home=named(tmp_path, "my trip")), "/load ").choices
    assert [tuple(choice) for choice in found] == [
        ("my trip", "Where to?"),
        ("20260101-120000-abcd", "my trip"),
    ]


@pytest.mark.parametrize("line", ["/set te", "/load my", "/compare te"])
def test_completion_does_not_wait_for_the_model(line: str) -> None:
    room = Room()
    room.awake = None
    assert choices(room, line) == []


def test_help_in_a_narrow_window_puts_the_meanings_below_the_words() -> None:
    room = Room()
    room.width = 40
    listed = room.do("/help").splitlines()
    assert max(map(len, listed)) <= 40
    assert listed[listed.index("/undo") + 1] == "  take back the last turn, with all that"


@pytest.mark.parametrize("width", [80, 60, 40])
def test_help_on_one_command_breaks_no_word(width: int) -> None:
    room = Room()
    room.width = width
    for command in commands.COMMANDS:
        lines = room.do(f"/help {command.name}").splitlines()
        assert max(map(len, lines)) <= width
        assert set(command.details.split()) <= {word for line in lines for word in line.split()}


def test_what_a_command_says_ends_within_the_window_at_a_word() -> None:
    room = Room(ScriptedRuntime(heard=["a turn"]))
    room.width = 40
    said = room.do("/fork")
    assert max(map(len, said.splitlines())) <= 40
    assert "20260101-120000-abcd" in said.split()


def test_status_fits_the_window() -> None:
    room = Room(ScriptedRuntime(steering={"fingerprint": "ab" * 40}))
    room.width = 60
    assert max(map(len, room.do("/status").splitlines())) <= 60
