"""The last layers over two texts: what torch tunes and what numpy computes are one; files are named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from anima.encoding.joint import Joint, read_joint
from anima.errors import CorruptModelError
from tools.joint_net import Net, Schedule, collated, logits_of, tune

WIDTH = 384
States = list[NDArray[np.float32]]


def random_net(layers: int = 1, *, head: float = 0.05) -> Net:
    """Layers of the true shape with random weights."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}

    def affine(name: str, out: int, inner: int | None = None) -> None:
        shape = (out,) if inner is None else (out, inner)
        tensors[f"{name}.weight"] = torch.randn(shape, generator=generator) * 0.05 + (inner is None)
        tensors[f"{name}.bias"] = torch.randn(out, generator=generator) * 0.05

    for at in range(layers):
        layer = f"encoder.layer.{at + 4}."
        for part in ("query", "key", "value"):
            affine(f"{layer}attention.self.{part}", WIDTH, WIDTH)
        affine(f"{layer}attention.output.dense", WIDTH, WIDTH)
        affine(f"{layer}attention.output.LayerNorm", WIDTH)
        affine(f"{layer}intermediate.dense", 4 * WIDTH, WIDTH)
        affine(f"{layer}output.dense", WIDTH, 4 * WIDTH)
        affine(f"{layer}output.LayerNorm", WIDTH)
    torch.manual_seed(0)
    net = Net(tensors, first=4, last=4 + layers)
    torch.nn.init.normal_(net.head.weight, std=head)
    return net.eval()


def some_states(count: int, seed: int = 0) -> States:
    chance = np.random.default_rng(seed)
    return [
        chance.normal(size=(int(length), WIDTH)).astype(np.float32)
        for length in chance.integers(2, 12, count)
    ]


def test_numpy_computes_what_torch_tuned() -> None:
    net, states = random_net(2), some_states(5)
    with torch.no_grad():
        wanted = net(*collated([(0, at) for at in range(1, 5)], states)).numpy()
    found = Joint.of(4, net.tensors()).logits(states[0], states[1:])
    assert found == pytest.approx(wanted, abs=1e-3)
    assert np.ptp(found) > 0.01


def test_a_text_is_read_the_same_alone_and_beside_others() -> None:
    joint, states = Joint.of(4, random_net().tensors()), some_states(4)
    together = joint.logits(states[0], states[1:])
    alone = [joint.logits(states[0], [each])[0] for each in states[1:]]
    assert together == pytest.approx(alone, abs=1e-4)


def test_which_text_is_the_first_counts() -> None:
    joint, (one, other) = Joint.of(4, random_net().tensors()), some_states(2)
    assert abs(joint.logits(one, [other])[0] - joint.logits(other, [one])[0]) > 1e-3


def test_nothing_beside_has_no_logit() -> None:
    assert Joint.of(4, random_net().tensors()).logits(some_states(1)[0], []).size == 0


def pairs_with_a_sign(count: int) -> tuple[States, list[tuple[int, int]], NDArray[np.bool_]]:
    """Pairs that are alike where both texts lean the same way along one direction."""
    chance = np.random.default_rng(3)
    leans = chance.choice([-1.0, 1.0], 2 * count)
    states = some_states(2 * count, seed=4)
    for each, lean in zip(states, leans, strict=True):
        each[:, 0] += 6 * lean
    pairs = [(2 * at, 2 * at + 1) for at in range(count)]
    return states, pairs, leans[::2] == leans[1::2]


@pytest.mark.parametrize(("shuffled", "least", "most"), [(False, 0.9, 1.0), (True, 0.25, 0.75)])
def test_it_learns_what_is_there_and_nothing_from_shuffled_labels(
    shuffled: bool, least: float, most: float
) -> None:
    states, pairs, alike = pairs_with_a_sign(120)
    shown = np.random.default_rng(5).permutation(alike[:80]) if shuffled else alike[:80]
    net = random_net(head=0.001)
    given = np.zeros(80, np.float32)
    schedule = Schedule(steps=40, batch=16, rate=1e-3, rate_of_head=3e-3)
    tune(net, pairs[:80], shown, given, states, schedule, say=lambda line: None)
    right = (logits_of(net, pairs[80:], states) > 0) == alike[80:]
    assert least <= right.mean() <= most


def test_tuning_is_the_same_under_the_same_seed() -> None:
    states, pairs, alike = pairs_with_a_sign(8)
    found = []
    for _ in range(2):
        net = random_net()
        tune(net, pairs, alike, np.zeros(8, np.float32), states, Schedule(steps=2), say=print)
        found.append(net.tensors()["head"])
    assert found[0] == pytest.approx(found[1], abs=0)


def test_layers_come_back_from_their_file(tmp_path: Path) -> None:
    net, states, path = random_net(), some_states(2), tmp_path / "joint.safetensors"
    joint = Joint.of(4, net.tensors(), {"bias": "0.5"})
    joint.write(path)
    found = read_joint(path)
    assert (found.first, found.told) == (4, {"bias": "0.5"})
    assert found.logits(states[0], states[1:]) == pytest.approx(
        joint.logits(states[0], states[1:]), abs=0.02
    )


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "joint.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(CorruptModelError, match="joint"):
        read_joint(path)


def test_a_file_with_a_layer_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "joint.safetensors"
    tensors = random_net().tensors()
    kept = {name: each for name, each in tensors.items() if "output.dense" not in name}
    whole = Joint.of(4, tensors)
    Joint(first=4, tensors=kept, told={}, layers=whole.layers).write(path)
    with pytest.raises(CorruptModelError, match="joint"):
        read_joint(path)
