"""A text in a person's own editor; knows which program that is, and not what the text is for."""

import contextlib
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from anima.errors import UsageError

_REMEDY = "Set VISUAL or EDITOR to an editor, such as: export EDITOR=nano"
_USUAL = ("nano", "vim", "vi", "emacs")


def command(environ: Mapping[str, str]) -> list[str]:
    """The editor as words of a command; raises UsageError where there is none."""
    for name in ("VISUAL", "EDITOR"):
        if environ.get(name, "").strip():
            try:
                return shlex.split(environ[name])
            except ValueError as error:
                raise UsageError(f"${name} is {environ[name]!r}: {error}. {_REMEDY}") from error
    for name in _USUAL:
        if shutil.which(name):
            return [name]
    raise UsageError(f"There is no editor: neither VISUAL nor EDITOR is set. {_REMEDY}")


def edited(text: str, environ: Mapping[str, str]) -> str:
    """The text as it was saved in the editor, without its last line end; waits until that closes.

    Raises UsageError. The text lies meanwhile in a file that only its owner can read.
    """
    words = command(environ)
    with _file(text) as path:
        try:
            code = subprocess.call([*words, str(path)])
        except OSError as error:
            cause = error.strerror or error
            raise UsageError(
                f"The editor {words[0]!r} cannot be started: {cause}. Nothing was changed. {_REMEDY}"
            ) from error
        if code != 0:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise UsageError(f"The editor {words[0]!r} ended with {how}: nothing was changed.")
        return _read(path, words[0])


@contextlib.contextmanager
def _file(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="anima-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "message.md"
        try:
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}. Set TMPDIR to a folder with room."
            ) from error
        yield path


def _read(path: Path, editor: str) -> str:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"What {editor!r} saved cannot be read: {error}. Nothing was changed."
        ) from error
