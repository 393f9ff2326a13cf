"""A memory on disk that is found by words alone, in time that passes."""

import pytest
from memory_rig import Ticking

from anima.memory import Memory
from anima.memory.ranking.hybrid import HybridRecall


@pytest.fixture
def memory(tmp_path):
    with Memory.open(tmp_path / "memory.json", clock=Ticking(), recall=HybridRecall()) as opened:
        yield opened
