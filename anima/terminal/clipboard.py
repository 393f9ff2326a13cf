"""A text to the clipboard, by a program of this machine and by the terminal; shows nothing."""

import base64
import shutil
import subprocess
from collections.abc import Mapping

_PATIENCE = 2.0  # seconds; a clipboard program whose display hangs must not hang the chat

LONGEST = 74_994
"""Bytes that the strictest common terminals take in one OSC 52 sequence."""

_PROGRAMS = (
    ("pbcopy", (), None),
    ("wl-copy", (), "WAYLAND_DISPLAY"),
    ("xclip", ("-selection", "clipboard"), "DISPLAY"),
    ("xsel", ("--clipboard", "--input"), "DISPLAY"),
)
"""Name, arguments, and the variable without which the program has no screen to copy to."""


def by_program(text: str, environ: Mapping[str, str]) -> str | None:
    """Hand the text to the first clipboard program that takes it; its name, None where none does."""
    for name, arguments, variable in _PROGRAMS:
        if (variable is None or environ.get(variable)) and shutil.which(name):
            try:
                subprocess.run(
                    [name, *arguments], input=text.encode(), check=True, timeout=_PATIENCE,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            except (OSError, subprocess.SubprocessError):
                continue
            return name
    return None


def for_terminal(text: str) -> str | None:
    """The sequence (OSC 52) by which a terminal takes a text; None for one that is too long."""
    content = base64.b64encode(text.encode())
    return f"\x1b]52;c;{content.decode()}\x07" if len(content) <= LONGEST else None
