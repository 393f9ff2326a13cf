from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from anima.errors import CorruptStateError, NewerVersionError, StateError
from anima.organ import OrganState
from anima.persona import encoding, migrate, states

from .samples import flip, plain, settings, weights
from .test_encoding import VALUES

ARRAYS = st.dictionaries(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1).filter(
        lambda key: key != "__metadata__"
    ),
    arrays.arrays(
        dtype=st.sampled_from(["?", "<f2", "<f4", "<f8", "<i1", "<i8", "<u1", "<u4", ">f4", ">i2"]),
        shape=arrays.array_shapes(min_dims=0, min_side=0),
    ),
    max_size=3,
)


def keep(folder: Path, organ: str, state: OrganState) -> str:
    encoded = states.encode(organ, state)
    (folder / "states").mkdir(exist_ok=True)
    for name, content in encoded.contents.items():
        (folder / "states" / name).write_bytes(content)
    return encoded.name


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(values=st.dictionaries(st.text("abc_"), VALUES), arrays=ARRAYS, schema=st.integers(0, 9))
def test_a_state_comes_back_as_it_was(
    tmp_path: Path, values: dict[str, Any], arrays: dict[str, Any], schema: int
) -> None:
    try:
        name = keep(tmp_path, "organ", OrganState(schema=schema, values=values, arrays=arrays))
    except StateError:
        # The one text that JSON tells differently: two halves of a pair that stand together.
        assert encoding.decode(encoding.encode(values)) != values
        return

    state = states.load(tmp_path, name, {})

    assert state.schema == schema
    assert state.values == values
    assert set(state.arrays) == set(arrays)
    for key, array in arrays.items():
        assert state.arrays[key].dtype == array.dtype.newbyteorder("=")
        assert state.arrays[key].shape == array.shape
        numpy.testing.assert_array_equal(state.arrays[key], array)


def test_equal_states_are_equal_files_whatever_their_order() -> None:
    one = OrganState(schema=1, values={"a": 1, "b": 2}, arrays=weights(1).arrays)
    two = OrganState(schema=1, values={"b": 2, "a": 1}, arrays=weights(1).arrays)

    assert states.encode("organ", one) == states.encode("organ", two)


def test_a_strided_view_is_kept_by_its_indices(tmp_path: Path) -> None:
    array = numpy.arange(12, dtype=numpy.float32).reshape(3, 4)[:, ::2].T

    name = keep(tmp_path, "organ", OrganState(schema=1, arrays={"view": array}))

    numpy.testing.assert_array_equal(states.load(tmp_path, name, {}).arrays["view"], array)


def test_loaded_arrays_can_be_written_to(tmp_path: Path) -> None:
    state = states.load(tmp_path, keep(tmp_path, "reservoir", weights(1)), {})

    state.arrays["association"][0, 0] = 7

    assert state.arrays["association"][0, 0] == 7


def test_no_arrays_no_second_file() -> None:
    assert set(states.encode("sampling", settings(0.2)).contents) == {
        states.encode("sampling", settings(0.2)).name
    }


@pytest.mark.parametrize(
    "state",
    [
        OrganState(schema=1, values={"pair": (1, 2)}),
        OrganState(schema=1, values={"by": {1: "one"}}),
        OrganState(schema=1, values={"value": float("nan")}),
        OrganState(schema=1, values={"path": Path("x")}),
        OrganState(schema=1, arrays={"names": numpy.array(["a"])}),
        OrganState(schema=1, arrays={"objects": numpy.array([None])}),
        OrganState(schema=1, arrays={"list": [1.0]}),  # type: ignore[dict-item]
    ],
)
def test_a_state_that_would_not_come_back_is_refused(state: OrganState) -> None:
    with pytest.raises(StateError, match="'sampling'"):
        states.encode("sampling", state)


@pytest.mark.parametrize("organ", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_name_that_is_no_file_name_is_refused(organ: str) -> None:
    with pytest.raises(StateError, match="cannot name"):
        states.encode(organ, settings(0.2))


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_flipped_bit_is_found_by_loading_and_by_verifying(tmp_path: Path, suffix: str) -> None:
    name = keep(tmp_path, "reservoir", weights(1))
    flip(next((tmp_path / "states").glob(f"*.{suffix}")))

    for look in (states.load, states.verify):
        with pytest.raises(
            CorruptStateError, match=rf"reservoir-[0-9a-f]{{16}}\.{suffix} is damaged"
        ):
            look(tmp_path, name, {})


def test_the_whole_hash_is_checked_where_it_is_known(tmp_path: Path) -> None:
    encoded = states.encode("sampling", settings(0.2))
    name = keep(tmp_path, "sampling", settings(0.2))

    states.verify(tmp_path, name, encoded.hashes())
    with pytest.raises(CorruptStateError, match="damaged"):
        states.verify(tmp_path, name, {name: name[-21:-5] + "0" * 48})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    name = keep(tmp_path, "reservoir", weights(1))
    missing = next((tmp_path / "states").glob("*.safetensors"))
    missing.unlink()

    with pytest.raises(CorruptStateError, match=f"{missing.name} is missing"):
        states.load(tmp_path, name, {})


@pytest.mark.parametrize("name", ["../HEAD.json", "sampling.json", "/etc/passwd", ""])
def test_a_name_that_is_no_content_name_reads_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptStateError, match="does not name"):
        states.load(tmp_path, name, {})


def test_an_old_state_is_brought_up_and_a_newer_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = keep(tmp_path, "sampling", settings(0.2))
    warmer = {1: lambda document: {**document, "values": {"temperature": 9.0}}}
    with monkeypatch.context() as patch:
        patch.setitem(migrate.MIGRATIONS, "state", warmer)
        assert plain(states.load(tmp_path, old, {}))["values"] == {"temperature": 9.0}
        newer = keep(tmp_path, "sampling", settings(0.2))

    with pytest.raises(NewerVersionError, match=rf"{newer} was written by a newer Anima"):
        states.load(tmp_path, newer, {})
