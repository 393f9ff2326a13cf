"""A turn from its text to its record: organs asked, the reply spoken, what it taught kept.

It knows the session that it stands in and organs by their contract, and neither who asks nor a disk.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import torch
from torch import Tensor

from anima.context import Segment
from anima.events import Event, Persisted, Reason
from anima.organ import Contribution, Spoken, Turn
from anima.runtime import thinking
from anima.runtime.draft import Dictation, Draft, bias_at, taps_of
from anima.runtime.feed import Feed
from anima.runtime.life import Life, Place
from anima.runtime.memory import HeldMemory
from anima.runtime.organs import Organs
from anima.runtime.record import Record, turn_record
from anima.runtime.speaking import Speaker
from anima.trunk.settings import Sampling

Turning = Generator[Event, None, None]
"""The events of a running turn; closing it ends the turn."""


class Talk:
    """Turns over one life, one at a time. Not for use from several threads, but for `stop`.

    `defaults` are the sampling settings that organs change; `clock` tells when a turn was.
    """

    def __init__(
        self,
        *,
        speaker: Speaker,
        life: Life,
        organs: Organs,
        memory: HeldMemory,
        defaults: Sampling,
        clock: Callable[[], datetime],
    ) -> None:
        self._speaker = speaker
        self._life = life
        self._organs = organs
        self._memory = memory
        self._defaults = defaults
        self._clock = clock
        self._feed = Feed(speaker.trunk)
        self._stopped = False
        self._rebuilt: Reason | None = None
        self.busy = False
        self.forget()

    def stop(self) -> None:
        """End the running turn at the next token; safe from any thread, and when none runs."""
        self._stopped = True

    def forget(self) -> None:
        """Let the key/value cache go, half-written as it may be: the next turn reads all again."""
        self._feed.drop()
        self._rebuilt = "resumed" if self._life.context.exchanges else None

    @property
    def place(self) -> Place:
        """Where this stands, to `return_to`."""
        return self._life.place(self._feed.length)

    def return_to(self, place: Place) -> None:
        """Stand where it stood; organs take back what turns since then taught them."""
        for record in reversed(self._life.turns[len(place.turns) :]):
            self._organs.undo(record["deltas"])
        self._life.return_to(place)
        self._feed.crop(place.held)

    def rebuild(self, reason: Reason) -> None:
        """Say this of the next turn, which has to read much again."""
        self._rebuilt = reason

    def turn(
        self,
        text: str,
        seed: int,
        max_tokens: int,
        *,
        stopped: Callable[[Draft], bool] | None,
        dictated: Dictation | None,
        think: bool,
    ) -> Turning:
        """One turn; see `Runtime.run`."""
        self.busy = True
        self._stopped = False
        draft: Draft | None = None
        try:
            draft = self._draft(text, seed, max_tokens, stopped or self._pressed, dictated)
            speak = partial(thinking.think, self._speaker) if think else self._speaker.speak
            yield from speak(draft, self._feed, self._rebuilt, self._organs.observe)
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
            self.busy = False
        generation = self._keep(draft)
        yield from draft.learned
        yield Persisted(generation=generation)

    def preview(
        self, text: str | None, seed: int, max_tokens: int, sampling: Mapping[str, float]
    ) -> Turning:
        """A turn that is not kept, without a text the last one again; see `Runtime.preview`."""
        context, past = self._life.context, self._life.standing
        if text is None:
            text = str(self._life.turns[-1]["text"])
            context = context.without_last() if context.exchanges else context
            past = past[:-1]
        turn = self._begun(text, seed)
        part = self._contribution(turn, past, max_tokens)
        draft = self._speaker.draft(
            context, turn, part, self._settings(part).changed(sampling), max_tokens,
            started=self._now(), stopped=self._pressed,
        )  # fmt: skip
        self._stopped = False
        return self._speaker.speak(draft, self._feed.fork(), None, lambda reading: None)

    def logits(self, text: str, max_tokens: int) -> Tensor:
        """The logits `[V]` after a text as the first turn; see `Runtime.logits`."""
        part = self._contribution(self._begun(text, self._life.base_seed), (), max_tokens)
        context = self._life.context
        bare = context.without_oldest(len(context.exchanges))
        segments = (*part.segments, Segment(role="user", text=text))
        tokens = bare.ask(segments).rolled(self._speaker.window, 0).tokens()
        bias = part.attention_bias(tokens.ids) if part.attention_bias else None
        trunk = self._speaker.trunk
        step = trunk.forward(
            torch.tensor([tokens.ids]), trunk.cache(), taps=taps_of(part, tokens.roles), bias=bias
        )
        row = step.logits[0, -1]
        added = bias_at(part, row, first=True)
        return row if added is None else row + added.to(row.device)

    def _draft(
        self,
        text: str,
        seed: int,
        max_tokens: int,
        stopped: Callable[[Draft], bool],
        dictated: Dictation | None,
    ) -> Draft:
        """A turn ready to be spoken, with what organs add to it."""
        turn = self._begun(text, seed)
        part = self._contribution(turn, self._life.standing, max_tokens)
        if part.stale and self._life.turns:
            self.forget()
            self._rebuilt = "mode switched"
        return self._speaker.draft(
            self._life.context, turn, part, self._settings(part), max_tokens,
            started=self._now(), stopped=stopped, dictated=dictated,
        )  # fmt: skip

    def _keep(self, draft: Draft) -> int:
        """Make the draft a turn: organs finish, the context grows, the record is committed."""
        with self._memory.together():
            draft.finish_text()
            thoughts = thinking.said_of(draft.thoughts)
            spoken = Spoken(text=draft.text, finish=draft.finish or "end", thoughts=thoughts)
            told, deltas = self._organs.finish(spoken)
            draft.learned += told
            self._rebuilt = None
            names = [organ.name for organ in self._organs.active]
            record = turn_record(draft, names, deltas, self._now())
            return self._life.add(draft.context.reply(draft.ids), record)

    def _discard(self, draft: Draft | None) -> None:
        """After an error organs take back what they began; before a draft the model read nothing."""
        if draft is not None:
            self.forget()
            self._organs.discard()

    def _begun(self, text: str, seed: int) -> Turn:
        number = len(self._life.turns) + 1
        return Turn(number=number, text=text, seed=seed, session=self._life.session)

    def _contribution(
        self, turn: Turn, standing: Sequence[Record], max_tokens: int
    ) -> Contribution:
        """What organs add to a turn after those that are `standing` in the context."""
        context = self._life.context
        room = self._speaker.room(context, turn.text, max_tokens)
        if standing:
            left = self._speaker.left(context, turn.text, max_tokens)
            standing = standing[len(standing) - min(left, len(standing)) :]
        return self._organs.contribute(replace(turn, room=room), standing)

    def _settings(self, part: Contribution) -> Sampling:
        return self._defaults.changed(part.sampling)

    def _pressed(self, draft: Draft) -> bool:
        return self._stopped

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds")
