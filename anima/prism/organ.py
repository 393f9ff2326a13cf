"""The Prism: the organ that keeps modes and pushes by hand in force, and says what they did.

It knows modes, forces and the contract of organs, and neither the model's text nor the disk.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from anima.errors import SteeringError
from anima.events import Event, ModeChanged, Steered
from anima.organ import Contribution, Delta, OrganState, Reading, Turn
from anima.prism.force import (
    OFF,
    Applied,
    ByHand,
    Force,
    Ground,
    applied,
    force_of,
    with_push,
)
from anima.prism.listening import Heard, Listening, push_records, totals
from anima.prism.mode import Mode, check_strength
from anima.prism.switching import Hysteresis, Leaning, leaned

AUTO = "auto"
OnSwitch = Literal["keep", "recompute"]
_KEPT_TURNS = 8  # of which what was heard can be looked at


class Modes(Protocol):
    """Where modes come from by name; raises SteeringError for one that is not there."""

    def load(self, name: str) -> Mode: ...


class Chooser(Protocol):
    """What gives each mode's chance for a text; `labels` are names of modes, or `off`."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def chances(self, text: str) -> Mapping[str, float]: ...


@dataclass(kw_only=True, eq=False)
class _Script:
    """What a recorded turn had in force, to be had again: forces by the call they begin at."""

    forces: Sequence[tuple[int, Applied]]
    told: set[str]
    auto: Mapping[str, Any] | None

    def at(self, call: int) -> Applied:
        return [force for first, force in self.forces if first <= call][-1]


@dataclass(kw_only=True, eq=False)
class _Running:
    """A turn that was begun: what it listens to, and what auto thinks of its text."""

    turn: Turn
    listening: Listening
    before: Applied
    start: Applied
    leaning: Leaning | None
    script: _Script | None = None


@dataclass(kw_only=True, eq=False)
class _Told:
    """The forces whose coefficients the session's record holds already."""

    session: str = ""
    digests: set[str] = field(default_factory=set)


class PrismOrgan:
    """Modes over one model: what is in force is one immutable object, swapped by one assignment.

    `set`, `steer` and `release` may be called from any thread, also while a reply streams: they
    take effect at the next token. Raises SteeringError for what cannot be; then nothing changes.
    """

    name = "prism"
    schema = 1

    def __init__(
        self,
        ground: Ground,
        modes: Modes,
        *,
        chooser: Chooser | None = None,
        rule: Hysteresis | None = None,
        on_switch: OnSwitch = "keep",
    ) -> None:
        self.ground = ground
        self.notices: list[str] = []
        self._modes = modes
        self._chooser = chooser
        self._rule = rule or Hysteresis()
        self._on_switch = on_switch
        self._now = Applied(force=Force(), layer=None, state=None)
        self._leaning: Leaning | None = None
        self._cached_under: str | None = None
        self._told = _Told()
        self._running: _Running | None = None
        self._script: _Script | None = None
        self._heard: OrderedDict[int, Heard] = OrderedDict()
        self._session = ""

    @property
    def force(self) -> Force:
        """What is in force now."""
        return self._now.force

    @property
    def nominal(self) -> float:
        """What is asked for at most, as a fraction of ‖h‖, before the budget."""
        return self._now.state.nominal if self._now.state else 0.0

    @property
    def auto(self) -> bool:
        """Whether the user's texts choose the mode."""
        return self._leaning is not None

    def set(self, name: str, strength: float | None = None) -> Force:
        """Put a mode in force by name, several joined by `+`, `off` or `auto`."""
        if strength is not None:
            check_strength(name, strength)
        if name == AUTO:
            if self._chooser is None:
                raise SteeringError("There is no classifier of texts for `auto` on this model.")
            self._leaning = Leaning(mode=self._now.force.name)
            return self._now.force
        force = Force(modes=self._named(name), strength=strength, by_hand=self._now.force.by_hand)
        self._now = applied(force, self.ground)
        self._leaning = None
        return force

    def steer(self, push: ByHand) -> Force:
        """Push one feature by hand, besides the mode; strength 0 takes it off."""
        force = with_push(self._now.force, push)
        self._now = applied(force, self.ground)
        return force

    def release(self, feature: int | None = None) -> Force:
        """Take pushes by hand off: one, or all."""
        now = self._now.force
        left = tuple(p for p in now.by_hand if feature is not None and p.feature != feature)
        force = Force(modes=now.modes, strength=now.strength, by_hand=left)
        self._now = applied(force, self.ground)
        return force

    def refresh(self) -> None:
        """Take the modes in force as they are on the shelf now; what is not there stays."""
        now = self._now.force
        try:
            modes = self._named(now.name)
            fresh = Force(modes=modes, strength=now.strength, by_hand=now.by_hand)
            self._now = applied(fresh, self.ground)
        except SteeringError:
            # The one that the persona had is whole in its own state, and goes on.
            return

    def heard(self, turn: int) -> Heard:
        """The content tokens of one of the last turns; SteeringError for one not kept."""
        if turn not in self._heard:
            raise SteeringError(
                f"Turn {turn} cannot be looked into: only the last {_KEPT_TURNS} turns since "
                "opening can."
            )
        return self._heard[turn]

    def latest(self) -> Heard | None:
        """The content token heard last in the turn that runs; None where none runs."""
        return None if self._running is None else self._running.listening.latest()

    def rehearse(self, recorded: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """Have what a recorded turn had in force again, in the next turn and for it alone.

        `recorded` is the turn's own delta, `known` all forces recorded so far, by digest.
        """
        forces = []
        for first, digest in recorded.get("schedule", ((0, ""),)):
            values = known.get(digest)
            force = Force() if values is None else force_of(values, "The session's record")
            forces.append((int(first), applied(force, self.ground)))
        told = set(known) - set(recorded.get("forces", {}))
        self._script = _Script(forces=forces, told=told, auto=recorded.get("auto"))

    def contribute(self, turn: Turn) -> Contribution:
        leaning, start = self._asked(turn.text)
        script, self._script = self._script, None
        before = self._now
        if script is not None:
            start = script.at(0)
        sae = self.ground.sae
        listening = Listening(
            now=lambda call: self._at(call, running), reads=None if sae is None else sae.layer
        )
        running = _Running(
            turn=turn, listening=listening, before=before, start=start, leaning=leaning,
            script=script,
        )  # fmt: skip
        self._running = running
        cached = self._cached_under
        stale = cached is not None and cached != start.force.digest
        return Contribution(
            placed=listening.place,
            sampling=dict(start.force.sampling),
            stale=stale and self._on_switch == "recompute",
        )

    def observe(self, reading: Reading) -> None:
        """Tokens are heard in the residual stream, not as ids."""

    def finish(self) -> tuple[Sequence[Event], Delta]:
        running, self._running = self._running, None
        if running is None:
            return (), Delta()
        events: list[Event] = []
        values: dict[str, Any] = {}
        auto = self._lean(running)
        if auto:
            values["auto"] = auto
            if auto["before"]["mode"] != auto["after"]["mode"]:
                events.append(
                    ModeChanged(before=auto["before"]["mode"], after=auto["after"]["mode"])
                )
        heard = running.listening.heard()
        self._keep(running.turn, heard)
        runs = running.listening.runs() or [(0, running.start)]
        self._cached_under = runs[-1][1].force.digest
        if any(not run.force.idle for _, run in runs):
            values |= self._in_force(running, runs)
            share, scaled = totals(heard.stretches)
            pushes = [record.as_json() for record in push_records(heard.stretches)]
            values |= {"share": share, "scaled": scaled, "pushes": pushes}
            mode = runs[-1][1].force.name
            events.append(Steered(mode=mode, share=share, scaled=scaled, pushes=tuple(pushes)))
        return events, Delta(values=values)

    def undo(self, delta: Delta) -> None:
        before = delta.values.get("auto", {}).get("before")
        if before is None or self._leaning is None:
            return
        if self._leaning.mode != before["mode"]:
            self._now = self._chosen(before["mode"])
        self._leaning = Leaning(**before)

    def state(self) -> OrganState:
        values: dict[str, Any] = {}
        if not self.force.idle:
            values["force"] = self.force.as_json()
        if self._leaning is not None:
            values["auto"] = asdict(self._leaning)
        return OrganState(schema=self.schema, values=values)

    def load(self, state: OrganState) -> None:
        if state.schema != self.schema:
            raise SteeringError(
                f"The modes were saved under schema {state.schema}, and this version reads "
                f"{self.schema}."
            )
        if "auto" in state.values and self._chooser is not None:
            self._leaning = Leaning(**state.values["auto"])
        if "force" not in state.values:
            return
        try:
            self._now = applied(force_of(state.values["force"], "The persona"), self.ground)
        except SteeringError as error:
            # Another model has another residual stream: the persona wakes unsteered, and hears why.
            self.notices.append(f"The mode is off. {error}")

    def _named(self, name: str) -> tuple[Mode, ...]:
        names = [] if name == OFF else name.split("+")
        if len(set(names)) < len(names):
            raise SteeringError(f"{name!r} names a mode twice.")
        return tuple(self._modes.load(each.strip()) for each in names)

    def _chosen(self, name: str) -> Applied:
        now = self._now.force
        if name == now.name:
            return self._now
        force = Force(modes=self._named(name), strength=now.strength, by_hand=now.by_hand)
        return applied(force, self.ground)

    def _asked(self, text: str) -> tuple[Leaning | None, Applied]:
        """What auto thinks of a text, and what is then in force; changes nothing."""
        if self._leaning is None or self._chooser is None:
            return None, self._now
        leaning = leaned(self._leaning, self._chooser.chances(text), self._rule)
        if leaning.mode == self._leaning.mode:
            return leaning, self._now
        try:
            return leaning, self._chosen(leaning.mode)
        except SteeringError:
            # A mode that is not there cannot be chosen; the one in force goes on.
            return self._leaning, self._now

    def _at(self, call: int, running: _Running) -> Applied:
        """What is in force at a call: a switch since the turn began goes before how it began.

        Of several turns that were begun, the one whose call this is runs: what is not kept may be
        begun beforehand.
        """
        self._running = running
        if running.script is not None:
            return running.script.at(call)
        return running.start if self._now is running.before else self._now

    def _lean(self, running: _Running) -> dict[str, Any] | None:
        """Make what auto thought of the turn true; the change as JSON, None for none."""
        if running.script is not None and running.script.auto is not None:
            auto = dict(running.script.auto)
            self._leaning = Leaning(**auto["after"])
            return auto
        before = self._leaning
        if before is None or running.leaning is None or self._now is not running.before:
            return None
        self._now, self._leaning = running.start, running.leaning
        if before == running.leaning:
            return None
        return {"before": asdict(before), "after": asdict(running.leaning)}

    def _in_force(self, running: _Running, runs: Sequence[tuple[int, Applied]]) -> dict[str, Any]:
        """Every coefficient of the turn; those that the session's record holds, by digest alone."""
        if running.script is not None:
            told = running.script.told
        elif self._told.session == running.turn.session:
            told = self._told.digests
        else:
            told = set()
        found = {run.force.digest: run.force for _, run in runs}
        self._told = _Told(session=running.turn.session, digests=told | set(found))
        return {
            "schedule": [[first, run.force.digest] for first, run in runs],
            "forces": {d: force.as_json() for d, force in found.items() if d not in told},
        }

    def _keep(self, turn: Turn, heard: Heard) -> None:
        if turn.session != self._session:
            self._heard.clear()
        self._session = turn.session
        self._heard[turn.number] = heard
        self._heard.move_to_end(turn.number)
        while len(self._heard) > _KEPT_TURNS:
            self._heard.popitem(last=False)
