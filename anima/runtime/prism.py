"""The Prism as a person handles it: modes by name, pushes by hand, and a look at what they did.

It knows the runtime, its records and features by number and label, and no screen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from anima.errors import SteeringError
from anima.prism.force import ByHand
from anima.prism.listening import Heard
from anima.prism.mode import Mode, check_fits
from anima.prism.organ import PrismOrgan
from anima.prism.shelf import Shelf
from anima.runtime import heard
from anima.steering.push import OPERATIONS
from anima.steering.trace import PushRecord

if TYPE_CHECKING:
    from anima.features.sae import Sae
    from anima.features.statistics import FeatureStatistics
    from anima.runtime.record import Record
    from anima.trunk.tokens import Tokenizer

_ROWS = 256  # tokens encoded at once: a table of all features for each


class Names(Protocol):
    """What features are called."""

    def label(self, feature: int) -> str:
        """The feature's label, "" where it has none."""

    def find(self, text: str) -> Sequence[int]:
        """The features whose labels fit a text best, best first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Book:
    """An SAE with what is known of its features; `norm` is the mean ‖h‖ at its layer."""

    sae: "Sae"
    norm: float
    scales: "FeatureStatistics"
    names: Names

    @property
    def live(self) -> list[int]:
        """The features that are ever active."""
        found: list[int] = self.scales.live.nonzero()[:, 0].tolist()
        return found

    @cached_property
    def marking(self) -> Tensor:
        """How much one unit of each feature marks a text, `[F]`: how long it is, and how rare."""
        rarity = -self.scales.density.clamp(min=1e-6).log().cpu()
        lengths: Tensor = torch.linalg.vector_norm(self.sae.decoder, dim=-1).cpu()
        return rarity * lengths


@dataclass(frozen=True, kw_only=True)
class ModeCard:
    """One mode in a list: `problem` says why it cannot be used here, None where it can."""

    name: str
    description: str
    origin: str
    strength: float
    kl: float | None
    features: int
    vectors: int
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Firing:
    """A feature active on a token: `share_of_maximum` of the strongest activation ever measured."""

    feature: int
    label: str
    activation: float
    share_of_maximum: float
    token: str
    position: int


@dataclass(frozen=True, kw_only=True)
class WhyToken:
    """One content token: what was active there before the pushes, and what was pushed.

    `share` is the length of all pushes together, as a fraction of ‖h‖.
    """

    text: str
    role: str
    features: tuple[Firing, ...]
    pushes: tuple[heard.TokenPush, ...]
    share: float = 0.0


_Tokens = Sequence[tuple[str, str]] | Mapping[int, tuple[str, str]]
"""Text and role of tokens by their place in a turn."""


class Live(Protocol):
    """What the Prism asks of the runtime that it belongs to."""

    def turn_record(self, turn: int) -> "Record": ...

    def note_mode(self) -> None:
        """The mode changed: keep it, now or with the turn that runs."""

    @property
    def tokenizer(self) -> "Tokenizer": ...


class Prism:
    """Modes and pushes of one runtime. What changes acts from the next token on, from any thread."""

    def __init__(self, live: Live, organ: PrismOrgan, shelf: Shelf, book: Book | None) -> None:
        self._live = live
        self._organ = organ
        self._shelf = shelf
        self._book = book

    @property
    def mode(self) -> str:
        """What is in force: `off`, a mode's name, or several joined by `+`."""
        return self._organ.force.name

    @property
    def auto(self) -> bool:
        """Whether the user's texts choose the mode."""
        return self._organ.auto

    @property
    def nominal(self) -> float:
        """What is asked for at most, as a fraction of ‖h‖, before the budget scales it."""
        return self._organ.nominal

    @property
    def budget(self) -> float:
        """The longest sum of all pushes, as a fraction of ‖h‖."""
        return self._organ.ground.budget

    @property
    def control(self) -> str:
        """The experiment's control in force, `none` but in an experiment."""
        return self._organ.ground.control

    @property
    def notices(self) -> list[str]:
        """What waking up had to say: a mode that does not fit this model, for one."""
        return self._organ.notices

    @property
    def shelf(self) -> Shelf:
        """Where the modes of this model are kept."""
        return self._shelf

    @property
    def book(self) -> Book | None:
        """The SAE and what is known of its features; None where this model has none."""
        return self._book

    @property
    def share(self) -> float | None:
        """The mean share of ‖h‖ that was pushed in the last turn; None where nothing was."""
        try:
            recorded = self._live.turn_record(-1)["deltas"].get("prism", {})
        except SteeringError:
            return None
        share: float | None = recorded.get("share")
        return share

    @property
    def measured(self) -> float | None:
        """`share`, where the last turn ended with what is in force now; else None."""
        try:
            recorded = self._live.turn_record(-1)["deltas"].get("prism", {})
        except SteeringError:
            return None
        ended = [digest for _, digest in recorded.get("schedule", ())][-1:]
        return self.share if ended == [self._organ.force.digest] else None

    def modes(self) -> list[ModeCard]:
        """Every mode of this model, those that cannot be used with the reason."""
        return [self._card(name, origin) for name, origin in self._shelf.names().items()]

    def set(self, name: str, strength: float | None = None) -> None:
        """Put a mode in force: a name, several joined by `+`, `off` or `auto`."""
        self._organ.set(name, strength)
        self._live.note_mode()

    def steer(self, what: int | str, strength: float, operation: str = "clamp") -> ByHand:
        """Push one feature, by number or by its label, besides the mode; 0 takes it off."""
        if operation not in OPERATIONS:
            raise SteeringError(f"There is no operation {operation!r}: {', '.join(OPERATIONS)}.")
        feature = self.feature(what)
        label = self._known().names.label(feature)
        push = ByHand(feature=feature, operation=operation, strength=strength, label=label)
        self._organ.steer(push)
        self._live.note_mode()
        return push

    def steers(self) -> list[ByHand]:
        """The pushes by hand that are in force."""
        return list(self._organ.force.by_hand)

    def steer_off(self, what: int | str | None = None) -> None:
        """Take one push by hand off, or all."""
        self._organ.release(None if what is None else self.feature(what))
        self._live.note_mode()

    def rehearse(self, recorded: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """Have what a recorded turn had in force again, in the next turn; for a replay."""
        self._organ.rehearse(recorded, known)

    def feature(self, what: int | str) -> int:
        """A feature's number from a number or from words of its label; SteeringError otherwise."""
        book = self._known()
        if isinstance(what, str) and not what.strip().lstrip("#").isdigit():
            found = book.names.find(what)
            if not found:
                raise SteeringError(f"No feature's label fits {what!r}: look with /features TEXT.")
            return int(found[0])
        number = int(str(what).strip().lstrip("#"))
        if not 0 <= number < book.sae.n_features:
            raise SteeringError(
                f"Feature {number} does not exist: {book.sae.name} has features 0 to "
                f"{book.sae.n_features - 1}."
            )
        return number

    def pushes(self, turn: int = -1) -> list[PushRecord]:
        """What was pushed in a turn of this session, largest share first."""
        recorded = self._live.turn_record(turn)["deltas"].get("prism", {})
        return [PushRecord(**each) for each in recorded.get("pushes", ())]

    def firing(self, count: int = 10, turn: int = -1) -> list[Firing]:
        """The features that mark a turn's text most: strong where active, and active seldom."""
        book, found, tokens = self._looked(turn)
        best, at = _strongest(book.sae, found.residuals)
        order = (best * book.marking).topk(min(count, len(best)))
        return [
            self._firing(
                book, feature, float(best[feature]), tokens, found.places[int(at[feature])]
            )
            for feature, score in zip(order.indices.tolist(), order.values.tolist(), strict=True)
            if score > 0
        ]

    def why(self, turn: int = -1, top: int = 3) -> list[WhyToken]:
        """A turn's content tokens one by one: the features that mark each most, and the pushes."""
        book, own, tokens = self._looked(turn)
        pushed, shares = heard.pushed(own), heard.shares(own)
        found = []
        for start in range(0, len(own.residuals), _ROWS):
            values, features = _marks(book, own.residuals[start : start + _ROWS], top)
            rows = zip(values.tolist(), features.tolist(), strict=True)
            for place, (values, features) in zip(own.places[start:], rows, strict=False):
                firing = tuple(
                    self._firing(book, feature, value, tokens, place)
                    for value, feature in zip(values, features, strict=True)
                    if value > 0
                )
                text, role = tokens[place]
                pushes, share = pushed.get(place, ()), shares.get(place, 0.0)
                found.append(
                    WhyToken(text=text, role=role, features=firing, pushes=pushes, share=share)
                )
        return found

    def latest(self, text: str, top: int = 3) -> WhyToken | None:
        """The same of the content token that was read last, while its turn runs; `text` is its own."""
        last = self._organ.latest()
        if last is None:
            return None
        found: tuple[Firing, ...] = ()
        book = self._book
        if book is not None and len(last.residuals):
            place = last.places[-1]
            values, features = _marks(book, last.residuals, top)
            found = tuple(
                self._firing(book, feature, value, {place: (text, "assistant")}, place)
                for value, feature in zip(values[0].tolist(), features[0].tolist(), strict=True)
                if value > 0
            )
        pushed, shares = heard.pushed(last), heard.shares(last)
        place = max(pushed, default=-1)
        return WhyToken(
            text=text, role="assistant", features=found, pushes=pushed.get(place, ()),
            share=shares.get(place, 0.0),
        )  # fmt: skip

    def _known(self) -> Book:
        if self._book is None:
            raise SteeringError(
                "This model has no SAE here, so no features: use smollm2, or give an SAE."
            )
        return self._book

    def _looked(self, turn: int) -> tuple[Book, Heard, list[tuple[str, str]]]:
        book = self._known()
        record = self._live.turn_record(turn)
        everything = self._organ.heard(int(record["turn"]))
        return book, heard.own(everything, record), heard.tokens_of(record, self._live.tokenizer)

    def _firing(
        self, book: Book, feature: int, value: float, tokens: _Tokens, place: int
    ) -> Firing:
        most = float(book.scales.maximum[feature])
        return Firing(
            feature=feature,
            label=book.names.label(feature),
            activation=round(value, 4),
            share_of_maximum=round(value / most, 4) if most > 0 else 0.0,
            token=tokens[place][0],
            position=place,
        )

    def _card(self, name: str, origin: str) -> ModeCard:
        try:
            mode = self._shelf.load(name)
        except SteeringError as error:
            return ModeCard(
                name=name, description="", origin=origin, strength=1.0, kl=None, features=0,
                vectors=0, problem=str(error),
            )  # fmt: skip
        return ModeCard(
            name=name,
            description=mode.description,
            origin=origin,
            strength=mode.strength,
            kl=mode.calibration.kl_p95 if mode.calibration else None,
            features=len(mode.features),
            vectors=len(mode.vectors),
            problem=self._problem(mode),
        )

    def _problem(self, mode: Mode) -> str | None:
        try:
            check_fits(mode, self._organ.ground.info, self._organ.ground.sae)
        except SteeringError as error:
            return str(error)
        return None


def _strongest(sae: "Sae", residuals: Tensor) -> tuple[Tensor, Tensor]:
    """Each feature's strongest activation `[F]` over rows `[t, d]`, and the row it is on."""
    best = torch.zeros(sae.n_features)
    at = torch.zeros(sae.n_features, dtype=torch.long)
    for start in range(0, len(residuals), _ROWS):
        most, rows = sae.encode(residuals[start : start + _ROWS]).cpu().max(dim=0)
        better = most > best
        best, at = torch.where(better, most, best), torch.where(better, rows + start, at)
    return best, at


def _marks(book: Book, residuals: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Activations and numbers of the features that mark each row of `[t, d]` most, `[t, top]`."""
    active = book.sae.encode(residuals).cpu()
    chosen = (active * book.marking).topk(min(top, active.shape[-1]), dim=-1).indices
    return active.gather(-1, chosen), chosen
