import numba
import pytest

from anima.trunk.fast_compiling import keep_compiled


@pytest.fixture(autouse=True)
def numbas_folder(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")


def test_the_first_time_it_is_said_and_older_code_makes_way(tmp_path, said):
    (tmp_path / "compiled" / "older").mkdir(parents=True)
    keep_compiled(tmp_path, said)
    assert len(said) == 1
    assert "once" in said[0]
    [folder] = (tmp_path / "compiled").iterdir()
    assert str(folder) == numba.config.CACHE_DIR
    numba.config.CACHE_DIR = ""
    keep_compiled(tmp_path, said)
    assert len(said) == 1


def test_a_folder_chosen_by_the_user_for_numba_is_respected(tmp_path, said, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "elsewhere")
    keep_compiled(tmp_path, said)
    assert "elsewhere" == numba.config.CACHE_DIR  # noqa: SIM300
    assert said == []
    assert not (tmp_path / "compiled").exists()
