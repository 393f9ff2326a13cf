import pytest

from anima import config
from anima.errors import ConfigError, UsageError
from anima.home import Home


@pytest.fixture
def home(tmp_path):
    return Home(root=tmp_path, cache=tmp_path / "c", config=tmp_path / "user.toml")


def load(home, tmp_path, environ=None, **flags):
    return config.load(home, environ or {}, flags, folder=tmp_path / "project" / "deep")


def test_each_layer_overrides_the_one_before_and_says_where_it_is_from(home, tmp_path):
    project = tmp_path / "project" / config.PROJECT_FILE
    project.parent.mkdir()
    (tmp_path / "project" / "deep").mkdir()
    home.config.write_text("top_k = 1\nseed = 1\ntop_p = 0.1\npersona = 'u'\n", encoding="utf-8")
    project.write_text("seed = 2\ntop_p = 0.2\npersona = 'p'\n", encoding="utf-8")
    environ = {"ANIMA_TOP_P": "0.3", "ANIMA_PERSONA": "e", "ANIMA_HOME": "/elsewhere"}
    found = load(home, tmp_path, environ, persona="f", model=None)
    settings = found.settings
    assert (settings.top_k, settings.seed, settings.top_p, settings.persona) == (1, 2, 0.3, "f")
    assert settings.model == "smollm2"
    assert found.origins == {
        "top_k": str(home.config),
        "seed": str(project),
        "top_p": "$ANIMA_TOP_P",
        "persona": "--persona",
    }


def test_without_files_there_are_only_defaults(home, tmp_path):
    found = load(home, tmp_path)
    assert found.settings == config.Settings()
    assert found.origins == {}


def test_bad_toml_names_the_file_and_the_line(home, tmp_path):
    home.config.write_text("seed = 1\nseed = = 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"user\.toml.*line 2"):
        load(home, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", "no setting 'sed'. Did you mean seed"),
        ("seed = 'x'", "seed must be a whole number, not 'x'"),
        ("seed = 1.5", "whole number"),
        ("seed = true", "whole number"),
        ("seed = -1", "too small: the least is 0"),
        ("persona = 3", "must be a text"),
        ("device = 'tpu'", "choose auto, cpu, cuda, mps"),
        ("[seed]\nx = 1", "whole number"),
    ],
)
def test_a_wrong_value_in_a_file_names_file_value_and_remedy(home, tmp_path, text, message):
    home.config.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load(home, tmp_path)
    assert str(home.config) in str(caught.value)


def test_a_wrong_variable_is_named(home, tmp_path):
    with pytest.raises(ConfigError, match=r"\$ANIMA_SEED: seed must be a whole number"):
        load(home, tmp_path, {"ANIMA_SEED": "soon"})
    with pytest.raises(ConfigError, match=r"\$ANIMA_SEEDS.*Did you mean seed"):
        load(home, tmp_path, {"ANIMA_SEEDS": "1"})


def test_a_wrong_flag_is_a_usage_error(home, tmp_path):
    with pytest.raises(UsageError, match="--max-tokens: max_tokens 0 is too small"):
        load(home, tmp_path, max_tokens=0)


def test_a_file_that_is_not_text_is_named(home, tmp_path):
    home.config.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"user\.toml cannot be read"):
        load(home, tmp_path)


def test_a_wrong_value_names_its_line_in_the_file(home, tmp_path):
    for text, line in [
        ("# mine\n\nseed = -1\n", 3),
        ('seed = 1\n"sed" = 1\n', 2),
        ("a = 1", 1),
        ("seed = 1\n[top_p]\nx = 1\n", 2),
        ("seed.x = 1", 1),
    ]:
        home.config.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=rf"user\.toml, line {line}: "):
            load(home, tmp_path)


def test_a_file_that_breaks_off_names_its_last_line(home, tmp_path):
    home.config.write_text('seed = 1\nsystem = """\nabc\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"user\.toml, line 3: this is not valid TOML"):
        load(home, tmp_path)


def test_all_faults_are_found_where_loading_names_the_first(home, tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / config.PROJECT_FILE).write_text("= 1", encoding="utf-8")
    home.config.write_text("sed = 1\ntop_p = 3\n", encoding="utf-8")
    found = config.faults(home, {"ANIMA_SEED": "x"}, folder=tmp_path / "project")
    places = ["user.toml, line 1: ", "user.toml, line 2: ", "anima.toml, line 1: ", "$ANIMA_SEED: "]
    assert [place in str(error) for place, error in zip(places, found, strict=True)] == [True] * 4


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "1e400", float("inf"), 10**400])
def test_no_setting_is_infinite(value):
    for name in ("seed", "temperature"):
        with pytest.raises(UsageError, match=f"--x: {name} must be a"):
            config.checked(name, value, "--x", UsageError)


def test_sampling_settings_have_the_ranges_that_the_sampler_enforces():
    from anima.trunk.settings import RANGES

    declared = config.Settings.__dataclass_fields__
    found = {
        name: (declared[name].metadata["low"], declared[name].metadata["high"]) for name in RANGES
    }
    assert found == RANGES
    with pytest.raises(UsageError, match="--x: top_p 2 is too large: the most is 1"):
        config.checked("top_p", 2, "--x", UsageError)
