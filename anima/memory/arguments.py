"""What people pass to a memory, checked before anything is done with it; knows no ledger."""

from typing import NamedTuple

from anima.errors import UsageError
from anima.memory.line import Content


class Widths(NamedTuple):
    """How many numbers the keys and the values of one memory have, None before the first."""

    key: int | None = None
    value: int | None = None

    def after(self, content: Content) -> "Widths":
        """The widths with one more line; raises UsageError for a vector of another width."""
        return Widths(
            key=_widened("key", self.key, None if content.key is None else content.key.size),
            value=_widened(
                "value", self.value, None if content.value is None else content.value.size
            ),
        )


def split_value(value: object) -> tuple[str, object]:
    """The text and the vector of a value: a text, a vector, or both as a pair."""
    if isinstance(value, str):
        return value, None
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return value[0], value[1]
    return "", value


def require_natural(name: str, number: int, *, least: int = 0) -> None:
    """Raise UsageError for what is no whole number of at least `least`."""
    if type(number) is not int or number < least:
        raise UsageError(f"{name} is {number!r}; it must be a whole number of at least {least}.")


def _widened(name: str, width: int | None, size: int | None) -> int | None:
    if size is None or width is None or size == width:
        return size if width is None else width
    raise UsageError(
        f"The {name} has {size} numbers and those of this memory have {width}: make it with the "
        "same model."
    )
