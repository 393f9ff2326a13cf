import json
from dataclasses import replace

import pytest
import tiny
import torch

from anima.context import Segment
from anima.features import making
from anima.features.making import Bench, Plan, make
from anima.features.opening import open_sae
from anima.features.replies import Talk, talk
from anima.features.training import Recipe

RECIPE = Recipe(features=48, k=4, samples=64 * 40, batch=64, dead_after=640, auxiliary_rows=0)
PREFIX = (Segment(role="core", text="Be kind."),)


def bench(said):
    return Bench(
        reader=tiny.trunk(), loaded=tiny.loaded(), format=tiny.chat_format(), prefix=PREFIX,
        clock=lambda: 0.0, say=said.append,
    )  # fmt: skip


@pytest.fixture
def plan(tmp_path):
    text = tmp_path / "own.jsonl"
    lines = ([f"What is {n} and {n + 1}?", f"It is {2 * n + 1}, I think."] for n in range(150))
    text.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return Plan(
        work=tmp_path / "work", out=tmp_path / "out", layers=(0, 1), texts=(text,), talks=2,
        talk=Talk(rows=20, question=5, answer=12), limit=120, recipe=RECIPE,
        small=replace(RECIPE, features=24),
    )  # fmt: skip


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_one_command_makes_an_sae_that_opens_and_a_second_makes_the_same(plan, monkeypatch):
    monkeypatch.setattr(making, "version", lambda name: "1")
    said = []
    folder = make(plan, bench(said), "python -m tools.train_sae")
    first = files(folder)
    opened = open_sae(str(folder), cache=folder)
    assert opened.sae.n_features == 48
    assert opened.sae.layer in plan.layers
    assert opened.statistics.tokens > 2000
    card = first["README.md"].decode()
    assert "own replies of tiny" in card
    assert "own.jsonl" in card
    assert (
        f"| FVU | {making.shipping.fidelity(opened.sae, [held(plan, opened.sae.layer)]).fvu:.3f}"
        in card
    )
    assert card.count("| 0 |") + card.count("| 1 |") >= 2  # the layers compared
    make(plan, bench([]), "python -m tools.train_sae")
    assert files(folder) == first


def test_what_a_person_noted_stands_in_the_card_below_its_section(plan, monkeypatch):
    monkeypatch.setattr(making, "version", lambda name: "1")
    plan.out.mkdir()
    notes = "What is here goes into the card.\n\n## The layer\n\nA lean.\n\n## Labels\n\nBy rule.\n"
    (plan.out / "notes.md").write_text(notes)
    card = (make(plan, bench([]), "python -m tools.train_sae") / "README.md").read_text()
    assert card.index("## The layer") < card.index("A lean.") < card.index("## Data")
    assert card.endswith("## Labels\n\nBy rule.\n")
    assert "goes into the card" not in card


def held(plan, layer):
    from anima.features.harvest import opened

    shards = [s for one in sorted(plan.work.iterdir()) if (one / "held").is_dir()
              for s in opened(one / "held", layer)]  # fmt: skip
    return torch.cat([torch.from_numpy(s.copy()) for s in shards])


def test_its_own_replies_are_the_same_wherever_the_run_was_cut(tmp_path):
    settings = Talk(rows=6, question=5, answer=8, seed=4)

    def run(path, batches):
        talk(tiny.loaded(), tiny.chat_format(), PREFIX, path, given=["Hello?", "Why?"],
             batches=batches, settings=settings)  # fmt: skip
        return path.read_bytes()

    whole = run(tmp_path / "whole.jsonl", 3)
    first = run(tmp_path / "cut.jsonl", 2)
    (tmp_path / "cut.jsonl").write_bytes(first + b'{"turns": ["half a li')
    assert run(tmp_path / "cut.jsonl", 3) == whole
    turns = [json.loads(line)["turns"] for line in whole.splitlines()]
    assert [one[0] for one in turns[6:12]] == ["Hello?", "Why?"] * 3
    assert len(turns) == 18
