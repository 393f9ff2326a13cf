"""The event loop: one turn after another over one context, with organs, records and undo.

It knows organs only by their contract, the disk only as a keeper of records, and no screen.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from anima.context import Context, Segment
from anima.errors import StateError, UsageError
from anima.events import Event, Perceived, Persisted, Reason, Recomputed, Replied, Token
from anima.organ import Contribution, Delta, Organ, OrganState, Reading, Turn
from anima.runtime.draft import Draft, merged
from anima.runtime.feed import Feed
from anima.runtime.record import History, Record, segments_json, turn_record
from anima.sampling import SamplingOrgan
from anima.trunk.interface import Trunk, TrunkInfo
from anima.trunk.sampler import Pick, pick
from anima.trunk.settings import Sampling
from anima.trunk.tokens import TextStream, Tokenizer


class Keeper(Protocol):
    """Where a runtime's life is kept: a persona on disk, or a replay's list."""

    @property
    def name(self) -> str: ...

    def commit(self, *, states: Mapping[str, OrganState], records: Sequence[Record]) -> int: ...

    def close(self) -> None: ...


class Runtime:
    """One persona awake: give it turns, read its events. A context manager.

    Made by `anima.open`. Not for use from several threads, but for `stop`, which is.
    """

    def __init__(
        self,
        *,
        trunk: Trunk,
        tokenizer: Tokenizer,
        context: Context,
        keeper: Keeper,
        sampling: SamplingOrgan,
        organs: Sequence[Organ] = (),
        end_ids: frozenset[int],
        window: int,
        max_tokens: int,
        session: str,
        history: History,
        records: Sequence[Record],
        begin: Callable[[], tuple[str, Sequence[Record]]],
        clock: Callable[[], datetime],
        timer: Callable[[], float] = time.perf_counter,
        notices: Sequence[str] = (),
    ) -> None:
        self._trunk = trunk
        self._tokenizer = tokenizer
        self._context = context
        self._keeper = keeper
        self._sampling = sampling
        self._organs: dict[str, Organ] = {organ.name: organ for organ in (sampling, *organs)}
        self._off: set[str] = set()
        self._end_ids = end_ids
        self._window = window
        self._max_tokens = max_tokens
        self._base_seed = history.base_seed
        self._draws = history.draws
        self._turns: list[Record] = list(history.turns)
        self._unsaved: list[Record] = list(records)
        self._begin = begin
        self._clock = clock
        self._timer = timer
        self._feed = Feed(trunk)
        self._rebuild: Reason | None = "resumed" if context.exchanges else None
        self._stop = threading.Event()
        self._busy = False
        self._closed = False
        self.session = session
        self.notices = tuple(notices)

    @property
    def persona(self) -> str:
        return self._keeper.name

    @property
    def info(self) -> TrunkInfo:
        return self._trunk.info

    @property
    def trunk(self) -> Trunk:
        """The model itself, for taps and forwards of one's own."""
        return self._trunk

    @property
    def turns(self) -> int:
        """How many turns of this session stand, those taken back not counted."""
        return len(self._turns)

    @property
    def system(self) -> str | None:
        """The text that `/system` set, or None."""
        texts = [segment.text for segment in self._context.prefix if segment.role == "system"]
        return texts[0] if texts else None

    def turn(self, text: str) -> Iterator[Event]:
        """Say something; iterate to let the model answer, token by token.

        The turn is committed when the iterator is exhausted, after `stop`, and when it is closed
        early (then as a stopped partial). Raises UsageError for an empty text, ContextError for
        one that does not fit, StorageError when the turn could not be saved (it then is with the
        next one that can); after an error of the model everything is as before the turn.
        """
        self._check_awake()
        if not text.strip():
            raise UsageError("There is nothing to answer: the message is empty.")
        return self.run(text, self._base_seed + self._draws, self._max_tokens)

    def say(self, text: str) -> str:
        """The whole answer to a text, as one turn."""
        reply = ""
        for event in self.turn(text):
            if isinstance(event, Replied):
                reply = event.text
        return reply

    def regenerate(self) -> Iterator[Event]:
        """Take the last turn back and answer its text again with a new seed."""
        self._check_awake()
        if not self._turns:
            raise StateError("There is no turn to answer again in this session.")
        return self.turn(self.undo())

    def undo(self) -> str:
        """Take back the last turn with all that it taught; returns its text."""
        self._check_awake()
        if not self._turns:
            raise StateError("There is no turn to take back in this session.")
        last = self._turns.pop()
        for name, values in last["deltas"].items():
            self._organs[name].undo(Delta(values=values))
        if self._context.exchanges:
            self._context = self._context.without_last()
        self._save({"record": "undo", "turn": len(self._turns) + 1, "at": self._now()})
        return str(last["text"])

    def set(self, name: str, value: float | None) -> float | None:
        """Choose a sampling setting, `max_tokens` or `seed`; None is the default. Returns it."""
        self._check_awake()
        record: dict[str, Any] = {"record": "set", "name": name, "value": value, "at": self._now()}
        if name == "seed":
            whole = _whole(name, value if value is not None else self._base_seed + self._draws, 0)
            self._base_seed = whole - self._draws
            record["base_seed"] = self._base_seed
        elif name == "max_tokens":
            self._max_tokens = _whole(name, 512 if value is None else value, 1)
        else:
            self._sampling.set(name, value)
        self._save(record)
        return self.settings()[name]

    def settings(self) -> dict[str, float | None]:
        """The sampling settings in force, with `max_tokens` and the next reply's `seed`."""
        own: dict[str, float | None] = {"max_tokens": self._max_tokens}
        return asdict(self._sampling.settings) | own | {"seed": self._base_seed + self._draws}

    def set_system(self, text: str | None) -> None:
        """Put a text after the self-description, or take it out; the context is prefilled anew."""
        self._check_awake()
        kept = [segment for segment in self._context.prefix if segment.role != "system"]
        if text is not None and text.strip():
            kept.append(Segment(role="system", text=text.strip()))
        context = self._context
        head = Context.begin(context.encoder, context.format, kept)
        if len(head) + min(64, self._window // 4) > self._window:
            raise UsageError(
                f"This system text takes {len(head)} of the window's {self._window} tokens and "
                "leaves no room to talk: shorten it."
            )
        self._context = replace(head, exchanges=context.exchanges)
        if self._turns:
            self._rebuild = "system changed"
        self._save(
            {"record": "system", "prefix": segments_json(self._context.prefix), "at": self._now()}
        )

    def clear(self) -> str:
        """Leave this session, which stays recorded, and start a new one; returns its id."""
        self._check_awake()
        self.session, records = self._begin()
        self._context = self._context.without_oldest(len(self._context.exchanges))
        self._turns, self._unsaved, self._rebuild = [], [*records], None
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
        part = self._contribution(Turn(number=self.turns + 1, text=text, seed=self._base_seed))
        bare = self._context.without_oldest(len(self._context.exchanges))
        asked = bare.ask((*part.segments, Segment(role="user", text=text))).rolled(self._window, 0)
        ids = asked.tokens().ids
        bias = part.attention_bias(ids) if part.attention_bias else None
        step = self._trunk.forward(
            torch.tensor([ids]), self._trunk.cache(), taps=part.taps, bias=bias
        )
        row = step.logits[0, -1]
        return row if part.logit_bias is None else row + part.logit_bias.to(row.device)

    def status(self) -> dict[str, Any]:
        """The persona, the model and everything in force, as JSON."""
        info = asdict(self.info)
        return {
            "persona": self.persona,
            "session": self.session,
            "turns": self.turns,
            "context_used": len(self._context),
            "context_window": self._window,
            "system": self.system,
            "settings": self.settings(),
            "organs": {name: name not in self._off for name in self._organs},
            "threads": torch.get_num_threads(),
            **info,
        }

    def stop(self) -> None:
        """End the running turn at the next token; safe from any thread, and when none runs."""
        self._stop.set()

    def close(self) -> None:
        """Save what could not be saved before, and let the persona and the model go."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._turns and self._unsaved:
                self._save()
        finally:
            self._keeper.close()
            self._trunk.close()

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
    ) -> Iterator[Event]:
        """One turn with everything given; `stopped` is asked between two steps whether to end.

        `turn` is this with the runtime's own seed and button; a replay brings those recorded.
        """
        self._check_awake()
        self._busy = True
        self._stop.clear()
        draft: Draft | None = None
        try:
            turn = Turn(number=self.turns + 1, text=text, seed=seed)
            draft = self._draft(turn, max_tokens, stopped or (lambda draft: self._stop.is_set()))
            yield from self._answer(draft)
            yield self._replied(draft)
        except (GeneratorExit, KeyboardInterrupt):
            # The consumer left: what was said so far stands, marked as a partial.
            if draft is not None:
                draft.finish = draft.finish or "stopped"
                self._keep(draft)
            raise
        except BaseException:
            self._discard(draft)
            raise
        finally:
            self._busy = False
        generation = self._keep(draft)
        yield from draft.learned
        yield Persisted(generation=generation)

    def _draft(self, turn: Turn, max_tokens: int, stopped: Callable[[Draft], bool]) -> Draft:
        part = self._contribution(turn)
        segments = (*part.segments, Segment(role="user", text=turn.text))
        asked = self._context.ask(segments)
        rolled = asked.rolled(self._window, min(max_tokens, self._window // 4))
        return Draft(
            turn=turn,
            started=self._now(),
            contribution=part,
            sampling=self._settings(part),
            context=rolled,
            dropped=len(asked.exchanges) - len(rolled.exchanges),
            max_tokens=max_tokens,
            limit=min(max_tokens, self._window - len(rolled)),
            stream=TextStream(self._tokenizer),
            stopped=stopped,
        )

    def _answer(self, draft: Draft) -> Iterator[Event]:
        """Prefill what is new, then decode; fills the draft in and yields as it goes."""
        draft.calls = self._feed.begin()
        wanted = draft.context.tokens()
        kept = self._feed.kept(wanted.ids)
        reason: Reason | None = "rolled over" if draft.dropped else self._rebuild
        if reason is not None:
            yield Recomputed(reason=reason, tokens=len(wanted) - kept, dropped_turns=draft.dropped)
        part = draft.contribution
        logits = self._feed.bring(
            wanted.ids,
            taps=lambda: part.taps,
            bias=part.attention_bias,
            stopped=lambda: draft.stopped(draft),
        )
        self._rebuild = None
        draft.asked = wanted
        draft.new_tokens = len(wanted) - kept
        yield Perceived(
            turn=draft.turn.number,
            seed=draft.turn.seed,
            prompt_tokens=len(wanted),
            new_tokens=draft.new_tokens,
        )
        if logits is None or draft.stopped(draft):
            draft.finish = "stopped"
            return
        yield from self._speak(draft, logits)

    def _speak(self, draft: Draft, logits: Tensor) -> Iterator[Event]:
        part = draft.contribution
        picks = self._feed.decode(
            logits,
            choose=self._chooser(draft),
            end_ids=self._end_ids,
            limit=draft.limit,
            taps=lambda: part.taps,
            bias=part.attention_bias,
        )
        with closing(picks):
            for chosen in picks:
                if chosen.id in self._end_ids:
                    draft.finish = "end"
                    break
                draft.add(chosen, self._timer())
                for organ in self._active():
                    organ.observe(
                        Reading(id=chosen.id, surprisal=chosen.surprisal, entropy=chosen.entropy)
                    )
                yield Token(
                    id=chosen.id,
                    text=draft.pieces[-1],
                    surprisal=chosen.surprisal,
                    entropy=chosen.entropy,
                )
                if draft.stopped(draft):
                    draft.finish = "stopped"
                    break
        draft.finish = draft.finish or draft.limit_reached

    def _replied(self, draft: Draft) -> Replied:
        draft.finish_text()
        return Replied(
            turn=draft.turn.number,
            text=draft.text,
            finish=draft.finish or "end",
            tokens=len(draft.ids),
            per_second=draft.per_second,
            context_used=len(draft.context) + len(draft.ids),
            context_window=self._window,
        )

    def _keep(self, draft: Draft) -> int:
        """Make the draft a turn: organs finish, the context grows, the record is committed."""
        draft.finish_text()
        deltas = {}
        for organ in self._active():
            events, delta = organ.finish()
            draft.learned += events
            if delta:
                deltas[organ.name] = dict(delta.values)
        self._context = draft.context.reply(draft.ids)
        self._draws += 1
        names = [organ.name for organ in self._active()]
        record = turn_record(draft, names, deltas, self._now())
        self._turns.append(record)
        return self._save(record)

    def _discard(self, draft: Draft | None) -> None:
        """After an error: organs take back what they began, and the cache is not trusted."""
        self._feed.drop()
        self._rebuild = "resumed" if self._context.exchanges else None
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

    def _contribution(self, turn: Turn) -> Contribution:
        return merged([organ.contribute(turn) for organ in self._active()])

    def _active(self) -> list[Organ]:
        return [organ for name, organ in self._organs.items() if name not in self._off]

    def _settings(self, part: Contribution) -> Sampling:
        return self._sampling.defaults.changed(part.sampling)

    def _chooser(self, draft: Draft) -> Callable[[Tensor, Sequence[int]], Pick]:
        generator = torch.Generator().manual_seed(draft.turn.seed)
        penal = draft.sampling.repetition_penalty != 1
        asked = draft.context.tokens()
        # Template tokens are spared: penalised, the end of a turn would never come.
        said = [i for i, role in zip(asked.ids, asked.roles, strict=True) if role != "template"]

        def choose(logits: Tensor, picked: Sequence[int]) -> Pick:
            seen = torch.tensor(sorted({*said, *picked})) if penal else None
            bias = draft.contribution.logit_bias
            return pick(logits, draft.sampling, generator, seen, bias)

        return choose

    def _check_awake(self) -> None:
        if self._closed:
            raise StateError("This runtime is closed: open the persona again.")
        if self._busy:
            raise StateError(
                "A turn is running: let it end, close its iterator, or stop() it first."
            )

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds")


def _whole(name: str, value: float, least: int) -> int:
    if value != int(value) or value < least:
        raise UsageError(f"{name} {value:g} cannot be: it is a whole number from {least} up.")
    return int(value)
