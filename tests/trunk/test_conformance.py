from dataclasses import replace

import pytest
import tiny
import torch

from anima.trunk.conformance import (
    CHECKS,
    EXACT,
    ROUNDED,
    Case,
    conform,
    difference,
    tolerance_of,
)
from anima.trunk.interface import Step

IDS = torch.tensor([[5, 80, 81, 82, 90, 7, 100, 33, 60, 61, 200, 14]])


def case(trunk, against=None):
    return Case(trunk=trunk, ids=IDS, against=against)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_execution_does_what_the_reference_does(make, check):
    found = check(case(make(), tiny.trunk()))
    assert found.passed, f"{found.name}: {found.figure}"
    assert found.figure


def test_without_a_reference_a_trunk_is_held_to_itself(make):
    found = list(conform(case(make())))
    assert len(found) == len(CHECKS) - 1
    assert all(each.passed for each in found)


class Faulty:
    """The tiny trunk with one thing wrong."""

    def __init__(self):
        self._sound = tiny.trunk()
        self.info = self._sound.info

    def cache(self, rows=1, *, padding=None):
        return self._sound.cache(rows, padding=padding)

    def forward(self, ids, cache, **options):
        return self._sound.forward(ids, cache, **options)

    def lens(self, h):
        return self._sound.lens(h)


class AnotherModel(Faulty):
    def __init__(self):
        super().__init__()
        self._sound = tiny.trunk(seed=1)


class DeafToTaps(Faulty):
    def forward(self, ids, cache, *, taps=None, **options):
        return super().forward(ids, cache, **options)


class KeepsTheLastTaps(Faulty):
    last: object = None

    def forward(self, ids, cache, *, taps=None, **options):
        if len(ids) == 1:
            taps = self.last = taps or self.last or {}
        return super().forward(ids, cache, taps=taps or {}, **options)


class StirredByTaps(Faulty):
    def forward(self, ids, cache, *, taps=None, **options):
        step = super().forward(ids, cache, taps=taps or {}, **options)
        return replace(step, logits=step.logits + 1e-6) if taps else step


class PushesEveryRow(Faulty):
    def forward(self, ids, cache, *, taps=None, **options):
        wide = {
            layer: tuple(lambda h, tap=tap: None if tap(h) is None else tap(h).sum(0, True)
                         for tap in some)
            for layer, some in (taps or {}).items()
        }  # fmt: skip
        return super().forward(ids, cache, taps=wide, **options)


class DeafToBias(Faulty):
    def forward(self, ids, cache, *, bias=None, **options):
        return super().forward(ids, cache, **options)


class BiasByKeyHead(Faulty):
    def forward(self, ids, cache, *, bias=None, **options):
        if bias is not None:
            bias = bias[:, :, 1::2].repeat_interleave(2, 2)
        return super().forward(ids, cache, bias=bias, **options)


class BiasInPrefillOnly(Faulty):
    def forward(self, ids, cache, *, bias=None, **options):
        return super().forward(ids, cache, bias=bias if ids.shape[1] > 1 else None, **options)


class SeesThePadding(Faulty):
    def cache(self, rows=1, *, padding=None):
        return super().cache(rows)


class NeverForgets(Faulty):
    def cache(self, rows=1, *, padding=None):
        cache = super().cache(rows, padding=padding)
        cache.crop = lambda length: None
        return cache


class LosesItsPlaceInDecode(Faulty):
    def forward(self, ids, cache, **options):
        if ids.shape[1] == 1 and cache.length > 2:
            cache.crop(cache.length - 2)
            super().forward(torch.zeros_like(ids), cache)
            super().forward(torch.zeros_like(ids), cache)
        return super().forward(ids, cache, **options)


class LensWithoutNorm(Faulty):
    def lens(self, h):
        return self._sound.model.lm_head(h)


class LateReads(Faulty):
    def forward(self, ids, cache, **options) -> Step:
        step = super().forward(ids, cache, **options)
        return replace(step, reads={layer: h + 1 for layer, h in step.reads.items()})


@pytest.mark.parametrize(
    ("faulty", "found"),
    [
        (AnotherModel, {"greedy text", "written delta", "long context", "attention bias", "lens"}),
        (DeafToTaps, {"written delta", "many rows", "swapped taps"}),
        (KeepsTheLastTaps, {"swapped taps", "rollback"}),
        (StirredByTaps, {"idle hooks"}),
        (PushesEveryRow, {"many rows"}),
        (DeafToBias, {"attention bias"}),
        (BiasByKeyHead, {"attention bias"}),
        (BiasInPrefillOnly, {"biased decode"}),
        (SeesThePadding, {"ragged rows"}),
        (NeverForgets, {"rollback"}),
        (LosesItsPlaceInDecode, {"greedy text", "cached decode", "biased decode"}),
        (LensWithoutNorm, {"lens"}),
        (LateReads, {"lens"}),
    ],
)
def test_a_trunk_with_a_fault_fails_the_checks_of_it(faulty, found):
    failed = {each.name for each in conform(case(faulty(), tiny.trunk())) if not each.passed}
    assert found <= failed


@pytest.mark.parametrize("faulty", [DeafToTaps, DeafToBias, SeesThePadding, LensWithoutNorm])
def test_many_faults_show_without_a_reference_too(faulty):
    assert not all(each.passed for each in conform(case(faulty())))


def test_numbers_that_are_none_are_no_small_difference():
    assert difference(torch.tensor([float("nan")]), torch.ones(1)) == float("inf")


def test_rounded_executions_are_allowed_more():
    assert tolerance_of(tiny.fast()) == EXACT
    rounded = Faulty()
    rounded.info = replace(rounded.info, dtype="bfloat16")
    assert tolerance_of(rounded) == ROUNDED
    rounded.info = replace(rounded.info, dtype="float32", quantize="int4")
    assert tolerance_of(rounded) == ROUNDED
