import json

import pytest

from anima.errors import ModelError
from anima.trunk import hub


def test_a_model_of_one_file_is_whole_with_it(tmp_path):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert not hub.is_whole(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert hub.is_whole(tmp_path)


def test_a_model_in_shards_is_whole_when_every_shard_of_its_index_is_there(tmp_path):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    shards = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}), encoding="utf-8")
    (tmp_path / "model-1.safetensors").touch()
    assert not hub.is_whole(tmp_path)
    (tmp_path / "model-2.safetensors").touch()
    assert hub.is_whole(tmp_path)
    index.write_text("{", encoding="utf-8")
    assert not hub.is_whole(tmp_path)


def test_an_unreachable_hub_names_the_model_the_cause_and_what_to_do():
    said = []
    with pytest.raises(
        ModelError, match=r"mine: nobody/nothing could not be fetched.*--model PATH"
    ):
        hub.fetch("mine", "nobody/nothing", said.append)
    assert said == ["Fetching nobody/nothing from its hub …"]
    assert hub.cached("nobody/nothing") is None
