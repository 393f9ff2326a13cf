from pathlib import Path
from typing import Any

import pytest

from anima.errors import CorruptStateError, StorageError
from anima.home import Home
from anima.persona import Persona, read_session, sessions

from .conftest import Ticking
from .samples import contents, flip, observe, plain, settings, turn, weights


class Lived:
    """A persona after two commits, and what it held after each of them."""

    def __init__(self, home: Home, clock: Ticking) -> None:
        with Persona.open(home, "ada", clock=clock) as persona:
            self.folder = persona.folder
            self.session = persona.begin_session({})
            persona.commit(
                states={"sampling": settings(0.2), "reservoir": weights(0.1)}, records=[turn(1)]
            )
            self.first = observe(home, persona)
            self.offset = self.file.stat().st_size
            self.old = set((self.folder / "states").iterdir())
            self.generation = persona.commit(states={"reservoir": weights(0.2)}, records=[turn(2)])
            self.second = observe(home, persona)

    @property
    def file(self) -> Path:
        return self.folder / "sessions" / f"{self.session}.jsonl"

    @property
    def head(self) -> Path:
        return self.folder / "HEAD.json"

    def new(self, suffix: str) -> Path:
        """The state file that only the last commit names."""
        (found,) = set((self.folder / "states").glob(f"*.{suffix}")) - self.old
        return found


@pytest.fixture
def lived(home: Home, clock: Ticking) -> Lived:
    return Lived(home, clock)


def test_a_damaged_head_falls_back_and_says_so(home: Home, clock: Ticking, lived: Lived) -> None:
    flip(lived.head)
    damaged = lived.head.read_bytes()
    second = lived.file.read_bytes()[lived.offset :]

    with Persona.open(home, "ada", clock=clock) as persona:
        assert observe(home, persona) == lived.first
        assert persona.generation == lived.generation - 1
        fell_back, moved = persona.notices
        assert f"{lived.head} is damaged" in fell_back
        assert f"generation {lived.generation - 1} of 2026-11-22" in fell_back
        assert "1 record that no commit holds moved to" in moved
    kept = {path.read_bytes() for path in (lived.folder / "recovered").iterdir()}
    assert kept == {damaged, second}
    with Persona.open(home, "ada", clock=clock) as persona:
        assert persona.notices == ()
        assert observe(home, persona) == lived.first


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 300, b"null\n", b'{"schema":1}\n'])
def test_a_head_that_is_no_head_falls_back(
    home: Home, clock: Ticking, lived: Lived, content: bytes
) -> None:
    lived.head.write_bytes(content)

    with Persona.open(home, "ada", clock=clock) as persona:
        assert observe(home, persona) == lived.first
        assert "HEAD.json is damaged" in persona.notices[0]


def test_a_missing_head_falls_back(home: Home, clock: Ticking, lived: Lived) -> None:
    lived.head.unlink()

    with Persona.open(home, "ada", clock=clock) as persona:
        assert observe(home, persona) == lived.first
        assert "HEAD.json is missing" in persona.notices[0]


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_a_damaged_or_missing_state_falls_back_and_is_named(
    home: Home, clock: Ticking, lived: Lived, suffix: str, damage: Any
) -> None:
    new = lived.new(suffix)
    damage(new)

    with Persona.open(home, "ada", clock=clock) as persona:
        assert observe(home, persona) == lived.first
        assert f"{new} is" in persona.notices[0]
        persona.commit(states={"reservoir": weights(0.2)}, records=[turn(2)])
        assert observe(home, persona) == lived.second


def test_a_damaged_state_of_both_generations_is_named_and_nothing_is_changed(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    (shared,) = (lived.folder / "states").glob("sampling-*")
    flip(shared)
    before = contents(lived.folder)

    with pytest.raises(
        CorruptStateError, match=rf"'ada' cannot be opened\. {shared} is damaged.*copy"
    ):
        Persona.open(home, "ada", clock=clock)
    assert contents(lived.folder) == before


def test_two_damaged_heads_are_named_and_nothing_is_changed(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    for name in ("HEAD.json", "HEAD.previous.json"):
        flip(lived.folder / name)
    before = contents(lived.folder)

    with pytest.raises(
        CorruptStateError, match=r"HEAD\.json is damaged.*HEAD\.previous\.json is damaged"
    ):
        Persona.open(home, "ada", clock=clock)
    assert contents(lived.folder) == before


def test_both_heads_missing_is_not_taken_for_a_new_persona(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    for name in ("HEAD.json", "HEAD.previous.json"):
        (lived.folder / name).unlink()

    with pytest.raises(CorruptStateError, match=r"HEAD\.json is missing"):
        Persona.open(home, "ada", clock=clock)


def test_a_session_cut_to_the_commit_before_falls_back(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    lived.file.write_bytes(lived.file.read_bytes()[: lived.offset + 4])

    with Persona.open(home, "ada", clock=clock) as persona:
        assert observe(home, persona) == lived.first
        assert f"{lived.file} was cut or changed" in persona.notices[0]


def test_a_session_cut_below_both_generations_opens_once_it_is_moved_away(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    lived.file.write_bytes(lived.file.read_bytes()[:50])

    with pytest.raises(CorruptStateError, match=rf"{lived.file} was cut .*Once it is moved away"):
        Persona.open(home, "ada", clock=clock)

    lived.file.rename(lived.folder / "elsewhere.jsonl")
    with Persona.open(home, "ada", clock=clock) as persona:
        assert plain(persona.states()["reservoir"]) == plain(weights(0.2))


def test_a_session_that_a_person_removed_is_missed_but_not_needed(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    lived.file.unlink()

    with Persona.open(home, "ada", clock=clock) as persona:
        assert persona.session is None
        assert f"session, {lived.session}, was removed" in persona.notices[0]
        assert plain(persona.states()["reservoir"]) == plain(weights(0.2))
        persona.begin_session({})
        persona.commit(states={}, records=[turn(1)])
    with Persona.open(home, "ada", clock=clock) as persona:
        assert persona.notices == ()


@pytest.mark.parametrize(
    ("beyond", "said"),
    [
        (b'{"record":"turn","te', "a torn last line moved"),
        (b"\x00" * 64, "a torn last line moved"),
        (b'{"record":"turn"}\n', "1 record that no commit holds moved"),
        (b"{}\n{}\n{", "2 records that no commit holds and a torn last line moved"),
    ],
)
def test_what_no_commit_holds_is_moved_aside_and_said(
    home: Home, clock: Ticking, lived: Lived, beyond: bytes, said: str
) -> None:
    with lived.file.open("ab") as file:
        file.write(beyond)
    assert len(read_session(home, "ada", lived.session)) == 3
    assert sessions(home, "ada")[0].damaged is None

    with Persona.open(home, "ada", clock=clock) as persona:
        assert observe(home, persona) == lived.second
        (notice,) = persona.notices
        assert said in notice
    (kept,) = (lived.folder / "recovered").iterdir()
    assert str(kept) in notice
    assert kept.read_bytes() == beyond


def test_nothing_is_recovered_where_nothing_was_cut(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        assert persona.notices == ()
    assert not (lived.folder / "recovered").exists()


def test_temporary_files_of_a_cut_write_are_removed(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    leftovers = [lived.folder / ".HEAD.json.77.tmp", lived.folder / "states" / ".x.json.77.tmp"]
    for path in leftovers:
        path.touch()

    Persona.open(home, "ada", clock=clock).close()

    assert not any(path.exists() for path in leftovers)


def test_a_deleted_profile_is_written_anew_and_said(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    (lived.folder / "persona.toml").unlink()

    with Persona.open(home, "ada", clock=clock) as persona:
        assert persona.notices == (
            f"{lived.folder / 'persona.toml'} was missing and is written anew.",
        )
        assert observe(home, persona) == lived.second


def test_an_ephemeral_copy_of_a_damaged_persona_says_so_and_mends_nothing(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    flip(lived.head)
    before = contents(lived.folder)

    with Persona.open(home, "ada", clock=clock, ephemeral=True) as copy:
        assert "HEAD.json is damaged" in copy.notices[0]
        assert plain(copy.states()["reservoir"]) == plain(weights(0.1))
    assert contents(lived.folder) == before


def test_a_file_that_the_disk_does_not_give_is_no_reason_to_fall_back(
    home: Home, clock: Ticking, lived: Lived
) -> None:
    content = lived.head.read_bytes()
    lived.head.unlink()
    lived.head.mkdir()

    with pytest.raises(StorageError, match=r"HEAD\.json"):
        Persona.open(home, "ada", clock=clock)

    lived.head.rmdir()
    lived.head.write_bytes(content)
    with Persona.open(home, "ada", clock=clock) as persona:
        assert observe(home, persona) == lived.second
