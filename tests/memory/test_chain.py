"""Any change to any part of a line breaks the chain there; a seal shows what was cut after it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import ChainBroken, CorruptStateError, StateError
from anima.memory import chain
from anima.memory.chain import ChainKeys, Seal, Walk
from anima.memory.line import content_of, header_of

KEY = bytes(range(32))
KEYS = ChainKeys(keys={chain.key_id(KEY): KEY})
HEADER = header_of(
    kind="line", role="user", timestamp=datetime(2026, 11, 22, tzinfo=UTC)
).canonical()


def walk() -> Walk:
    return Walk.begin(KEYS, chain.key_id(KEY), b"a ledger")


def test_the_first_anchor_is_what_it_was_when_this_was_written():
    digest = chain.digest(content_of(text="Grüße").canonical(), b"0123456789abcdef")

    assert digest.hex().startswith("abf9bd01c5672086")
    assert walk().next_anchor(HEADER, digest).hex().startswith("814ab5143ef8d402")
    assert chain.key_id(KEY) == "aaf9d29da2db1f4b"


@given(st.integers(0, 3), st.data())
def test_a_flip_of_any_byte_of_a_line_breaks_the_chain_at_that_line(part, data):
    digest = chain.digest(b"content", b"salt" * 4)
    parts = [HEADER, digest, walk().next_anchor(HEADER, digest), walk().head]
    at = data.draw(st.integers(0, len(parts[part]) - 1))
    flipped = bytearray(parts[part])
    flipped[at] ^= data.draw(st.integers(1, 255))
    parts[part] = bytes(flipped)
    header, digest, anchor, head = parts
    walked = Walk(keys=KEYS, key_id=chain.key_id(KEY), head=head)

    with pytest.raises(ChainBroken, match="Line 1 "):
        walked.step(seq=1, header=header, digest=digest, anchor=anchor)
    assert walked.count == 0


def test_a_line_that_claims_an_existing_anchor_is_refused():
    walked, digest = walk(), chain.digest(b"content", b"salt" * 4)
    anchor = walked.next_anchor(HEADER, digest)
    walked.step(seq=1, header=HEADER, digest=digest, anchor=anchor)

    with pytest.raises(ChainBroken, match=r"Line 2 .*does not follow"):
        walked.step(seq=2, header=HEADER, digest=digest, anchor=anchor)


def test_a_line_out_of_turn_is_refused():
    with pytest.raises(ChainBroken, match="line 3 stands in its place"):
        walk().step(seq=3, header=HEADER, digest=b"", anchor=b"")


def test_the_same_lines_have_other_anchors_in_another_ledger():
    other = Walk.begin(KEYS, chain.key_id(KEY), b"another ledger")

    assert other.next_anchor(HEADER, b"") != walk().next_anchor(HEADER, b"")


def test_a_missing_chain_key_is_named():
    with pytest.raises(StateError, match="0123 is missing"):
        KEYS["0123"]


def test_chain_keys_do_not_show_themselves():
    assert KEY.hex() not in repr(KEYS)
    assert repr(KEY) not in repr(KEYS)


# Published test vectors of FNV-1a with 64 bits.
@pytest.mark.parametrize(
    ("text", "value"),
    [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)],
)
def test_fnv1a64_gives_the_published_values(text, value):
    assert chain.fnv1a64(text) == value


def test_a_seal_reads_back_and_any_flip_of_it_is_named():
    seal = Seal(count=3, head="ab" * 32, key_id="cd" * 8, schema=1, created="2026-11-22T00:00:00")
    content = seal.encode()
    assert Seal.decode(content) == seal

    for at in range(len(content)):
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        try:
            assert Seal.decode(flipped) == seal
        except CorruptStateError:
            continue
