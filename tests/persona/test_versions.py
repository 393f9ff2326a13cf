"""Files as each version of the format wrote them, which every later Anima opens."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anima.home import Home
from anima.persona import Persona, migrate, profile, read_session, sessions

from .conftest import Ticking, home_at
from .samples import contents, plain, settings, turn, weights

FIXTURES = Path(__file__).parent / "fixtures"


def live(home: Home) -> None:
    """The life that the fixtures hold, which `write` repeats."""
    clock = Ticking(datetime(2026, 11, 22, 1, 53, tzinfo=UTC))
    with Persona.open(home, "elder", clock=clock) as persona:
        persona.remember_model("smollm2", "b179c9523d0e6a0f")
        noted = {"temperature": 0.2, "greedy": False, "seed": 7, "system": "Grüße"}
        profile.save(persona.folder, replace(persona.file, settings=noted))
        persona.begin_session({"model": "smollm2", "threads": 2})
        persona.commit(states={"sampling": settings(0.2)}, records=[turn(1, "Grüße \u2028 😀")])
        persona.commit(states={"reservoir": weights(0.5)}, records=[turn(2, "And now?")])


def kept(folder: Path) -> dict[str, bytes]:
    return contents(folder / "home" / "checkpoints" / "personas" / "elder")


@pytest.mark.parametrize("version", [1])
def test_a_persona_of_every_version_opens(tmp_path: Path, clock: Ticking, version: int) -> None:
    shutil.copytree(FIXTURES / f"v{version}", tmp_path, dirs_exist_ok=True)
    home = home_at(tmp_path)

    with Persona.open(home, "elder", clock=clock) as persona:
        assert persona.notices == ()
        assert persona.generation == 3
        assert persona.file.created == datetime(2026, 11, 22, 1, 53, 2, tzinfo=UTC)
        assert (persona.file.model, persona.file.fingerprint) == ("smollm2", "b179c9523d0e6a0f")
        assert persona.file.settings["system"] == "Grüße"
        assert plain(persona.states()["sampling"]) == plain(settings(0.2))
        assert plain(persona.states()["reservoir"]) == plain(weights(0.5))
        header, *turns = persona.resume_session("20261122")
        assert header["threads"] == 2
        assert turns == [turn(1, "Grüße \u2028 😀"), turn(2, "And now?")]
        persona.commit(states={}, records=[turn(3)])
    assert [each.turns for each in sessions(home, "elder")] == [3]


def test_the_same_life_gives_the_same_files_as_when_this_version_began(tmp_path: Path) -> None:
    """Where this fails, the format has changed: it needs a new version and a migration."""
    live(home_at(tmp_path))

    assert kept(tmp_path) == kept(FIXTURES / "v1")


def test_opening_an_old_persona_keeps_its_files_until_the_next_commit(
    tmp_path: Path, clock: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FIXTURES / "v1", tmp_path, dirs_exist_ok=True)
    home = home_at(tmp_path)
    old = kept(tmp_path)
    for kind in ("head", "state", "session"):
        monkeypatch.setitem(migrate.MIGRATIONS, kind, {1: dict})

    with Persona.open(home, "elder", clock=clock) as persona:
        assert kept(tmp_path) == old
        persona.resume_session("20261122")
        persona.commit(states=persona.states(), records=[turn(3)])

        assert (persona.folder / "HEAD.previous.json").read_bytes() == old["HEAD.json"]
        assert plain(persona.states()["reservoir"]) == plain(weights(0.5))
    assert set(old) < set(kept(tmp_path))
    with Persona.open(home, "elder", clock=clock) as persona:
        assert [record["record"] for record in read_session(home, "elder", "2026")] == [
            "session",
            "turn",
            "turn",
            "turn",
        ]
