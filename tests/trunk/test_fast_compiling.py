import ast
from pathlib import Path

import numba
import pytest

from anima.trunk import fast_compiling
from anima.trunk.fast_compiling import SOURCES, keep_compiled


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


def test_every_file_that_the_compiled_step_is_made_of_names_its_folder():
    here = Path(fast_compiling.__file__)
    for name in SOURCES:
        tree = ast.parse(here.with_name(name).read_text(encoding="utf-8"))
        taken = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        ours = {f"{each.split('.')[-1]}.py" for each in taken if each.startswith("anima.")}
        assert ours - {here.name} <= set(SOURCES)
