"""What a terminal would make of styled output: its characters, their styles, its rows."""

import re

_SEQUENCE = re.compile(r"\x1b\[([\d;]*)m")
_PART = re.compile(r"\x1b\[([\d;]*)m|(.)", re.DOTALL)


def plain(output: str) -> str:
    """The output with its colours stripped."""
    return _SEQUENCE.sub("", output)


def styled(output: str) -> list[tuple[str, str]]:
    """Each character with the style in force where it stands."""
    style = ""
    found = []
    for part in _PART.finditer(output):
        if part[2] is None:
            style = "" if part[1] == "0" else part[1]
        else:
            found.append((part[2], style))
    return found


def runs(output: str) -> list[tuple[str, str]]:
    """The texts of one style each."""
    found: list[tuple[str, str]] = []
    for character, style in styled(output):
        if found and found[-1][1] == style:
            found[-1] = (found[-1][0] + character, style)
        else:
            found.append((character, style))
    return found
