"""How a turn is spoken: prefill what is new, decode, say each token; knows no session and no disk."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from anima.context import Context, Segment, Tokens
from anima.events import Event, Perceived, Reason, Recomputed, Replied, Token
from anima.organ import Contribution, Reading, Turn
from anima.runtime.draft import Dictation, Draft, bias_at, taps_of
from anima.runtime.feed import Feed
from anima.trunk.interface import Trunk
from anima.trunk.repeating import BREAK, Repeating
from anima.trunk.sampler import Pick, pick
from anima.trunk.settings import Sampling
from anima.trunk.tokens import TextStream, Tokenizer


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A model that answers: `window` tokens of context, replies ended by any of `end_ids`."""

    trunk: Trunk
    tokenizer: Tokenizer
    end_ids: frozenset[int]
    window: int
    timer: Callable[[], float] = time.perf_counter

    def draft(
        self,
        context: Context,
        turn: Turn,
        part: Contribution,
        sampling: Sampling,
        max_tokens: int,
        *,
        started: str,
        stopped: Callable[[Draft], bool],
        dictated: Dictation | None = None,
    ) -> Draft:
        """A turn ready to be spoken after a context; raises ContextError where it does not fit."""
        asked = context.ask((*part.segments, Segment(role="user", text=turn.text)))
        rolled = asked.rolled(self.window, min(max_tokens, self.window // 4))
        return Draft(
            turn=turn,
            started=started,
            contribution=part,
            sampling=sampling,
            context=rolled,
            dropped=len(asked.exchanges) - len(rolled.exchanges),
            max_tokens=max_tokens,
            limit=min(max_tokens, self.window - len(rolled)),
            stream=TextStream(self.tokenizer),
            stopped=stopped,
            dictated=dictated,
        )

    def left(self, context: Context, text: str, max_tokens: int) -> int:
        """How many exchanges stay in the context when a turn on a text begins; see `draft`."""
        asked = context.ask([Segment(role="user", text=text)])
        rolled = asked.rolled(self.window, min(max_tokens, self.window // 4))
        return len(rolled.exchanges) - 1

    def room(self, context: Context, text: str, max_tokens: int) -> int:
        """Tokens that may come before a text so that a turn on it fits the window by itself."""
        bare = context.without_oldest(len(context.exchanges))
        segments = [Segment(role="memory", text=""), Segment(role="user", text=text)]
        return max(0, self.window - min(max_tokens, self.window // 4) - len(bare.ask(segments)))

    def speak(
        self, draft: Draft, feed: Feed, rebuilt: Reason | None, hear: Callable[[Reading], None]
    ) -> Generator[Event, None, None]:
        """Yield what happens while the draft fills in: the context read, tokens, the reply.

        `rebuilt` says why much had to be read again, where it had; `hear` gets every token.
        """
        yield from draft.contribution.events
        draft.fresh, draft.calls = feed.empty, feed.begin()
        wanted = draft.context.tokens()
        kept = feed.kept(wanted.ids)
        reason: Reason | None = "rolled over" if draft.dropped else rebuilt
        if reason is not None:
            yield Recomputed(reason=reason, tokens=len(wanted) - kept, dropped_turns=draft.dropped)
        part = draft.contribution
        logits = feed.bring(
            wanted.ids,
            taps=lambda start, end: taps_of(part, wanted.roles[start:end]),
            bias=part.attention_bias,
            stopped=lambda: draft.stopped(draft),
        )
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
        else:
            yield from self._decode(draft, feed, logits, hear)
        yield self.replied(draft)

    def _decode(
        self, draft: Draft, feed: Feed, logits: Tensor, hear: Callable[[Reading], None]
    ) -> Iterator[Event]:
        part = draft.contribution
        picks = feed.decode(
            logits,
            choose=_chooser(draft) if draft.dictated is None else self._dictated(draft),
            end_ids=self.end_ids,
            limit=draft.limit,
            taps=lambda: taps_of(part, ("assistant",)),
            bias=part.attention_bias,
        )
        with closing(picks):
            for chosen in picks:
                if chosen.id in self.end_ids:
                    draft.finish = "end"
                    break
                draft.add(chosen, self.timer())
                figures = {"surprisal": chosen.surprisal, "entropy": chosen.entropy}
                hear(Reading(id=chosen.id, **figures))
                yield Token(id=chosen.id, text=draft.pieces[-1], **figures)
                if draft.stopped(draft):
                    draft.finish = "stopped"
                    break
        draft.finish = draft.finish or draft.limit_reached

    def _dictated(self, draft: Draft) -> Callable[[Tensor, Sequence[int]], Pick]:
        """What was dictated, token by token, and then an end."""
        ids = draft.dictated(draft) if draft.dictated else ()
        end = min(self.end_ids)

        def choose(logits: Tensor, picked: Sequence[int]) -> Pick:
            id = ids[len(picked)] if len(picked) < len(ids) else end
            return Pick(id=id, surprisal=0.0, entropy=0.0)

        return choose

    def replied(self, draft: Draft) -> Replied:
        """The event that a draft is whole."""
        draft.finish_text()
        return Replied(
            turn=draft.turn.number,
            text=draft.text,
            finish=draft.finish or "end",
            tokens=len(draft.ids),
            per_second=draft.per_second,
            context_used=len(draft.context) + len(draft.ids),
            context_window=self.window,
        )


def _chooser(draft: Draft) -> Callable[[Tensor, Sequence[int]], Pick]:
    generator = torch.Generator().manual_seed(draft.turn.seed)
    penal = draft.sampling.repetition_penalty != 1
    asked = draft.context.tokens()
    # Template tokens are spared: penalised, the end of a turn would never come.
    said = [i for i, role in zip(asked.ids, asked.roles, strict=True) if role != "template"]
    guard = _guard(asked, draft.sampling)

    def choose(logits: Tensor, picked: Sequence[int]) -> Pick:
        seen = torch.tensor(sorted({*said, *picked})) if penal else None
        bias = bias_at(draft.contribution, logits, first=not picked)
        return pick(logits, draft.sampling, generator, seen, bias, lambda bent: guard(bent, picked))

    return choose


def _guard(asked: Tokens, sampling: Sampling) -> Repeating:
    """What the model said in a context, and the ids of what it is to answer."""
    said = [
        i if role == "assistant" else BREAK for i, role in zip(asked.ids, asked.roles, strict=True)
    ]
    last = len(said) - next((n for n, i in enumerate(reversed(said)) if i != BREAK), len(said))
    answers = zip(asked.ids[last:], asked.roles[last:], strict=True)
    spared = {i for i, role in answers if role in ("user", "memory")}
    return Repeating(
        said=_once(said), spared=spared,
        strength=sampling.repeat_guard, litanies=sampling.litany_guard,
    )  # fmt: skip


def _once(said: Sequence[int]) -> list[int]:
    """With one break where there are several."""
    return [i for n, i in enumerate(said) if i != BREAK or (n and said[n - 1] != BREAK)]
