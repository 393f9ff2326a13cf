"""The event loop: one turn after another over one context, with organs, records and undo.

It knows organs only by their contract, the disk only as a keeper of records, and no screen.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from anima.context import Context, Segment
from anima.errors import StateError, SteeringError, UsageError
from anima.events import Event, Persisted, Reason, Replied
from anima.memory.api import Memory
from anima.memory.organ import NAME as MEMORY
from anima.memory.organ import MemoryOrgan
from anima.organ import Contribution, Delta, Hearing, Organ, OrganState, Reading, Spoken, Turn
from anima.prism.organ import PrismOrgan
from anima.prism.shelf import Shelf
from anima.runtime import thinking
from anima.runtime.draft import Draft, bias_at, merged, taps_of
from anima.runtime.feed import Feed
from anima.runtime.figures import Figures, figures
from anima.runtime.prism import Book, Prism
from anima.runtime.record import History, Record, segments_json, turn_record
from anima.runtime.speaking import Speaker
from anima.sampling import SamplingOrgan
from anima.trunk.interface import Trunk, TrunkInfo
from anima.trunk.settings import Sampling, whole
from anima.trunk.tokens import Tokenizer

Turning = Generator[Event, None, None]
"""The events of a running turn; closing it ends the turn."""


class Keeper(Protocol):
    """Where a runtime's life is kept: a persona on disk, or a replay's list."""

    @property
    def name(self) -> str: ...

    def commit(self, *, states: Mapping[str, OrganState], records: Sequence[Record]) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Started:
    """A session as a runtime enters it: `records` are those that its file does not hold yet."""

    session: str
    context: Context
    history: History
    records: Sequence[Record] = ()


class Sessions(Protocol):
    """Begins sessions and takes old ones up again."""

    def begin(
        self, prefix: Sequence[Segment], base_seed: int, past: Sequence[Record] = ()
    ) -> Started:
        """A new session, which may begin with turns copied from another."""

    def resume(self, session: str) -> Started:
        """An old one by its id, its beginning or its name; raises StateError."""


class Runtime:
    """One persona awake: give it turns, read its events. A context manager.

    Made by `anima.open`. Not for use from several threads, but for `stop`, which is.
    """

    session: str
    _context: Context
    _base_seed: int
    _draws: int
    _turns: list[Record]
    _unsaved: list[Record]
    _rebuilt: Reason | None

    def __init__(
        self,
        *,
        speaker: Speaker,
        keeper: Keeper,
        sessions: Sessions,
        started: Started,
        sampling: SamplingOrgan,
        prism: PrismOrgan,
        shelf: Shelf,
        book: Book | None = None,
        memory: MemoryOrgan | None = None,
        organs: Sequence[Organ] = (),
        max_tokens: int,
        clock: Callable[[], datetime],
        notices: Sequence[str] = (),
    ) -> None:
        self._speaker = speaker
        self._keeper = keeper
        self._sessions = sessions
        self._sampling = sampling
        # What a person set goes before what a mode asks for, so sampling comes last.
        remembering = () if memory is None else (memory,)
        every: tuple[Organ, ...] = (prism, *remembering, *organs, sampling)
        self._organs = {organ.name: organ for organ in every}
        self._memory = memory
        self._off: set[str] = set()
        self._max_tokens = self._longest = max_tokens
        self._clock = clock
        self._feed = Feed(speaker.trunk)
        self._stopped = False
        self._busy = False
        self._joining = False
        self._closed = False
        self._notices = notices
        self.prism = Prism(self, prism, shelf, book)
        self._enter(started)
        if memory is not None and memory.memory is not None:
            memory.memory.after_commit = self._note_memory

    @property
    def persona(self) -> str:
        return self._keeper.name

    @property
    def notices(self) -> tuple[str, ...]:
        """What opening the persona or a session had to mend or to say, oldest first."""
        return tuple(self._notices)

    @property
    def info(self) -> TrunkInfo:
        return self.trunk.info

    @property
    def trunk(self) -> Trunk:
        """The model itself, for taps and forwards of one's own."""
        return self._speaker.trunk

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._speaker.tokenizer

    @property
    def mode(self) -> str:
        """What the Prism has in force: `off`, a mode's name, or several joined by `+`."""
        return self.prism.mode

    @mode.setter
    def mode(self, name: str) -> None:
        self.prism.set(name)

    @property
    def features(self) -> Book | None:
        """The SAE of this model and what is known of its features, or None."""
        return self.prism.book

    @property
    def memory(self) -> Memory:
        """The persona's memory; what is put there is durable when the call returns.

        Raises StateError where it is off.
        """
        if self._memory is None or self._memory.memory is None:
            raise StateError("The memory is off: begin with the setting memory = on.")
        return self._memory.memory

    def remember(self, text: str) -> Mapping[str, Any]:
        """Remember a text of the user's as what is said in turns is; returns what became of it.

        See `Remembered` for its fields. Raises StateError where the memory is off, UsageError for a
        text that cannot be kept, StorageError.
        """
        if self._memory is None or self._memory.memory is None:
            raise StateError("The memory is off: begin with the setting memory = on.")
        return self._memory.remember(text, {"session": self.session, "said": "/remember"})

    def read_ahead(self) -> bool:
        """Do a few milliseconds of what a turn would wait for, and say whether more of it is left.

        For a thread that has nothing better to do; it changes nothing that a turn says or keeps.
        """
        return not self._closed and self._memory is not None and self._memory.read_ahead()

    @property
    def turns(self) -> int:
        """How many turns of this session stand, those taken back not counted."""
        return len(self._turns)

    @property
    def last(self) -> Record | None:
        """The record of the last turn that stands, or None."""
        return self._turns[-1] if self._turns else None

    def turn_record(self, turn: int) -> Record:
        """The record of a turn that stands, by its number from 1, or −1 for the last."""
        if not self._turns:
            raise SteeringError("There is no turn in this session yet to look at.")
        if turn == -1:
            return self._turns[-1]
        if not 1 <= turn <= len(self._turns):
            raise SteeringError(f"There is no turn {turn} in this session of {len(self._turns)}.")
        return self._turns[turn - 1]

    def note_mode(self) -> None:
        """What is in force changed: save it, now or with the turn that runs."""
        if self._busy or self._closed:
            return
        mode = {"mode": self.prism.mode, "auto": self.prism.auto}
        self._save({"record": "mode", **mode, "at": self._now()})

    @property
    def system(self) -> str | None:
        """The text that `/system` set, or None."""
        texts = [segment.text for segment in self._context.prefix if segment.role == "system"]
        return texts[0] if texts else None

    def turn(self, text: str) -> Turning:
        """Say something; iterate to let the model answer, token by token.

        The turn is committed when the iterator is exhausted, after `stop`, and when it is closed
        early (then as a stopped partial). Raises UsageError for an empty text, ContextError for
        one that does not fit, StorageError when the turn could not be saved (it then is with the
        next one that can); after an error of the model everything is as before the turn.
        """
        self._check_awake()
        if not text.strip():
            raise UsageError("There is nothing to answer: the message is empty.")
        return self.run(text, self._seed, self._max_tokens)

    def think(self, text: str) -> Turning:
        """A turn that plans, drafts and reflects before it answers; see `turn`.

        Each stage is told as `Thinking` while it comes and as `Thought` when it is whole. Only the
        answer enters the context; the record of the turn keeps the stages. Stopped in a stage, the
        turn ends without an answer.
        """
        self._check_awake()
        if not text.strip():
            raise UsageError("There is nothing to think about: the message is empty.")
        return self.run(text, self._seed, self._max_tokens, think=True)

    def say(self, text: str) -> str:
        """The whole answer to a text, as one turn."""
        reply = ""
        for event in self.turn(text):
            if isinstance(event, Replied):
                reply = event.text
        return reply

    def regenerate(self) -> Turning:
        """Take the last turn back and answer its text again with a new seed."""
        self._check_awake()
        if not self._turns:
            raise StateError("There is no turn to answer again in this session.")
        thought = "thoughts" in self._turns[-1]
        return (self.think if thought else self.turn)(self.undo())

    def undo(self) -> str:
        """Take back the last turn with all that it taught; returns its text."""
        self._check_awake()
        if not self._turns:
            raise StateError("There is no turn to take back in this session.")
        last = self._turns[-1]
        with self._together():
            self._take_back(last)
            self._turns.pop()
            if self._context.exchanges:
                self._context = self._context.without_last()
            self._save({"record": "undo", "turn": len(self._turns) + 1, "at": self._now()})
        return str(last["text"])

    def _take_back(self, record: Record) -> None:
        """Let organs undo a turn; the memory first, for that alone the disk may refuse."""
        deltas = dict(record["deltas"])
        remembered = deltas.pop(MEMORY, None)
        if remembered is not None and MEMORY in self._organs and "copied" not in record:
            # What a copied turn taught the memory stands with the session that it was copied from.
            self._organs[MEMORY].undo(Delta(values=remembered))
        for name, values in deltas.items():
            self._organs[name].undo(Delta(values=values))

    def set(self, name: str, value: float | None) -> float | None:
        """Choose a sampling setting, `max_tokens` or `seed`; None is the default. Returns it."""
        self._check_awake()
        record: dict[str, Any] = {"record": "set", "name": name, "value": value, "at": self._now()}
        if name == "seed":
            seed = whole(name, value if value is not None else self._seed, 0)
            self._base_seed = seed - self._draws
            record["base_seed"] = self._base_seed
        elif name == "max_tokens":
            self._max_tokens = whole(name, self._longest if value is None else value, 1)
        else:
            self._sampling.set(name, value)
        self._save(record)
        return self.settings()[name]

    def settings(self) -> dict[str, float | None]:
        """The sampling settings in force, with `max_tokens` and the next reply's `seed`."""
        own: dict[str, float | None] = {"max_tokens": self._max_tokens}
        return asdict(self._sampling.settings) | own | {"seed": self._seed}

    @property
    def changed(self) -> dict[str, float]:
        """The settings that were set and differ from the defaults, but for the seed."""
        ours = {"max_tokens": self._max_tokens} if self._max_tokens != self._longest else {}
        return self._sampling.changed | ours

    def set_system(self, text: str | None) -> None:
        """Put a text after the self-description, or take it out; the context is prefilled anew."""
        self._check_awake()
        kept = [segment for segment in self._context.prefix if segment.role != "system"]
        if text is not None and text.strip():
            kept.append(Segment(role="system", text=text.strip()))
        context = self._context
        head = Context.begin(context.encoder, context.format, kept)
        if len(head) + min(64, self._speaker.window // 4) > self._speaker.window:
            raise UsageError(
                f"This system text takes {len(head)} of the window's {self._speaker.window} tokens and "
                "leaves no room to talk: shorten it."
            )
        self._context = replace(head, exchanges=context.exchanges)
        if self._turns:
            self._rebuilt = "system changed"
        self._save(
            {"record": "system", "prefix": segments_json(self._context.prefix), "at": self._now()}
        )

    def clear(self) -> str:
        """Leave this session, which stays recorded, and start a new one; returns its id."""
        self._check_awake()
        self._leave()
        self._enter(self._sessions.begin(self._context.prefix, self._seed))
        return self.session

    def fork(self) -> str:
        """Go on in a copy of this session, the original stays as it is; returns the copy's id."""
        self._check_awake()
        if not self._turns:
            raise StateError("There is nothing to fork yet: this session has no turn.")
        self._leave()
        copies = [{**turn, "dropped": 0, "copied": self.session} for turn in self._turns]
        copies[-1]["dropped"] = len(self._turns) - len(self._context.exchanges)
        seed = self._seed - len(copies)
        self._enter(self._sessions.begin(self._context.prefix, seed, copies))
        self._save()
        return self.session

    def load(self, session: str) -> str:
        """Leave this session and go on in another, by id, its beginning or name; returns its id."""
        self._check_awake()
        self._leave()
        self._enter(self._sessions.resume(session))
        return self.session

    def switch(self, organ: str, on: bool) -> None:
        """Let an organ take part in turns or not; raises UsageError for one that is not there."""
        if organ not in self._organs:
            raise UsageError(f"There is no organ {organ!r}: there are {', '.join(self._organs)}.")
        (self._off.discard if on else self._off.add)(organ)

    def logits(self, text: str) -> Tensor:
        """Next-token logits `[V]` for a text as next turn after the stable prefix, no history.

        Everything now in force acts on them; nothing is changed.
        """
        self._check_awake()
        part = self._contribution(self._begun(text, self._base_seed), ())
        bare = self._context.without_oldest(len(self._context.exchanges))
        asked = bare.ask((*part.segments, Segment(role="user", text=text))).rolled(
            self._speaker.window, 0
        )
        tokens = asked.tokens()
        bias = part.attention_bias(tokens.ids) if part.attention_bias else None
        step = self.trunk.forward(
            torch.tensor([tokens.ids]), self.trunk.cache(),
            taps=taps_of(part, tokens.roles), bias=bias,
        )  # fmt: skip
        row = step.logits[0, -1]
        added = bias_at(part, row)
        return row if added is None else row + added.to(row.device)

    def preview(
        self, text: str | None = None, *, seed: int | None = None, **sampling: float
    ) -> Turning:
        """The events of a turn that is not kept: nothing is learned, recorded or changed.

        Without a text it is the last turn's, asked again where it was asked. `sampling` overrides
        settings for this turn, `max_tokens` among them. Raises UsageError for what cannot be.
        """
        self._check_awake()
        context, past = self._context, self._standing
        if text is None:
            if not self._turns:
                raise UsageError("There is no turn to compare with yet: give a text.")
            text = str(self._turns[-1]["text"])
            context = context.without_last() if context.exchanges else context
            past = past[:-1]
            # Asked again where it was asked: with the lines that were recalled there.
            self.rehearse(self._turns[-1]["deltas"])
        if not text.strip():
            raise UsageError("There is nothing to answer: the message is empty.")
        limit = whole("max_tokens", sampling.pop("max_tokens", self._max_tokens), 1)
        turn = self._begun(text, self._seed if seed is None else seed)
        part = self._contribution(turn, past)
        draft = self._speaker.draft(
            context, turn, part, self._settings(part).changed(sampling), limit,
            started=self._now(), stopped=lambda draft: self._stopped,
        )  # fmt: skip
        self._stopped = False
        return self._speaker.speak(draft, self._feed.fork(), None, lambda reading: None)

    def status(self) -> dict[str, Any]:
        """The persona, the model and everything in force, as JSON."""
        info = asdict(self.info)
        return {
            "persona": self.persona,
            "session": self.session,
            "turns": self.turns,
            "context_used": len(self._context),
            "context_window": self._speaker.window,
            "system": self.system,
            "settings": self.settings(),
            "mode": self.mode,
            "auto": self.prism.auto,
            "share": self.prism.measured,
            "nominal": self.prism.nominal,
            "control": self.prism.control,
            "memory": self._remembered(),
            "organs": {name: name not in self._off for name in self._organs},
            "threads": torch.get_num_threads(),
            **info,
        }

    def rehearse(self, deltas: Mapping[str, Any]) -> None:
        """Recall in the next turn, and in it alone, what a recorded turn recalled.

        `deltas` are that turn's. Nothing is looked up, and nothing new remembered.
        """
        if self._memory is not None and MEMORY in deltas and MEMORY not in self._off:
            self._memory.rehearse(deltas[MEMORY])

    def _remembered(self) -> dict[str, Any] | None:
        """What the memory holds, None where it is off."""
        if self._memory is None or self._memory.memory is None or MEMORY in self._off:
            return None
        memory = self._memory.memory
        return {
            "lines": len(memory),
            "records": memory.count,
            "ledger": memory.place.name,
            "encrypted": memory.encrypted,
            "late": self._memory.late,
        }

    def figures(self) -> Figures:
        """What the turns of this session add up to."""
        used, window = len(self._context), self._speaker.window
        return figures(self._turns, draws=self._draws, context_used=used, context_window=window)

    def stop(self) -> None:
        """End the running turn at the next token; safe from any thread, and when none runs."""
        self._stopped = True

    def forget(self) -> None:
        """Let the key/value cache go, half-written as it may be: the next turn reads all again."""
        self._feed.drop()
        self._rebuilt = "resumed" if self._context.exchanges else None

    def close(self) -> None:
        """Save what could not be saved before, and let the persona and the model go."""
        if self._closed:
            return
        self._closed = True
        try:
            self._leave()
        finally:
            if self._memory is not None and self._memory.memory is not None:
                self._memory.memory.close()
            self._keeper.close()
            self.trunk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self,
        text: str,
        seed: int,
        max_tokens: int,
        *,
        stopped: Callable[[Draft], bool] | None = None,
        think: bool = False,
    ) -> Turning:
        """One turn with everything given; `stopped` is asked between two steps whether to end.

        `think` puts the stages of `think` before the answer.
        `turn` is this with the runtime's own seed and button; a replay brings those recorded.
        """
        self._check_awake()
        self._busy = True
        self._stopped = False
        draft: Draft | None = None
        try:
            turn = self._begun(text, seed)
            part = self._contribution(turn, self._standing)
            if part.stale and self._turns:
                self.forget()
                self._rebuilt = "mode switched"
            draft = self._speaker.draft(
                self._context, turn, part, self._settings(part), max_tokens,
                started=self._now(), stopped=stopped or (lambda draft: self._stopped),
            )  # fmt: skip
            speak = partial(thinking.think, self._speaker) if think else self._speaker.speak
            yield from speak(draft, self._feed, self._rebuilt, self._hear)
        except (GeneratorExit, KeyboardInterrupt) as left:
            # The consumer left: what was said so far stands, marked as a partial.
            if draft is not None:
                draft.finish = draft.finish or "stopped"
                self._keep(draft)
            if isinstance(left, KeyboardInterrupt):
                self.forget()
            raise
        except BaseException:
            self._discard(draft)
            raise
        finally:
            self._busy = False
        generation = self._keep(draft)
        yield from draft.learned
        yield Persisted(generation=generation)

    def _enter(self, started: Started) -> None:
        """Stand in a session as if nothing had been read yet."""
        self.session = started.session
        self._context = started.context
        self._base_seed = started.history.base_seed
        self._draws = started.history.draws
        self._turns = list(started.history.turns)
        self._unsaved = list(started.records)
        self.forget()

    def _leave(self) -> None:
        """Save what could not be saved before; an opening alone is not worth it."""
        if any(record["record"] != "open" for record in self._unsaved):
            self._save()

    def _hear(self, reading: Reading) -> None:
        for organ in self._active():
            organ.observe(reading)

    def _keep(self, draft: Draft) -> int:
        """Make the draft a turn: organs finish, the context grows, the record is committed."""
        with self._together():
            return self._kept(draft)

    def _kept(self, draft: Draft) -> int:
        draft.finish_text()
        deltas = {}
        thoughts = thinking.said_of(draft.thoughts)
        spoken = Spoken(text=draft.text, finish=draft.finish or "end", thoughts=thoughts)
        for organ in self._active():
            if isinstance(organ, Hearing):
                organ.hear(spoken)
            events, delta = organ.finish()
            draft.learned += events
            if delta:
                deltas[organ.name] = dict(delta.values)
        self._context = draft.context.reply(draft.ids)
        self._rebuilt = None
        self._draws += 1
        names = [organ.name for organ in self._active()]
        record = turn_record(draft, names, deltas, self._now())
        self._turns.append(record)
        return self._save(record)

    def _discard(self, draft: Draft | None) -> None:
        """After an error organs take back what they began."""
        self.forget()
        if draft is None:
            return
        for organ in self._active():
            _, delta = organ.finish()
            organ.undo(delta)

    def _save(self, record: Record | None = None) -> int:
        """Commit; what cannot be written now is kept and written with the next commit that can."""
        if record is not None:
            self._unsaved.append(record)
        states = {name: organ.state() for name, organ in self._organs.items()}
        # A session without a turn is not worth a file: its records wait for the first.
        worth = self._unsaved if self._turns or self._draws else []
        generation = self._keeper.commit(states=states, records=worth)
        if worth:
            self._unsaved = []
        return generation

    def _begun(self, text: str, seed: int) -> Turn:
        return Turn(number=self.turns + 1, text=text, seed=seed, session=self.session)

    def _contribution(self, turn: Turn, standing: Sequence[Record]) -> Contribution:
        """What organs add to a turn after those that are `standing` in the context."""
        room = self._speaker.room(self._context, turn.text, self._max_tokens)
        if standing:
            left = self._speaker.left(self._context, turn.text, self._max_tokens)
            standing = standing[len(standing) - min(left, len(standing)) :]
        parts = []
        for organ in self._active():
            past = [record["deltas"].get(organ.name, {}) for record in standing]
            parts.append(organ.contribute(replace(turn, past=past, room=room)))
        return merged(parts)

    @property
    def _standing(self) -> Sequence[Record]:
        """The turns that are in the context."""
        kept = len(self._context.exchanges)
        return self._turns[-kept:] if kept else []

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """What organs write meanwhile counts with the commit that ends this, and not before."""
        remembered = None if self._memory is None else self._memory.memory
        with contextlib.nullcontext() if remembered is None else remembered.hold():
            self._joining = True
            try:
                yield
            finally:
                self._joining = False

    def _note_memory(self) -> None:
        """The memory was written to: it counts with the persona's next commit, which is now."""
        if not self._joining and self._memory is not None:
            self._keeper.commit(states={MEMORY: self._memory.state()}, records=[])

    def _active(self) -> list[Organ]:
        return [organ for name, organ in self._organs.items() if name not in self._off]

    @property
    def _seed(self) -> int:
        """The next reply's: consecutive, so that no two replies of a session share one."""
        return self._base_seed + self._draws

    def _settings(self, part: Contribution) -> Sampling:
        return self._sampling.defaults.changed(part.sampling)

    def _check_awake(self) -> None:
        if self._closed:
            raise StateError("This runtime is closed: open the persona again.")
        if self._busy:
            raise StateError(
                "A turn is running: let it end, close its iterator, or stop() it first."
            )

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds")
