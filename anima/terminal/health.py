"""What `anima doctor` looks at: packages, device, model, personas, memories, files, settings.

With --check it runs the model too. It changes and locks nothing, and goes on where something is broken: that is what it is for.
"""

import locale
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from anima import config
from anima.config import Settings
from anima.errors import AnimaError, ConfigError, ModelError
from anima.home import Home
from anima.version import __version__

if TYPE_CHECKING:
    from anima.memory import Verdict
    from anima.trunk.conformance import Case

_SHOWN_FIRST = ("torch", "transformers", "tokenizers", "sae-lens", "rich", "prompt-toolkit")
_DISTRIBUTION = "anima-runtime"
_LITTLE = 500_000_000  # bytes; less than that is gone after some evenings of sleep and dreams


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. Where it is not `ok`, `text` says what to do about it."""

    subject: str
    ok: bool
    text: str


def examine(
    home: Home, environ: Mapping[str, str], flags: Mapping[str, object], *, check: bool = False
) -> Iterator[Finding]:
    """Every finding, in the order in which a person would look; raises UsageError for a flag.

    `check` runs the model as well, a minute or so: whether it does here what it must do anywhere.
    """
    yield _good(
        "anima", f"{__version__} on Python {platform.python_version()}, {platform.platform()}"
    )
    yield from _packages()
    wrong = config.faults(home, environ)
    settings = config.load(home, environ, flags).settings if not wrong else _without(flags)
    yield from (_bad("settings", str(error)) for error in wrong)
    if not wrong:
        yield _good("settings", f"{home.config}{'' if home.config.exists() else ' (none yet)'}")
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("device", partial(_device, settings)),
        ("model", partial(_model, home, settings)),
        ("personas", partial(_personas, home)),
        ("memory", partial(_memories, home)),
        ("dreams", partial(_dreams, home)),
        ("files", partial(_files, home)),
        ("space", partial(_space, home)),
        ("terminal", partial(_terminal, environ)),
        ("editor", partial(_editor, environ)),
        *([("check", partial(_conformance, home, settings))] if check else []),
    )
    for subject, look in checks:
        try:
            yield from look()
        except AnimaError as error:
            yield _bad(subject, str(error))
        except OSError as error:
            yield _bad(subject, f"{error.filename or subject}: {error.strerror or error}.")
        except ImportError as error:
            yield _bad(subject, f"not looked at, as a package cannot be loaded ({error}).")


def _without(flags: Mapping[str, object]) -> Settings:
    """The settings where files and variables cannot be used."""
    given = {name: value for name, value in flags.items() if value is not None}
    return Settings(**{name: config.checked(name, value, f"--{name}", ConfigError)
                       for name, value in given.items()})  # fmt: skip


def _packages() -> Iterator[Finding]:
    """Whether each package that Anima needs is here, in a version that it knows."""
    from packaging.requirements import Requirement

    try:
        stated = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield _bad(
            "packages", "Anima itself is not installed here: pip install -e . in its folder."
        )
        return
    needed = [Requirement(each) for each in stated]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    found: dict[str, str] = {}
    for each in needed:
        try:
            version = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            yield _bad("packages", f"{each.name} is missing: pip install '{each}'")
            continue
        found[each.name] = version
        if not each.specifier.contains(version, prereleases=True):
            yield _bad(
                "packages", f"{each.name} {version} is here, not {each.specifier}: "
                f"pip install '{each}'",
            )  # fmt: skip
    names = [*(name for name in _SHOWN_FIRST if name in found)]
    names += sorted(set(found) - set(names))
    yield _good("packages", ", ".join(f"{name} {found[name]}" for name in names))


def _device(settings: Settings) -> Iterator[Finding]:
    try:
        import torch

        from anima.trunk.loader import choose_device
    except (ImportError, OSError) as error:  # a library of the system may be missing
        yield _bad(
            "device", f"torch is here but cannot be loaded ({error}): install it anew, with "
            "pip install --force-reinstall torch",
        )  # fmt: skip
        return
    device = choose_device(settings.device)
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    threads = settings.threads or torch.get_num_threads()
    fast = device != "cpu" or settings.dtype in ("auto", "float32")
    own = "fast (reference for what is no Llama)" if fast else "reference"
    engine = own if settings.engine == "auto" else settings.engine
    cores = os.cpu_count() or 1
    yield _good("device", f"{device} ({name}), engine {engine}, {threads} of {cores} CPU threads")
    if threads > cores:
        yield _bad(
            "threads", f"{threads} threads on {cores} cores slow the model down: "
            f"anima config set threads {cores}",
        )  # fmt: skip


def _model(home: Home, settings: Settings) -> Iterator[Finding]:
    from anima.trunk import catalog, store

    found = catalog.resolve(settings.model)
    if isinstance(found, catalog.LocalModel):
        weights = any(found.path.glob("*.safetensors"))
        if not weights:
            yield _bad(
                "model", f"{found.path} holds no *.safetensors weights: give another --model."
            )
            return
        yield _good("model", f"{settings.model}, your own folder")
        yield from _execution(settings, found.path)
        return
    rows = {row.name: row for row in store.models_list(home)}
    row = rows.get(settings.model)
    if row is not None and row.state == "absent":
        yield _good("model", f"{row.name} is not fetched yet; the first start does it "
                    f"({(row.size or 0) / 1e6:.0f} MB), or: anima models pull {row.name}")  # fmt: skip
        return
    if row is None or row.state == "remote":
        yield from _hub_model(home, settings)
        return
    folder = store.path(home, settings.model)
    manifest = store.verify(folder)
    yield _good("model", f"{row.name}, {len(manifest.files)} files whole, {folder}")
    yield from _execution(settings, folder)


def _hub_model(home: Home, settings: Settings) -> Iterator[Finding]:
    from anima.trunk import store

    try:
        folder = store.path(home, settings.model)
    except ModelError as error:  # to be fetched is no fault
        yield _good("model", str(error))
        return
    yield _good("model", f"{settings.model} in the hub's cache, {folder}")
    yield from _execution(settings, folder)


def _execution(settings: Settings, folder: Path) -> Iterator[Finding]:
    """In which execution the model would run, and why."""
    from anima.trunk.foreseen import foreseen
    from anima.trunk.loader import choose_device

    text = foreseen(
        folder, device=choose_device(settings.device), dtype=settings.dtype,
        engine=settings.engine, quantize=settings.quantize,
    )  # fmt: skip
    yield _good("execution", f"{settings.model}: {text}")


def _conformance(home: Home, settings: Settings) -> Iterator[Finding]:
    """The checks of a random model on this device, then those of the model in use if it is here."""
    from anima.trunk import conformance_cases, store
    from anima.trunk.loader import choose_device

    device = choose_device(settings.device)
    yield from _checked(conformance_cases.random_cases(device))
    try:
        store.path(home, settings.model)
    except ModelError as error:
        yield _good("check", f"only a random model was checked: {error}")
        return
    own = conformance_cases.own_cases(
        home, settings.model, device=device, dtype=settings.dtype, engine=settings.engine,
        quantize=settings.quantize,
    )  # fmt: skip
    yield from _checked(own)


def _checked(cases: Iterable[tuple[str, "Case"]]) -> Iterator[Finding]:
    from anima.trunk.conformance import conform

    for name, case in cases:
        for each in conform(case):
            yield Finding(
                subject="check", ok=each.passed, text=f"{name}: {each.name}, {each.figure}"
            )


def _personas(home: Home) -> Iterator[Finding]:
    from anima.persona import inspection, personas

    names = personas(home)
    for name in names:
        try:
            faults = inspection.inspect(home.persona(name))
        except AnimaError as error:
            yield _bad(f"persona {name}", str(error))
            continue
        yield from (_bad(f"persona {name}", str(fault.error)) for fault in faults)
        if not faults:
            yield _good(f"persona {name}", "whole")
    if not names:
        yield _good("personas", "none yet; the first chat makes one")


def _memories(home: Home) -> Iterator[Finding]:
    """Whether a copy of each memory is whole; of an encrypted one the chain is looked at alone."""
    from anima.memory import check
    from anima.persona import lock, personas
    from anima.runtime.remembering import ledger_of

    for name in personas(home):
        subject, folder = f"memory of {name}", home.persona(name)
        if not any(folder.glob("memory.*")):
            continue
        copy = folder
        try:
            with lock.copied(folder) as copy:
                yield _verdict(subject, check(ledger_of(copy)))
        except AnimaError as error:
            # The copy is gone: what it is a copy of is to be mended.
            yield _bad(subject, str(error).replace(str(copy), str(folder)))


def _verdict(subject: str, found: "Verdict") -> Finding:
    from anima.terminal.memory_reports import records

    if found.broken is not None:
        remedy = "anima memory repair keeps what is whole of it."
        return _bad(subject, f"broken at record {found.broken}: {found.reason}. {remedy}")
    if found.pinned in ("differs", "missing"):
        return _bad(subject, "not as its seal says: anima memory verify says how.")
    return _good(subject, f"whole, {records(found.count)}")


def _dreams(home: Home) -> Iterator[Finding]:
    from anima.persona import personas

    known = set(personas(home))
    if home.dreams.is_dir():
        for path in sorted(home.dreams.iterdir()):
            if path.is_dir() and not path.name.startswith(".") and path.name not in known:
                yield _bad(
                    "dreams", f"{path} belongs to no persona: move it away."
                )  # fmt: skip


def _files(home: Home) -> Iterator[Finding]:
    remedies = {
        home.root: "Give yourself the right to write there, or choose another place with --home.",
        home.models: "Give yourself the right to write there, or set ANIMA_CACHE.",
        home.config.parent: "Give yourself the right to write there, or set ANIMA_CONFIG.",
    }
    for path, remedy in remedies.items():
        there = _nearest(path)
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            yield _good("files", f"{path} can be written")
        else:
            yield _bad("files", f"{path} cannot be written. {remedy}")


def _space(home: Home) -> Iterator[Finding]:
    for path in dict.fromkeys((_nearest(home.root), _nearest(home.cache))):
        free = shutil.disk_usage(path).free
        if free < _LITTLE:
            yield _bad("space", f"{free / 1e6:.0f} MB free at {path}: make some room there.")
        else:
            yield _good("space", f"{free / 1e9:.1f} GB free at {path}")


def _terminal(environ: Mapping[str, str]) -> Iterator[Finding]:
    encodings = [getattr(stream, "encoding", None) for stream in (sys.stdout, sys.stderr)]
    encoding = next((each for each in encodings if each), locale.getpreferredencoding(False))
    plain = encoding.lower().replace("-", "").replace("_", "")
    if plain != "utf8":
        yield _bad(
            "terminal", f"it is written to in {encoding}, which lacks most characters: "
            "export LANG=C.UTF-8, or PYTHONUTF8=1",
        )  # fmt: skip
    if not sys.stdout.isatty():
        yield _good("terminal", f"none: the output goes to a file or a pipe, in {encoding}")
        return
    size = shutil.get_terminal_size()
    kind = environ.get("TERM", "unknown")
    colors = "no colours" if environ.get("NO_COLOR") or kind == "dumb" else "colours"
    yield _good("terminal", f"{kind}, {size.columns}×{size.lines}, {encoding}, {colors}")


def _editor(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the editor that was asked for is there; one that was not is chosen by the chat."""
    for variable in ("VISUAL", "EDITOR"):
        if wanted := environ.get(variable):
            program = (shlex.split(wanted) or [wanted])[0]
            if shutil.which(program) is None:
                yield _bad("editor", f"${variable} asks for {program}, which is not here: install "
                           "it, or set another.")  # fmt: skip
            return


def _nearest(path: Path) -> Path:
    """The path, or the first folder above it that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def _good(subject: str, text: str) -> Finding:
    return Finding(subject=subject, ok=True, text=text)


def _bad(subject: str, text: str) -> Finding:
    return Finding(subject=subject, ok=False, text=text)
