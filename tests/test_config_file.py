import tomllib

import pytest

from anima import config_file
from anima.errors import ConfigError, StorageError

MINE = "# mine\nseed = 3   # lucky\n\n# the end\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "config.toml"


def written(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_a_file_is_made_where_there_is_none(path):
    config_file.put(path, "system", 'Say "hi"\n')
    assert tomllib.loads(path.read_text(encoding="utf-8")) == {"system": 'Say "hi"\n'}


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_comments_and_other_lines_stay_as_they_are(path, ends):
    written(path, MINE.replace("\n", ends))
    config_file.put(path, "seed", 4)
    assert path.read_bytes().decode() == MINE.replace("3", "4").replace("\n", ends)
    config_file.put(path, "top_p", 0.5)
    assert path.read_bytes().decode() == (MINE.replace("3", "4") + "top_p = 0.5\n").replace(
        "\n", ends
    )
    assert config_file.take_out(path, "seed")
    assert path.read_bytes().decode() == ("# mine\n\n# the end\ntop_p = 0.5\n").replace("\n", ends)


def test_a_value_set_after_a_table_is_not_in_it(path):
    written(path, "[table]\nx = 1\n")
    config_file.put(path, "seed", 4)
    assert tomllib.loads(path.read_text(encoding="utf-8")) == {"seed": 4, "table": {"x": 1}}


def test_what_is_no_setting_can_be_taken_out(path):
    written(path, "sed = 1\n[table]\nx = 1\n")
    assert config_file.take_out(path, "sed")
    assert config_file.take_out(path, "table")
    assert not config_file.take_out(path, "seed")
    assert tomllib.loads(path.read_text(encoding="utf-8")) == {}


def test_a_broken_file_is_named_with_its_line_and_left_alone(path):
    written(path, "seed = 3\nseed = = 1\n")
    for change in (
        lambda: config_file.put(path, "seed", 1),
        lambda: config_file.take_out(path, "x"),
    ):
        with pytest.raises(ConfigError, match=r"config\.toml, line 2"):
            change()
    assert path.read_text(encoding="utf-8") == "seed = 3\nseed = = 1\n"


def test_the_file_behind_a_link_is_written_and_keeps_its_mode(path, tmp_path):
    real = written(tmp_path / "dotfiles" / "anima.toml", MINE)
    real.chmod(0o644)
    path.parent.mkdir()
    path.symlink_to(real)
    config_file.put(path, "seed", 4)
    assert path.is_symlink()
    assert real.read_text(encoding="utf-8") == MINE.replace("3", "4")
    assert real.stat().st_mode & 0o777 == 0o644


def test_a_refusing_disk_changes_nothing_and_names_the_way_out(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    written(path, MINE)
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StorageError, match=r"config\.toml cannot be written.*ANIMA_\* variable"):
        config_file.put(path, "seed", 4)
    assert path.read_text(encoding="utf-8") == MINE
    assert list(path.parent.iterdir()) == [path]
