"""One persona awake, as a person or a program handles it: turns, undo, settings, sessions, status.

It knows organs only by their contract, the disk only as a keeper of records, and no screen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from anima.errors import StateError, UsageError
from anima.events import Replied
from anima.memory.api import Memory
from anima.memory.organ import NAME as MEMORY
from anima.memory.organ import MemoryOrgan
from anima.organ import Organ
from anima.prism.organ import PrismOrgan
from anima.prism.shelf import Shelf
from anima.runtime.draft import Dictation, Draft
from anima.runtime.figures import Figures, figures
from anima.runtime.life import Keeper, Life, Place, Sessions, Started
from anima.runtime.memory import HeldMemory
from anima.runtime.organs import Organs
from anima.runtime.prism import Book, Prism
from anima.runtime.record import Record, segments_json
from anima.runtime.speaking import Speaker
from anima.runtime.talk import Talk, Turning
from anima.sampling import SamplingOrgan
from anima.trunk.interface import Trunk, TrunkInfo
from anima.trunk.settings import whole
from anima.trunk.tokens import Tokenizer


class Runtime:
    """One persona awake: give it turns, read its events. A context manager.

    Made by `anima.open`. Not for use from several threads, but for `stop`, which is.
    """

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
        resting: Sequence[Organ] = (),
        max_tokens: int,
        clock: Callable[[], datetime],
        notices: Sequence[str] = (),
    ) -> None:
        self._speaker = speaker
        self._sampling = sampling
        remembering = () if memory is None else (memory,)
        # What a person set goes before what a mode asks for, so sampling comes last.
        self._organs = Organs((prism, *remembering, *organs, sampling), resting)
        self._life = Life(
            keeper=keeper, sessions=sessions, started=started, states=self._organs.states
        )
        self._memory = HeldMemory(memory, keeper)
        self._talk = Talk(
            speaker=speaker, life=self._life, organs=self._organs, memory=self._memory,
            defaults=sampling.defaults, clock=clock,
        )  # fmt: skip
        self._max_tokens = self._longest = max_tokens
        self._clock = clock
        self._closed = False
        self._notices = notices
        self.prism = Prism(self, prism, shelf, book)

    @property
    def persona(self) -> str:
        return self._life.keeper.name

    @property
    def session(self) -> str:
        """The id of the session that this is in."""
        return self._life.session

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
        return self._memory.api

    def remember(self, text: str) -> Mapping[str, Any]:
        """Remember a text of the user's as what is said in turns is; returns what became of it.

        See `Remembered` for its fields. Raises StateError where the memory is off, UsageError for a
        text that cannot be kept, StorageError.
        """
        return self._memory.remember(text, self.session)

    def read_ahead(self) -> bool:
        """Do a few milliseconds of what a turn would wait for, and say whether more of it is left.

        For a thread that has nothing better to do; it changes nothing that a turn says or keeps.
        """
        return not self._closed and self._memory.read_ahead()

    @property
    def turns(self) -> int:
        """How many turns of this session stand, those taken back not counted."""
        return len(self._life.turns)

    @property
    def last(self) -> Record | None:
        """The record of the last turn that stands, or None."""
        return self._life.turns[-1] if self._life.turns else None

    def turn_record(self, turn: int) -> Record:
        """The record of a turn that stands, by its number from 1, or −1 for the last."""
        return self._life.record(turn)

    def note_mode(self) -> None:
        """What is in force changed: save it, now or with the turn that runs."""
        if self._talk.busy or self._closed:
            return
        mode = {"mode": self.prism.mode, "auto": self.prism.auto}
        self._life.save({"record": "mode", **mode, "at": self._now()})

    @property
    def system(self) -> str | None:
        """The text that `/system` set, or None."""
        return self._life.system

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
        return self.run(text, self._life.seed, self._max_tokens)

    def think(self, text: str) -> Turning:
        """A turn that plans, drafts and reflects before it answers; see `turn`.

        Each stage is told as `Thinking` while it comes and as `Thought` when it is whole. Only the
        answer enters the context; the record of the turn keeps the stages. Stopped in a stage, the
        turn ends without an answer.
        """
        self._check_awake()
        if not text.strip():
            raise UsageError("There is nothing to think about: the message is empty.")
        return self.run(text, self._life.seed, self._max_tokens, think=True)

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
        if not self._life.turns:
            raise StateError("There is no turn to answer again in this session.")
        thought = "thoughts" in self._life.turns[-1]
        return (self.think if thought else self.turn)(self.undo())

    def undo(self) -> str:
        """Take back the last turn with all that it taught; returns its text."""
        self._check_awake()
        if not self._life.turns:
            raise StateError("There is no turn to take back in this session.")
        last = self._life.turns[-1]
        deltas = dict(last["deltas"])
        # The memory first, for that alone the disk may refuse. What a copied turn taught it stands
        # with the session that it was copied from.
        remembered = {MEMORY: deltas.pop(MEMORY)} if MEMORY in deltas else {}
        with self._memory.together():
            self._organs.undo({**({} if "copied" in last else remembered), **deltas})
            self._life.drop_last(self._now())
        return str(last["text"])

    def set(self, name: str, value: float | None) -> float | None:
        """Choose a sampling setting, `max_tokens` or `seed`; None is the default. Returns it."""
        self._check_awake()
        record: dict[str, Any] = {"record": "set", "name": name, "value": value, "at": self._now()}
        if name == "seed":
            self._life.set_seed(whole(name, value if value is not None else self._life.seed, 0))
            record["base_seed"] = self._life.base_seed
        elif name == "max_tokens":
            self._max_tokens = whole(name, self._longest if value is None else value, 1)
        else:
            self._sampling.set(name, value)
        self._life.save(record)
        return self.settings()[name]

    def settings(self) -> dict[str, float | None]:
        """The sampling settings in force, with `max_tokens` and the next reply's `seed`."""
        own: dict[str, float | None] = {"max_tokens": self._max_tokens}
        return asdict(self._sampling.settings) | own | {"seed": self._life.seed}

    @property
    def changed(self) -> dict[str, float]:
        """The settings that were set and differ from the defaults, but for the seed."""
        ours = {"max_tokens": self._max_tokens} if self._max_tokens != self._longest else {}
        return self._sampling.changed | ours

    def set_system(self, text: str | None) -> None:
        """Put a text after the self-description, or take it out; the context is prefilled anew."""
        self._check_awake()
        self._life.set_system(text, self._speaker.window)
        if self._life.turns:
            self._talk.rebuild("system changed")
        prefix = segments_json(self._life.context.prefix)
        self._life.save({"record": "system", "prefix": prefix, "at": self._now()})

    def clear(self) -> str:
        """Leave this session, which stays recorded, and start a new one; returns its id."""
        return self._entered(self._life.clear)

    def fork(self) -> str:
        """Go on in a copy of this session, the original stays as it is; returns the copy's id."""
        session = self._entered(self._life.fork)
        self._life.save()
        return session

    def load(self, session: str) -> str:
        """Leave this session and go on in another, by id, its beginning or name; returns its id."""
        return self._entered(partial(self._life.load, session))

    def _entered(self, enter: Callable[[], str]) -> str:
        """Stand in another session as if nothing had been read yet."""
        self._check_awake()
        session = enter()
        self.forget()
        return session

    def switch(self, organ: str, on: bool) -> None:
        """Let an organ take part in turns or not; raises UsageError for one that is not there."""
        self._organs.switch(organ, on)

    def logits(self, text: str) -> Tensor:
        """Next-token logits `[V]` for a text as next turn after the stable prefix, no history.

        Everything now in force acts on them; nothing is changed.
        """
        self._check_awake()
        return self._talk.logits(text, self._max_tokens)

    def preview(
        self, text: str | None = None, *, seed: int | None = None, **sampling: float
    ) -> Turning:
        """The events of a turn that is not kept: nothing is learned, recorded or changed.

        Without a text it is the last turn's, asked again where it was asked. `sampling` overrides
        settings for this turn, `max_tokens` among them. Raises UsageError for what cannot be.
        """
        self._check_awake()
        if text is None:
            if self.last is None:
                raise UsageError("There is no turn to compare with yet: give a text.")
            # With the lines that were recalled there.
            self.rehearse(self.last["deltas"])
        elif not text.strip():
            raise UsageError("There is nothing to answer: the message is empty.")
        limit = whole("max_tokens", sampling.pop("max_tokens", self._max_tokens), 1)
        return self._talk.preview(text, self._life.seed if seed is None else seed, limit, sampling)

    def status(self) -> dict[str, Any]:
        """The persona, the model and everything in force, as JSON."""
        info, switches = asdict(self.info), self._organs.switches()
        return {
            "persona": self.persona,
            "session": self.session,
            "turns": self.turns,
            "context_used": len(self._life.context),
            "context_window": self._speaker.window,
            "system": self.system,
            "settings": self.settings(),
            "mode": self.mode,
            "auto": self.prism.auto,
            "share": self.prism.measured,
            "nominal": self.prism.nominal,
            "control": self.prism.control,
            "memory": self._memory.status() if switches.get(MEMORY) else None,
            "organs": switches,
            "threads": torch.get_num_threads(),
            **info,
        }

    def rehearse(self, deltas: Mapping[str, Any]) -> None:
        """Recall in the next turn, and in it alone, what a recorded turn recalled.

        `deltas` are that turn's. Nothing is looked up, and nothing new remembered.
        """
        if self._organs.switches().get(MEMORY):
            self._memory.rehearse(deltas)

    def figures(self) -> Figures:
        """What the turns of this session add up to."""
        used, window = len(self._life.context), self._speaker.window
        return figures(
            self._life.turns, draws=self._life.draws, context_used=used, context_window=window
        )

    def stop(self) -> None:
        """End the running turn at the next token; safe from any thread, and when none runs."""
        self._talk.stop()

    def forget(self) -> None:
        """Let the key/value cache go, half-written as it may be: the next turn reads all again."""
        self._talk.forget()

    @property
    def place(self) -> Place:
        """Where the session stands, to come back to with `return_to`."""
        return self._talk.place

    def return_to(self, place: Place) -> None:
        """Stand where the session stood, as if nothing had been said since; for a replay."""
        self._check_awake()
        self._talk.return_to(place)

    def run(
        self,
        text: str,
        seed: int,
        max_tokens: int,
        *,
        stopped: Callable[[Draft], bool] | None = None,
        dictated: Dictation | None = None,
        think: bool = False,
    ) -> Turning:
        """One turn with everything given; `stopped` is asked between two steps whether to end.

        `dictated` says the reply's tokens in the model's place; `think` puts the stages of `think` before the answer.
        `turn` is this with the runtime's own seed and button; a replay brings those recorded.
        """
        self._check_awake()
        yield from self._talk.turn(
            text, seed, max_tokens, stopped=stopped, dictated=dictated, think=think
        )

    def close(self) -> None:
        """Save what could not be saved before, and let the persona and the model go."""
        if self._closed:
            return
        self._closed = True
        try:
            self._life.leave()
        finally:
            self._memory.close()
            self._life.keeper.close()
            self.trunk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_awake(self) -> None:
        if self._closed:
            raise StateError("This runtime is closed: open the persona again.")
        if self._talk.busy:
            raise StateError(
                "A turn is running: let it end, close its iterator, or stop() it first."
            )

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds")
