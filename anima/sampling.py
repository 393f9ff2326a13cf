"""The organ of sampling settings: those a person chose, kept with the persona; draws no token."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from anima.errors import UsageError
from anima.events import Event
from anima.organ import Contribution, Delta, OrganState, Reading, Turn
from anima.trunk.settings import Sampling, check_name


class SamplingOrgan:
    """Contributes the settings in force: what a person set, over the model's own defaults."""

    name = "sampling"
    schema = 1

    def __init__(self, defaults: Sampling) -> None:
        self.defaults = defaults
        self._chosen: dict[str, float] = {}

    @property
    def settings(self) -> Sampling:
        """Those in force."""
        return self.defaults.changed(self._chosen)

    @property
    def changed(self) -> dict[str, float]:
        """What was chosen and differs from the defaults."""
        own = asdict(self.defaults)
        return {name: value for name, value in self._chosen.items() if value != own[name]}

    def set(self, name: str, value: float | None) -> Delta:
        """Choose a value, or None for the default again; UsageError for what cannot be."""
        check_name(name)
        if value is not None:
            self.defaults.changed({name: value})
        delta = Delta(values={"name": name, "before": self._chosen.get(name), "after": value})
        self._put(name, value)
        return delta

    def contribute(self, turn: Turn) -> Contribution:
        return Contribution(sampling=dict(self._chosen))

    def observe(self, reading: Reading) -> None:
        """Nothing that is read changes a setting."""

    def finish(self) -> tuple[Sequence[Event], Delta]:
        return (), Delta()

    def undo(self, delta: Delta) -> None:
        if delta:
            self._put(delta.values["name"], delta.values["before"])

    def state(self) -> OrganState:
        return OrganState(schema=self.schema, values=dict(self._chosen))

    def load(self, state: OrganState) -> None:
        values: Mapping[str, float] = state.values
        if state.schema != self.schema:
            raise UsageError(
                f"The sampling settings were saved under schema {state.schema}, and this version "
                f"reads {self.schema}: reset them with /set NAME default."
            )
        self.defaults.changed(values)
        self._chosen = dict(values)

    def _put(self, name: str, value: float | None) -> None:
        self._chosen.pop(name, None)
        if value is not None:
            self._chosen[name] = value
