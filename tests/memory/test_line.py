"""Canonical bytes say one thing only, and what cannot be kept is refused by name."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import UsageError
from anima.memory.line import (
    MAX_TEXT,
    content_of,
    header_of,
    pack,
    parse_content,
    parse_header,
    speaker,
    unpack,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
moments = st.datetimes(timezones=st.just(UTC))
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
vectors = st.none() | st.lists(
    st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=5
)
contexts = st.dictionaries(texts, st.recursive(texts | st.booleans() | st.integers(), st.lists))


@given(st.lists(st.binary()), st.lists(st.binary()))
def test_two_lists_of_parts_never_pack_alike(first, second):
    assert (pack(*first) == pack(*second)) == (first == second)
    assert list(unpack(pack(*first), len(first))) == first


@given(texts, texts, moments, st.integers(0, 2**63), texts)
def test_a_header_reads_back_from_its_canonical_bytes(kind, role, moment, target, note):
    header = header_of(kind=kind, role=role, timestamp=moment, target=target, note=note)

    assert parse_header(header.canonical()) == header


@given(texts, contexts, vectors, numbers, numbers)
def test_a_content_reads_back_from_its_canonical_bytes(text, context, value, novelty, valence):
    content = content_of(text=text, context=context, value=value, novelty=novelty, valence=valence)
    read = parse_content(content.canonical())

    assert read.canonical() == content.canonical()
    assert (read.text, read.context) == (text, context)
    assert (read.novelty, read.valence) == (novelty, valence)
    assert read.value is None if value is None else np.array_equal(read.value, np.float32(value))


@given(st.binary(max_size=80))
def test_bytes_that_are_no_content_raise_a_value_error_or_are_one(junk):
    try:
        content = parse_content(junk)
    except ValueError:
        return
    assert isinstance(content.text, str)


def test_the_order_of_a_context_does_not_matter():
    one, two = content_of(context={"a": 1, "b": 2}), content_of(context={"b": 2, "a": 1})

    assert one.canonical() == two.canonical()


def test_the_zone_of_a_time_does_not_matter():
    east = timezone(timedelta(hours=2))
    here = header_of(kind="line", role="", timestamp=datetime(2026, 1, 1, 12, tzinfo=UTC))
    there = header_of(kind="line", role="", timestamp=datetime(2026, 1, 1, 14, tzinfo=east))

    assert here.canonical() == there.canonical()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"text": "half \ud800 a pair"}, "not valid Unicode"),
        ({"text": "x" * (MAX_TEXT + 1)}, "too long"),
        ({"key": [1.0, float("nan")]}, "nan at position 1"),
        ({"key": [1e39]}, "inf at position 0"),
        ({"key": [0.0, 0.0]}, "no direction"),
        ({"key": [[1.0]]}, "shape"),
        ({"value": []}, "shape"),
        ({"value": "three words here"}, "no vector"),
        ({"valence": float("inf")}, "valence is inf"),
        ({"context": {"a": float("nan")}}, "cannot be kept as JSON"),
        ({"context": {"a": {1, 2}}}, "cannot be kept as JSON"),
        ({"context": {1: "a"}}, "must be a text"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(given, named):
    with pytest.raises(UsageError, match=named):
        content_of(**given)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(UsageError, match="no zone"):
        header_of(kind="line", role="", timestamp=datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("Ann: I live in Rome", "user Ann"),
        ("Mary Ann O'Hara: hi", "user Mary Ann O'Hara"),
        ("Update: I live in Rome", "user"),
        ("at 5: buy milk", "user"),
        ("I live in Rome", "user"),
    ],
)
def test_a_transcript_says_who_speaks(text, who):
    assert speaker("user", text) == who
