import os

import pytest

from anima.home import find_home
from anima.trunk.conformance import conform
from anima.trunk.conformance_cases import own_cases

pytestmark = pytest.mark.slow


def test_the_real_model_conforms_as_it_is_used_and_in_float32(smollm2_cache, monkeypatch):
    monkeypatch.setenv("ANIMA_CACHE", str(smollm2_cache))
    checked = {}
    for name, case in own_cases(
        find_home(None, os.environ), "smollm2", device="cpu", dtype="auto", engine="auto",
        quantize="auto",
    ):  # fmt: skip
        checked[name] = list(conform(case))
    assert "smollm2, fast, float32" in checked
    wrong = {
        name: [f"{each.name}: {each.figure}" for each in found if not each.passed]
        for name, found in checked.items()
    }
    assert not any(wrong.values()), wrong
