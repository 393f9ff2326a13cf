"""Puts a runtime together: settings, a persona's files, a loaded model, a session.

It knows every room below it, and no screen.
"""

import os
import platform
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anima import config
from anima.context import ChatFormat, Context, Segment, jinja_render
from anima.errors import CorruptStateError, UsageError
from anima.home import Home, find_home
from anima.memory.api import Memory
from anima.memory.crypto import Secret
from anima.memory.into.quoting import BEGINNINGS
from anima.memory.into.ways import ways_of
from anima.memory.organ import MemoryOrgan, Rules
from anima.organ import Organ, OrganState
from anima.persona.store import Persona
from anima.prism.shelf import Shelf
from anima.runtime.furnishing import Furniture, furnish_for, prism_organ
from anima.runtime.life import Keeper, Sessions, Started
from anima.runtime.likelihood import Likelihood
from anima.runtime.loop import Runtime
from anima.runtime.record import History, Record, fold, segments_json, segments_of
from anima.runtime.speaking import Speaker
from anima.sampling import SamplingOrgan
from anima.trunk.settings import NAMES as SAMPLING_NAMES
from anima.trunk.settings import Sampling
from anima.version import __version__

if TYPE_CHECKING:
    from anima.memory.into.inlet import Inlet
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
    secret: Secret | None = None,
    say: Callable[[str], None] = lambda message: None,
    **settings: object,
) -> Runtime:
    """Wake a persona on a model; use it as a context manager, or close it.

    `session` continues one: an id, a unique beginning of an id, or "continue" for the last (a new
    one where there is none). `ephemeral` works on a copy and keeps nothing. `settings` are those
    of `anima.config.Settings`; settings files and variables are not read. `secret` opens an
    encrypted memory. `say` gets progress. Raises UsageError, ModelError, StateError (MemoryLocked
    for the wrong secret) or StorageError.
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
        return _wake(kept, chosen, place, session, clock, say, secret)
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
    secret: Secret | None,
) -> Runtime:
    from anima.trunk import loader

    use_threads(settings.threads)
    loaded = loader.load(
        settings.model, home, device=settings.device, dtype=settings.dtype,
        engine=settings.engine, quantize=settings.quantize, say=say,
    )  # fmt: skip
    return wake(kept, settings, home, loaded, session=session, clock=clock, say=say, secret=secret)


def wake(
    kept: Persona,
    settings: config.Settings,
    home: Home,
    loaded: "Loaded",
    *,
    clock: Callable[[], datetime],
    session: str | None = None,
    secret: Secret | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Runtime:
    """Wake an open persona on a model that is loaded already; `open` says what the rest means.

    The runtime closes the persona and the model with itself; where it cannot wake, neither.
    """
    kept.remember_model(settings.model, loaded.trunk.info.fingerprint)
    notices = list(kept.notices)
    memory = _memory(kept, settings, home, clock, secret, loaded, notices)
    try:
        return _begin(kept, settings, home, session, clock, say, loaded, memory, notices)
    except BaseException:
        if memory is not None:
            memory.close()
        raise


def _begin(
    kept: Persona,
    settings: config.Settings,
    home: Home,
    session: str | None,
    clock: Callable[[], datetime],
    say: Callable[[str], None],
    loaded: "Loaded",
    memory: Memory | None,
    notices: list[str],
) -> Runtime:
    """A runtime in the session that was asked for, with everything that it needs at hand."""
    sessions = _Sessions(
        kept=kept, loaded=loaded, settings=settings, clock=clock, say=notices.append
    )
    wanted = kept.session if session == "continue" else session
    if wanted is None:
        seed = secrets.randbits(31) if settings.seed is None else settings.seed
        started = sessions.begin(prefix(settings.system), seed)
    else:
        started = sessions.resume(wanted)
    furniture = furnish_for(loaded, started.context.format, settings, home, say)
    notices += furniture.notices
    runtime = assemble(
        loaded, settings, started,
        states=kept.states(), keeper=kept, sessions=sessions, clock=clock, notices=notices,
        furniture=furniture, refresh=True, memory=memory,
    )  # fmt: skip
    notices += runtime.prism.notices
    if wanted is not None:
        _apply(runtime, settings)
    if settings.mode is not None:
        runtime.mode = settings.mode
    return runtime


def _memory(
    kept: Persona,
    settings: config.Settings,
    home: Home,
    clock: Callable[[], datetime],
    secret: Secret | None,
    loaded: "Loaded",
    notices: list[str],
) -> Memory | None:
    """The persona's memory as of its last commit, None where it is off."""
    if settings.memory == "off":
        return None
    from anima.runtime.remembering import forget_undone, open_memory, settle

    memory = open_memory(
        kept.folder, settings, home, clock=clock, secret=secret, say=notices.append,
        trunk=loaded.trunk,
    )  # fmt: skip
    try:
        state = kept.states().get(MemoryOrgan.name)
        notices += settle(memory, kept.folder, state)
        forget_undone(memory, kept, state)
    except BaseException:
        memory.close()
        raise
    return memory


def _apply(runtime: Runtime, settings: config.Settings) -> None:
    """What was asked for at the opening of an old session, and differs from what it has."""
    if settings.seed is not None:
        runtime.set("seed", settings.seed)
    if settings.system is not None and settings.system.strip() != (runtime.system or ""):
        runtime.set_system(settings.system)


def assemble(
    loaded: "Loaded",
    settings: config.Settings,
    started: Started,
    *,
    states: Mapping[str, OrganState],
    keeper: Keeper,
    sessions: Sessions,
    clock: Callable[[], datetime],
    notices: Sequence[str] = (),
    furniture: Furniture | None = None,
    refresh: bool = False,
    memory: Memory | None = None,
    organs: Sequence[Organ] = (),
) -> Runtime:
    """A runtime over a loaded model that stands where a session ends, its organs in `states`.

    `refresh` takes the modes in force as they are on the shelf now; a replay has them as they were,
    and no memory: what a turn recalled is in its record. `organs` are further ones of one's own.
    """
    sampling = SamplingOrgan(_defaults(loaded.sampling, settings))
    if sampling.name in states:
        sampling.load(states[sampling.name])
    found = furniture or Furniture(shelf=Shelf())
    prism = prism_organ(found, loaded, started.context.format, settings)
    if prism.name in states:
        prism.load(states[prism.name])
        if refresh:
            prism.refresh()
    remembering = MemoryOrgan(
        memory,
        rules=_rules(settings, loaded),
        clock=clock,
        measure=lambda text: len(loaded.tokenizer.encode(text)),
        inlet=_inlet(settings, loaded, started.context.format),
        unsaid=sorted({loaded.tokenizer.encode(text)[0] for text in BEGINNINGS}),
    )
    if remembering.name in states:
        remembering.load(states[remembering.name])
    own = loaded.trunk.info.window
    speaker = Speaker(
        trunk=loaded.trunk,
        tokenizer=loaded.tokenizer,
        end_ids=end_ids(loaded, started.context.format),
        window=min(settings.window or own, own),
    )
    return Runtime(
        speaker=speaker,
        keeper=keeper,
        sessions=sessions,
        started=started,
        sampling=sampling,
        prism=prism,
        shelf=found.shelf,
        book=found.book,
        memory=remembering if settings.memory == "on" else None,
        organs=organs,
        resting=() if settings.memory == "on" else (remembering,),
        max_tokens=settings.max_tokens,
        clock=clock,
        notices=notices,
    )


def _inlet(settings: config.Settings, loaded: "Loaded", format: ChatFormat) -> "Inlet | None":
    """What lets recalled lines act beside the quoted block; None where nothing shall."""
    ways = ways_of(settings.memory_into, settings.memory_strength)
    if not ways.inner:
        return None
    from anima.memory.into.inlet import Inlet
    from anima.memory.into.states import StateReader

    head = Context.begin(loaded.tokenizer, format, prefix(None)).head
    reader = StateReader(trunk=loaded.trunk, head=head.ids, encode=loaded.tokenizer.encode)
    return Inlet(reader=reader, ways=ways)


def _rules(settings: config.Settings, loaded: "Loaded") -> Rules:
    return Rules(
        lines=settings.recall_lines,
        race=settings.race != "off",
        likelihood=Likelihood(trunk=loaded.trunk, encode=loaded.tokenizer.encode)
        if settings.race == "likelihood"
        else None,
        control=settings.control,  # type: ignore[arg-type]
        quote=ways_of(settings.memory_into).quoted,
    )


@dataclass(frozen=True, kw_only=True)
class _Sessions:
    """Begins and resumes sessions of a persona on a loaded model; `say` hears what to know."""

    kept: Persona
    loaded: "Loaded"
    settings: config.Settings
    clock: Callable[[], datetime]
    say: Callable[[str], None]

    def begin(
        self, prefix: Sequence[Segment], base_seed: int, past: Sequence[Record] = ()
    ) -> Started:
        header = {
            "record": "session",
            "persona": self.kept.name,
            "prefix": segments_json(prefix),
            "base_seed": base_seed,
        }
        name = self.kept.begin_session(header)
        loaded = self.loaded
        template = jinja_render(loaded.chat_template, loaded.special_tokens, self.clock)
        records = [*past, self._opened(ChatFormat.of(template))]
        history = fold([header, *records], name)
        context = context_of(loaded.tokenizer, history)
        return Started(session=name, context=context, history=history, records=records)

    def resume(self, session: str) -> Started:
        past = fold(self.kept.resume_session(session), session)
        name = self.kept.session or session
        loaded = self.loaded
        known = past.fingerprint == loaded.trunk.info.fingerprint and past.format is not None
        if known and past.format is not None:
            format = past.format
        else:
            self.say(f"Session {name} was begun on another model: its text is read anew.")
            template = jinja_render(loaded.chat_template, loaded.special_tokens, self.clock)
            format = ChatFormat.of(template)
        opened = self._opened(format)
        history = replace(fold([opened], name, past), reread=past.reread or not known)
        context = context_of(loaded.tokenizer, history)
        return Started(session=name, context=context, history=history, records=[opened])

    def _opened(self, format: ChatFormat) -> Record:
        return _open_record(self.loaded, format, self.settings, self.kept, self.clock)


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
    format: ChatFormat,
    settings: config.Settings,
    kept: Persona,
    clock: Callable[[], datetime],
) -> Record:
    from importlib.metadata import version

    import tokenizers
    import torch

    return {
        "record": "open",
        "at": _stamp(clock),
        "model": asdict(loaded.trunk.info),
        "tokenizer": loaded.tokenizer.fingerprint,
        "format": asdict(format),
        "settings": asdict(settings),
        "snapshot": dict(kept.snapshot()),
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "versions": {
            "anima": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": version("transformers"),
            "tokenizers": tokenizers.__version__,
        },
    }


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
