"""Whether the pages of an LMDB file hold together; knows nothing of what is kept in them.

LMDB follows the numbers in its pages through mapped memory without looking: on a file that was cut
or changed it would end the process instead of raising. So every page that can be reached is checked
first. Layout: LMDB 0.9 (data version 1), 64 bit, the byte order of the machine.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anima.memory.ledgers.ledger import corrupt

_HEADER = struct.Struct("=QHHHH")
_META = struct.Struct("=IIQQ")
_TREE = struct.Struct("=IHHQQQQQ")
_TAIL = struct.Struct("=QQ")
_NODE = struct.Struct("=HHHH")
_NUMBER = struct.Struct("=Q")
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _OVERFLOW, _META_FLAG = 0x01, 0x02, 0x04, 0x08
_BIG_DATA = 0x01
_NONE = 0xFFFFFFFFFFFFFFFF
_DEEPEST = 32
_SIZES = {1 << power for power in range(9, 17)}


class _Wrong(Exception):
    """What does not hold together."""


@dataclass(frozen=True)
class _Meta:
    size: int
    roots: tuple[int, int]
    last: int
    transaction: int


def check(path: Path) -> None:
    """Raise CorruptStateError where following the file's pages would leave the file or never end."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            _Pages(content).walk()
        except (_Wrong, struct.error) as error:
            raise corrupt(path, error) from error


class _Pages:
    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        first = self._meta(0)
        second = self._meta(first.size)
        # LMDB takes the newer of the two, as it stands after the last whole commit.
        self.meta = second if second.transaction > first.transaction else first
        self.size = first.size
        if second.size != first.size:
            raise _Wrong("its two meta pages differ in their page size")
        if not _one_after_the_other(first.transaction, second.transaction):
            raise _Wrong("its two meta pages are not of two commits in a row")
        self.seen: set[int] = {0, 1}

    def walk(self) -> None:
        free, main = self.meta.roots
        freed = [page for leaf in self._leaves(free) for page in self._freed(leaf)]
        for leaf in self._leaves(main):
            for _ in self._data(leaf):
                pass
        wrong = [page for page in freed if page in self.seen or page > self.meta.last]
        if wrong or len(set(freed)) != len(freed):
            raise _Wrong("its list of free pages names one that is in use")

    def _meta(self, at: int) -> _Meta:
        _, _, flags, _, _ = _HEADER.unpack_from(self.content, at)
        at += _HEADER.size
        magic, version, _, _ = _META.unpack_from(self.content, at)
        if not flags & _META_FLAG or (magic, version) != (_MAGIC, _VERSION):
            raise _Wrong("a meta page is not one of LMDB's")
        at += _META.size
        trees = [_TREE.unpack_from(self.content, at + each * _TREE.size) for each in (0, 1)]
        last, transaction = _TAIL.unpack_from(self.content, at + 2 * _TREE.size)
        size = trees[0][0]
        if size not in _SIZES:
            raise _Wrong(f"pages of {size} bytes")
        return _Meta(size, (trees[0][-1], trees[1][-1]), last, transaction)

    def _leaves(self, root: int) -> Iterator[int]:
        """The leaf pages of a tree, each page visited once."""
        waiting = [] if root == _NONE else [(root, 1)]
        while waiting:
            number, depth = waiting.pop()
            flags = self._claim(number)
            if depth > _DEEPEST or flags not in (_BRANCH, _LEAF):
                raise _Wrong(f"page {number} is neither a branch nor a leaf")
            if flags == _LEAF:
                yield number
                continue
            for at in self._nodes(number):
                low, high, top, _ = _NODE.unpack_from(self.content, at)
                waiting.append((low | high << 16 | top << 32, depth + 1))

    def _claim(self, number: int, count: int = 1) -> int:
        """The flags of a page that no other place names; `count` pages lie together there."""
        if number in self.seen or not 1 < number <= number + count - 1 <= self.meta.last:
            raise _Wrong(f"page {number} is named twice or is none")
        if (number + count) * self.size > len(self.content):
            raise _Wrong(f"page {number} lies beyond the end of the file")
        self.seen.update(range(number, number + count))
        own, _, flags, _, _ = _HEADER.unpack_from(self.content, number * self.size)
        if own != number:
            raise _Wrong(f"page {number} says that it is page {own}")
        return int(flags)

    def _nodes(self, number: int) -> Iterator[int]:
        """Where each node of a page begins, its header and its key lying within the page."""
        start = number * self.size
        _, _, flags, lower, upper = _HEADER.unpack_from(self.content, start)
        if not _HEADER.size <= lower <= upper <= self.size or lower % 2:
            raise _Wrong(f"page {number} is filled beyond its size")
        for slot in range(_HEADER.size, lower, 2):
            (offset,) = struct.unpack_from("=H", self.content, start + slot)
            if not upper <= offset <= self.size - _NODE.size or offset % 2:
                raise _Wrong(f"page {number} has a node outside of it")
            *_, key = _NODE.unpack_from(self.content, start + offset)
            if offset + _NODE.size + key > self.size or flags & _OVERFLOW:
                raise _Wrong(f"page {number} has a key outside of it")
            yield start + offset

    def _data(self, number: int) -> Iterator[tuple[int, int]]:
        """Where the data of each node of a leaf lie, and how many bytes."""
        end = (number + 1) * self.size
        for at in self._nodes(number):
            low, high, flags, key = _NODE.unpack_from(self.content, at)
            length, begin = low | high << 16, at + _NODE.size + key
            if flags & ~_BIG_DATA:
                raise _Wrong(f"page {number} has a node of another kind")
            if not flags & _BIG_DATA:
                if begin + length > end:
                    raise _Wrong(f"page {number} has data outside of it")
                yield begin, length
                continue
            (page,) = _NUMBER.unpack_from(self.content, begin)
            count = -(-(_HEADER.size + length) // self.size)
            if self._claim(page, count) != _OVERFLOW:
                raise _Wrong(f"page {page} does not go on with data")
            yield page * self.size + _HEADER.size, length

    def _freed(self, number: int) -> Iterator[int]:
        """The page numbers in the free list's records: a count, and then so many of them."""
        for begin, length in self._data(number):
            (count,) = _NUMBER.unpack_from(self.content, begin)
            if length < _NUMBER.size * (count + 1):
                raise _Wrong("its list of free pages is longer than its place")
            yield from struct.unpack_from(f"={count}Q", self.content, begin + _NUMBER.size)


def _one_after_the_other(even: int, odd: int) -> bool:
    """Whether two meta pages are of the last two commits: LMDB writes to them in turn, from 0 on."""
    return even == odd == 0 or (abs(even - odd) == 1 and even % 2 == 0)
