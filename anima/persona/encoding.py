"""JSON as bytes and back, exactly; knows nothing of what the values mean."""

import json
from typing import Any

_LINE_BREAKS = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What some readers take for the end of a line though JSON does not escape it."""


def encode(value: object, *, sort: bool = False) -> bytes:
    """One line of JSON in UTF-8, without its line end; the same value gives the same bytes if `sort`.

    Text stays readable, except that a text with half a surrogate pair, which UTF-8 cannot hold, is
    escaped. Raises ValueError or TypeError for what JSON cannot hold: NaN, infinities, foreign
    types.
    """
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=sort, separators=(",", ":")
    )
    for character, escape in _LINE_BREAKS.items():
        text = text.replace(character, escape)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, sort_keys=sort, separators=(",", ":")).encode()


def decode(content: bytes) -> dict[str, Any]:
    """The JSON object that `content` is; raises ValueError, which says what is wrong with it."""
    try:
        value = json.loads(content.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
