import json

import pytest
import tiny
import torch

from anima.memory.into.inlet import Inlet
from anima.memory.into.states import LONGEST, StateReader
from anima.memory.into.ways import WAYS, ways_of
from anima.runtime.draft import Contribution, bias_at

LINES = [
    {"seq": 1, "text": "My sister lives in Oslo.", "score": 0.9},
    {"seq": 4, "text": "The attic is cold.", "score": 0.3},
]


def inlet(words, strength=1.0, trunk=None):
    encode = tiny.loaded().tokenizer.encode
    reader = StateReader(trunk=trunk or tiny.trunk(), head=encode("head"), encode=encode)
    return Inlet(reader=reader, ways=ways_of(words, strength))


def steps(opened, trunk, ids, said):
    """The bent logits of each step: a prompt, then tokens that are forced."""
    cache, rows, part = trunk.cache(), [], Contribution(logit_bias=opened.logit_bias)
    for call in (ids, *([token] for token in said)):
        row = trunk.forward(torch.tensor([call]), cache, taps=opened.taps).logits[0, -1]
        bias = bias_at(part, row, first=False)
        rows.append(row if bias is None else row + bias)
    return torch.stack(rows)


@pytest.fixture
def ids():
    return tiny.loaded().tokenizer.encode("Where does my sister live? Your sister lives in")


@pytest.mark.parametrize("words", ["bias", "knn", "overlay", "bias+knn+overlay"])
def test_each_way_changes_the_logits_and_strength_zero_changes_no_bit(words, ids):
    trunk = tiny.trunk()
    bare = steps(inlet("quote").open(LINES, gate=1.0), trunk, ids, [9])
    assert not torch.equal(steps(inlet(words).open(LINES, gate=1.0), trunk, ids, [9]), bare)
    for off in (
        inlet(words, 0.0).open(LINES, gate=1.0),
        inlet(words).open(LINES, gate=0.0),
        inlet(words).open([], gate=1.0),
    ):
        assert torch.equal(steps(off, trunk, ids, [9]), bare)
        assert off.record() == {}


@pytest.mark.parametrize("engine", tiny.EXECUTIONS)
def test_every_execution_of_the_model_does_the_same(engine, ids):
    trunk = tiny.EXECUTIONS[engine]()
    reference = steps(inlet("bias+knn+overlay").open(LINES, gate=0.8), tiny.trunk(), ids, [9, 12])
    here = inlet("bias+knn+overlay", trunk=trunk).open(LINES, gate=0.8)
    assert torch.allclose(steps(here, trunk, ids, [9, 12]), reference, atol=1e-3)


def test_no_key_and_no_value_of_the_cache_is_touched(ids):
    trunk = tiny.trunk()
    opened = inlet("bias+knn+overlay").open(LINES, gate=1.0)
    touched, bare = trunk.cache(), trunk.cache()
    trunk.forward(torch.tensor([ids]), touched, taps=opened.taps)
    trunk.forward(torch.tensor([ids]), bare)
    after = [trunk.forward(torch.tensor([[7]]), cache).logits for cache in (touched, bare)]
    assert torch.equal(after[0], after[1])


@pytest.mark.parametrize("way", [way for way in WAYS if way != "quote"])
def test_what_a_record_says_acts_again_to_the_bit(way, ids):
    first = inlet(way).open(LINES, gate=0.7, values={1: torch.ones(32).numpy()})
    rows = steps(first, tiny.trunk(), ids, [9, 12])
    noted = json.loads(json.dumps(first.record()))
    assert noted["ways"] == [way]
    again = inlet(way).reopen(noted)
    assert torch.equal(steps(again, tiny.trunk(), ids, [9, 12]), rows)
    assert again.record() == noted


def test_the_mixture_says_what_a_line_goes_on_with():
    encode = tiny.loaded().tokenizer.encode
    opened = inlet("knn").open(LINES[:1], gate=1.0)
    line = encode(LINES[0]["text"])
    rows = steps(opened, tiny.trunk(), [*encode("head"), *line, *encode("\n"), *line[:-2]], [])
    assert int(rows[-1].argmax()) == line[-2]
    assert opened.record()["mixture"]["bent"] == 1


def test_a_value_is_made_only_where_the_bias_is_on_and_used_where_it_was_kept():
    assert inlet("knn").value("My sister lives in Oslo.") is None
    value = inlet("bias").value("My sister lives in Oslo.")
    assert value is not None
    assert value.shape == (32,)
    own = inlet("bias").open(LINES[:1], gate=1.0).logit_bias
    kept = inlet("bias").open(LINES[:1], gate=1.0, values={1: value}).logit_bias
    other = inlet("bias").open(LINES[:1], gate=1.0, values={1: -value}).logit_bias
    assert isinstance(own, torch.Tensor)
    assert isinstance(kept, torch.Tensor)
    assert isinstance(other, torch.Tensor)
    assert torch.equal(own, kept)
    assert not torch.equal(own, other)


def test_a_line_without_tokens_is_passed_over_and_a_long_one_is_cut():
    reader = inlet("knn").reader
    assert reader.read("") is None
    assert inlet("knn").open([{"seq": 1, "text": ""}], gate=1.0).logit_bias is None
    states = reader.read("a" * 500)
    assert states is not None
    assert states.first.shape == states.second.shape == (LONGEST, 32)


def test_the_second_reading_knows_the_line_and_the_first_does_not():
    trunk, encode = tiny.trunk(), tiny.loaded().tokenizer.encode
    reader = StateReader(trunk=trunk, head=encode("head"), encode=encode)
    states = reader.read("abc")
    assert states is not None
    step = trunk.forward(torch.tensor([encode("headab")]), trunk.cache(), reads=[reader.last])
    assert torch.allclose(states.first, step.reads[reader.last][0, 3:], atol=1e-5)
    assert not torch.allclose(states.first[1:], states.second[1:], atol=1e-2)
    assert reader.read("abc") is states
