"""Puts a runtime together: settings, a persona's files, a loaded model, a session.

It knows every room below it, and no screen.
"""

import os
import platform
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anima import config
from anima.context import ChatFormat, Context, Segment, jinja_render
from anima.errors import CorruptStateError, UsageError
from anima.home import Home, find_home
from anima.organ import OrganState
from anima.persona.store import Persona
from anima.runtime.loop import Keeper, Runtime
from anima.runtime.record import History, Record, fold, segments_json, segments_of
from anima.sampling import SamplingOrgan
from anima.trunk.settings import NAMES as SAMPLING_NAMES
from anima.trunk.settings import Sampling
from anima.version import __version__

if TYPE_CHECKING:
    from anima.trunk.loader import Loaded
    from anima.trunk.tokens import Tokenizer

CORE = "You are a helpful AI assistant named Anima. You answer questions directly and correctly."
"""What a sleep may never touch: the first segment of every context."""


def open(
    persona: str = "default",
    model: str = "smollm2",
    home: str | Path | None = None,
    *,
    session: str | None = None,
    ephemeral: bool = False,
    say: Callable[[str], None] = lambda message: None,
    **settings: object,
) -> Runtime:
    """Wake a persona on a model; use it as a context manager, or close it.

    `session` continues one: an id, a unique beginning of an id, or "continue" for the last (a new
    one where there is none). `ephemeral` works on a copy and keeps nothing. `settings` are those
    of `anima.config.Settings`; settings files and variables are not read. `say` gets progress.
    Raises UsageError, ModelError, StateError or StorageError.
    """
    given = {
        name: config.checked(name, value, name, UsageError)
        for name, value in settings.items()
        if value is not None
    }
    chosen = config.Settings(persona=persona, model=model, **given)
    place = find_home(home, os.environ)
    clock = _local_now
    # The persona first: it is quick, and a busy one should not cost a model's loading.
    kept = Persona.open(place, chosen.persona, clock=clock, ephemeral=ephemeral)
    try:
        return _wake(kept, chosen, place, session, clock, say)
    except BaseException:
        kept.close()
        raise


def _wake(
    kept: Persona,
    settings: config.Settings,
    home: Home,
    session: str | None,
    clock: Callable[[], datetime],
    say: Callable[[str], None],
) -> Runtime:
    from anima.trunk import loader

    use_threads(settings.threads)
    loaded = loader.load(
        settings.model, home, device=settings.device, dtype=settings.dtype, say=say
    )
    kept.remember_model(settings.model, loaded.trunk.info.fingerprint)
    fresh = ChatFormat.of(jinja_render(loaded.chat_template, loaded.special_tokens, clock))
    first_seed = secrets.randbits(31) if settings.seed is None else settings.seed
    header = {
        "record": "session",
        "persona": kept.name,
        "prefix": segments_json(prefix(settings.system)),
        "base_seed": first_seed,
    }

    def begin() -> tuple[str, Sequence[Record]]:
        name = kept.begin_session(header)
        return name, [_open_record(loaded, fresh, settings, kept, clock)]

    notices = list(kept.notices)
    wanted = kept.session if session == "continue" else session
    if wanted is None:
        name, unsaved = begin()
        history = fold([header, *unsaved], name)
    else:
        records = kept.resume_session(wanted)
        name = kept.session or wanted
        past = fold(records, name)
        known = past.fingerprint == loaded.trunk.info.fingerprint
        if not known:
            notices.append(f"Session {name} was begun on another model: its text is read anew.")
        unsaved = [_open_record(loaded, past.format if known else fresh, settings, kept, clock)]
        if settings.seed is not None:
            unsaved.append(_seed_record(settings.seed - past.draws, clock))
        history = replace(fold(unsaved, name, past), reread=past.reread or not known)
    return assemble(
        loaded, history, settings,
        states=kept.states(), keeper=kept, session=name, records=unsaved, begin=begin,
        clock=clock, notices=notices,
    )  # fmt: skip


def assemble(
    loaded: "Loaded",
    history: History,
    settings: config.Settings,
    *,
    states: Mapping[str, OrganState],
    keeper: Keeper,
    session: str,
    records: Sequence[Record],
    begin: Callable[[], tuple[str, Sequence[Record]]],
    clock: Callable[[], datetime],
    notices: Sequence[str] = (),
) -> Runtime:
    """A runtime over a loaded model that stands where a history ends, its organs in `states`."""
    sampling = SamplingOrgan(_defaults(loaded.sampling, settings))
    if sampling.name in states:
        sampling.load(states[sampling.name])
    context = context_of(loaded.tokenizer, history)
    own = loaded.trunk.info.window
    return Runtime(
        trunk=loaded.trunk,
        tokenizer=loaded.tokenizer,
        context=context,
        keeper=keeper,
        sampling=sampling,
        end_ids=end_ids(loaded, context.format),
        window=min(settings.window or own, own),
        max_tokens=settings.max_tokens,
        session=session,
        history=history,
        records=records,
        begin=begin,
        clock=clock,
        notices=notices,
    )


def prefix(system: str | None) -> tuple[Segment, ...]:
    """The segments before the first turn: the core, then the text that a person set."""
    own = (Segment(role="core", text=CORE),)
    return (*own, Segment(role="system", text=system.strip())) if system and system.strip() else own


def context_of(tokenizer: "Tokenizer", history: History) -> Context:
    """The context that a history leaves: recorded ids where the model is the same, else its text."""
    if history.format is None:
        raise CorruptStateError("The session has no `open` record, so its turns cannot be read.")
    context = Context.begin(tokenizer, history.format, history.prefix)
    for turn in history.exchanges:
        ids = tokenizer.encode(turn["reply"]) if history.reread else turn["reply_ids"]
        context = context.ask(segments_of(turn["segments"])).reply(ids)
    return context


def end_ids(loaded: "Loaded", format: ChatFormat) -> frozenset[int]:
    """The ids that end a reply: the model's own, and the one by which its template ends a turn."""
    closing = loaded.tokenizer.encode_literal(format.after_reply)[:1]
    special = [end for end in closing if loaded.tokenizer.decode([end]) == ""]
    return loaded.end_ids | frozenset(special)


def _open_record(
    loaded: "Loaded",
    format: ChatFormat | None,
    settings: config.Settings,
    kept: Persona,
    clock: Callable[[], datetime],
) -> Record:
    import tokenizers
    import torch
    import transformers

    return {
        "record": "open",
        "at": _stamp(clock),
        "model": asdict(loaded.trunk.info),
        "tokenizer": loaded.tokenizer.fingerprint,
        "format": asdict(format) if format else None,
        "settings": asdict(settings),
        "snapshot": dict(kept.snapshot()),
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "versions": {
            "anima": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }


def _seed_record(base_seed: int, clock: Callable[[], datetime]) -> Record:
    return {"record": "set", "name": "seed", "base_seed": base_seed, "at": _stamp(clock)}


def _defaults(own: Mapping[str, float], settings: config.Settings) -> Sampling:
    """The model's own sampling, with what settings say instead."""
    given = {name: getattr(settings, name) for name in SAMPLING_NAMES}
    return Sampling().changed(own).changed({k: v for k, v in given.items() if v is not None})


def use_threads(threads: int) -> None:
    """Run the model on so many CPU threads; 0 leaves it to torch."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def _stamp(clock: Callable[[], datetime]) -> str:
    return clock().isoformat(timespec="milliseconds")


def _local_now() -> datetime:
    return datetime.now().astimezone()
