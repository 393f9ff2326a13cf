import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anima.persona import encoding

TEXTS = st.text(alphabet=st.characters(categories=None))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=5,
)


def joined(value: object) -> object:
    """The value as JSON can tell it: two halves of a pair that stand together are one character."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, list):
        return [joined(each) for each in value]
    if isinstance(value, dict):
        return {joined(key): joined(each) for key, each in value.items()}
    return value


@settings(max_examples=60)
@given(st.dictionaries(TEXTS, VALUES))
def test_every_json_value_comes_back_from_one_line_of_utf8(value: dict[str, object]) -> None:
    content = encoding.encode(value)

    assert len(content.decode().splitlines()) == 1
    assert encoding.decode(content) == joined(value)


def test_text_stays_readable() -> None:
    assert encoding.encode({"text": "Grüße 😀"}) == '{"text":"Grüße 😀"}'.encode()


def test_half_a_surrogate_pair_comes_back() -> None:
    assert encoding.decode(encoding.encode({"text": "a\ud83d"})) == {"text": "a\ud83d"}


def test_equal_values_give_equal_bytes_when_sorted() -> None:
    assert encoding.encode({"b": 1, "a": 2}, sort=True) == encoding.encode(
        {"a": 2, "b": 1}, sort=True
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_know_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        encoding.encode({"surprisal": value})


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"null", b'{"a": ', b'{"a": "\xff"}', b"\x00" * 40, b"[" * 100_000]
)
def test_what_is_no_json_object_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        encoding.decode(content)


def test_any_json_reader_reads_the_lines() -> None:
    value = {"text": "one\u2028two\u2029three\u0085four\nfive"}

    assert json.loads(encoding.encode(value)) == value
