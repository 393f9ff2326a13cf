"""Values of a mode's file by their names, each of the type that it must have; knows no mode."""

import reprlib
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from anima.errors import SteeringError

_REQUIRED: Final = object()


class Fields:
    """One table of a file. What is wrong raises SteeringError, which names `place` and the field."""

    def __init__(self, values: object, place: str, known: Collection[str]) -> None:
        self.place = place
        if not isinstance(values, Mapping):
            raise SteeringError(f"{place} is {_quoted(values)} where a table should be.")
        self._values: Mapping[str, Any] = values
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SteeringError(
                f"{place}: there is nothing called {unknown[0]!r} here; there are "
                f"{', '.join(known)}."
            )

    def text(self, name: str, missing: object = _REQUIRED) -> str:
        value: str = self._typed(name, (str,), "text", missing)
        return value

    def whole(self, name: str, missing: object = _REQUIRED) -> int:
        value: int = self._typed(name, (int,), "whole number", missing)
        return value

    def number(self, name: str, missing: object = _REQUIRED) -> float:
        return self._float(name, self._typed(name, (int, float), "number", missing))

    def numbers(self, name: str) -> tuple[float, ...]:
        values = self._typed(name, (list, tuple), "list of numbers", _REQUIRED)
        for value in values:
            if not _is(value, (int, float)):
                raise SteeringError(
                    f"{self.place}: {name} holds {_quoted(value)}, which is no number."
                )
        return tuple(self._float(name, value) for value in values)

    def table(self, name: str, known: Collection[str]) -> "Fields":
        """A table in this one; an empty one where there is none."""
        return Fields(self._values.get(name, {}), f"{self.place}: {name}", known)

    def tables(self, name: str, known: Collection[str]) -> "Iterator[Fields]":
        """The tables of a list, the first of which is number 1."""
        rows = self._values.get(name, ())
        if not isinstance(rows, (list, tuple)):
            raise SteeringError(
                f"{self.place}: {name} needs two brackets on each side: [[{name}]]."
            )
        for number, row in enumerate(rows, 1):
            yield Fields(row, f"{self.place}: {name} {number}", known)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def _float(self, name: str, value: Any) -> float:
        try:
            return float(value)
        except OverflowError as error:
            # The value is not quoted: it may have more digits than Python writes.
            raise SteeringError(
                f"{self.place}: {name} is too large: the most that a number can be is "
                f"{sys.float_info.max:.2g}."
            ) from error

    def _typed(self, name: str, types: tuple[type, ...], spoken: str, missing: object) -> Any:
        if name not in self._values:
            if missing is _REQUIRED:
                raise SteeringError(f"{self.place} says no {name}, and needs one.")
            return missing
        value = self._values[name]
        if not _is(value, types):
            raise SteeringError(f"{self.place}: {name} is {_quoted(value)}, which is no {spoken}.")
        return value


def _is(value: object, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def _quoted(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else reprlib.repr(value)
