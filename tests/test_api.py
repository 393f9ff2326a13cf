import importlib

import pytest

import anima


def test_every_exported_name_is_there_and_the_list_is_sorted_and_exact():
    assert anima.__all__ == sorted(anima.__all__)
    errors = importlib.import_module("anima.errors")
    events = importlib.import_module("anima.events")
    for name in anima.__all__:
        assert getattr(anima, name) is not None
    public = {
        name
        for room, root in ((errors, errors.AnimaError), (events, events.Event))
        for name, value in vars(room).items()
        if isinstance(value, type) and issubclass(value, root)
    }
    assert public | {"open", "Runtime", "__version__"} == set(anima.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'close'"):
        _ = anima.close
