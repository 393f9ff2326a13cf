from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from anima.errors import CorruptStateError, NewerVersionError
from anima.persona import profile
from anima.persona.profile import PersonaFile

CREATED = datetime(2026, 11, 22, 1, 53, tzinfo=UTC)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    model=TEXTS,
    settings=st.dictionaries(
        TEXTS,
        TEXTS
        | st.booleans()
        | st.integers(-(2**62), 2**62)
        | st.floats(allow_nan=False, allow_infinity=False),
    ),
)
def test_what_is_saved_is_loaded(
    tmp_path: Path, model: str, settings: dict[str, profile.Setting]
) -> None:
    file = PersonaFile(
        name="ada", created=CREATED, model=model, fingerprint="f0", settings=settings
    )

    profile.save(tmp_path, file)

    assert profile.load(tmp_path) == file


def test_without_a_model_none_is_invented(tmp_path: Path) -> None:
    profile.save(tmp_path, PersonaFile(name="ada", created=CREATED))

    assert profile.load(tmp_path) == PersonaFile(name="ada", created=CREATED)


def test_a_model_path_that_is_no_text_can_be_noted(tmp_path: Path) -> None:
    profile.save(tmp_path, PersonaFile(name="ada", created=CREATED, model="/m/\udcff"))

    loaded = profile.load(tmp_path)
    assert loaded is not None
    assert loaded.model == "/m/?"


def test_no_file_is_none(tmp_path: Path) -> None:
    assert profile.load(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        "schema = 1\nname = ",
        "schema = 1\nname = 3\ncreated = 2026-11-22T01:53:00Z",
        "schema = 1\nname = 'ada'",
        "schema = 1\nname = 'ada'\ncreated = 2026-11-22T01:53:00",
        "schema = 1\nname = 'ada'\ncreated = 2026-11-22T01:53:00Z\nmodel = 'smollm2'",
        "schema = 1\nname = 'ada'\ncreated = 2026-11-22T01:53:00Z\n[settings]\ntop_p = [1]",
        "schema = 1\nname = 'ada'\ncreated = 2026-11-22T01:53:00Z\n[model]\nid = 4",
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "persona.toml").write_text(content, encoding="utf-8")

    with pytest.raises(CorruptStateError, match=r"persona\.toml cannot be read: .*Correct it"):
        profile.load(tmp_path)


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "persona.toml").write_text("schema = 2\nsoul = true\n", encoding="utf-8")

    with pytest.raises(NewerVersionError, match=r"persona\.toml was written by a newer Anima"):
        profile.load(tmp_path)
    assert (tmp_path / "persona.toml").read_text(encoding="utf-8") == "schema = 2\nsoul = true\n"
