"""What LMDB's own check lets pass is named: a flip that would bring back an older commit unsaid."""

from pathlib import Path

import pytest

from anima.errors import CorruptStateError
from anima.memory import Memory

from ..conftest import Ticking
from ..samples import lived

PAGE = 4096
TRANSACTION = 144


@pytest.mark.parametrize("page", [0, 1])
def test_a_flip_in_the_number_of_a_commit_is_named(tmp_path: Path, page: int) -> None:
    path = tmp_path / "memory.lmdb"
    lived(path, Ticking())
    content = bytearray(path.read_bytes())
    content[page * PAGE + TRANSACTION] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptStateError, match="two commits in a row"):
        Memory.open(path, clock=Ticking())


def test_an_empty_file_of_pages_opens(tmp_path: Path) -> None:
    path = tmp_path / "memory.lmdb"
    for _ in range(3):
        with Memory.open(path, clock=Ticking()) as memory:
            assert memory.count == 0
