import numpy as np
import pytest
import tiny
import torch

from anima.context import Segment
from anima.errors import CorruptStateError, UsageError
from anima.features import harvest as module
from anima.features.corpus import CONTENT, Conversation, rendered
from anima.features.harvest import claim, harvest, opened, residuals
from anima.trunk.tokens import Tokenizer

LAYERS = (0, 1)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "SHARD_TOKENS", 400)
    monkeypatch.setattr(module, "BATCH_TOKENS", 300)


def pieces(count=12):
    tokenizer, format = Tokenizer(tiny.backend()), tiny.chat_format()
    prefix = (Segment(role="core", text="Be kind."),)
    for number in range(count):
        spoken = Conversation.of(
            [f"Question {number}?" * (1 + number % 4), "Answer." * (number % 3 + 1)]
        )
        yield from rendered(spoken, tokenizer, format, prefix, limit=200)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.npy"))}


class Killed(Exception):
    pass


def test_it_keeps_the_stream_of_content_tokens_that_the_trunk_reads(tmp_path):
    trunk = tiny.trunk()
    kept = harvest(trunk.model, pieces(), tmp_path, layers=LAYERS, tokens=10**9)
    rows = {layer: torch.from_numpy(np.concatenate(opened(tmp_path, layer))) for layer in LAYERS}
    ids = np.concatenate([np.load(path) for path in sorted((tmp_path / "tokens").glob("*.npy"))])
    expected = {layer: [] for layer in LAYERS}
    said = []
    for group in module._groups(pieces()):
        for piece in sorted(group, key=len):
            step = trunk.forward(torch.tensor([piece.ids]), trunk.cache(), reads=LAYERS)
            wanted = torch.tensor([role in CONTENT for role in piece.roles])
            said += [i for i, want in zip(piece.ids, wanted, strict=True) if want]
            for layer in LAYERS:
                expected[layer].append(step.reads[layer][0][wanted])
    assert ids.tolist() == said
    assert kept.kept == len(said)
    for layer in LAYERS:
        assert torch.allclose(rows[layer].float(), torch.cat(expected[layer]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("writes", [1, 2, 4, 5])
def test_killed_within_a_shard_it_goes_on_to_the_same_bytes(writes, tmp_path, monkeypatch):
    trunk = tiny.trunk()
    harvest(trunk.model, pieces(), tmp_path / "whole", layers=LAYERS, tokens=10**9)
    done = []

    def write(path, rows, real=module._write):
        if len(done) == writes:
            raise Killed
        done.append(path)
        real(path, rows)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", write)
        with pytest.raises(Killed):
            harvest(trunk.model, pieces(), tmp_path / "cut", layers=LAYERS, tokens=10**9)
    harvest(trunk.model, pieces(), tmp_path / "cut", layers=LAYERS, tokens=10**9)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert len(content(tmp_path / "whole")) >= 6


def test_it_ends_at_the_tokens_asked_for_and_can_be_extended(tmp_path):
    trunk = tiny.trunk()
    first = harvest(trunk.model, pieces(), tmp_path, layers=LAYERS, tokens=1)
    assert first.shards == 1
    more = harvest(trunk.model, pieces(), tmp_path, layers=LAYERS, tokens=10**9)
    assert more.shards > 1
    assert more.kept > first.kept


def test_layers_beyond_the_deepest_are_not_computed():
    model = tiny.llama(layers=3)
    ran = []
    handle = model.model.layers[2].register_forward_hook(lambda *_: ran.append(2))
    seen = residuals(model, torch.tensor([[3, 4, 5]]), (0, 1))
    handle.remove()
    assert set(seen) == {0, 1}
    assert ran == []
    assert not any(layer._forward_hooks for layer in model.model.layers)


def test_a_token_of_outlier_norm_is_left_out():
    h = torch.ones(20, 4)
    h[7] *= 50
    h[9] = torch.nan
    assert module._usual([torch.ones(20, 4), h]).logical_not().nonzero()[:, 0].tolist() == [7, 9]


def test_a_shard_without_one_of_its_layers_says_what_to_delete(tmp_path):
    harvest(tiny.trunk().model, pieces(), tmp_path, layers=LAYERS, tokens=1)
    with pytest.raises(CorruptStateError, match=r"Delete .*00000.npy"):
        opened(tmp_path, 2)


def test_a_folder_of_another_run_is_not_added_to(tmp_path):
    claim(tmp_path, {"layers": [1, 2]})
    claim(tmp_path, {"layers": (1, 2)})
    with pytest.raises(UsageError, match="another run"):
        claim(tmp_path, {"layers": [1, 3]})


def test_padding_changes_nothing():
    model = tiny.trunk().model
    alone = residuals(model, torch.tensor([[5, 6, 7]]), (1,))[1]
    padded = residuals(model, torch.tensor([[5, 6, 7, 0, 0], [9, 8, 7, 6, 5]]), (1,))[1]
    assert torch.allclose(padded[:1, :3], alone, atol=1e-5)
