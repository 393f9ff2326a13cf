"""Questions that are asked before anything is lost; knows not what hangs on the answer.

At start this module imports click and the errors, nothing else.
"""

import sys
from pathlib import Path

import click

from anima.errors import UsageError


def agreed(question: str, *, yes: bool) -> bool:
    """Whether a person agrees; where nobody can answer, a script has to say --yes."""
    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"{question} There is nobody to ask: add --yes.")
    return click.confirm(question, err=True)


def may_write(target: Path, *, yes: bool) -> bool:
    """Whether a file may be written, after a question where another one would be lost.

    Raises UsageError for what cannot be a new file.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a folder: give the name of a file in it.")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to write {target.name} into.")
    return not target.exists() or agreed(f"{target} is there already. Replace it?", yes=yes)
