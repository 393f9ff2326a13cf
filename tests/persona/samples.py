"""The records and states that the tests keep, and what there is to see of a persona from outside."""

from pathlib import Path
from typing import Any

import numpy

from anima.home import Home
from anima.organ import OrganState
from anima.persona import Persona, read_session, sessions


def turn(number: int, text: str = "Hello") -> dict[str, Any]:
    return {
        "record": "turn",
        "turn": number,
        "text": text,
        "reply": f"{text} to you",
        "ids": [1, 2],
    }


def settings(temperature: float) -> OrganState:
    return OrganState(schema=1, values={"temperature": temperature, "greedy": False})


def weights(value: float) -> OrganState:
    array = numpy.array([[value, -value], [0.0, 0.5]], dtype=numpy.float32)
    return OrganState(schema=2, values={"learned": True}, arrays={"association": array})


def plain(state: OrganState) -> dict[str, Any]:
    """A state that can be compared with ==."""
    arrays = {key: (array.dtype.str, array.tolist()) for key, array in state.arrays.items()}
    return {"schema": state.schema, "values": dict(state.values), "arrays": arrays}


def observe(home: Home, persona: Persona) -> dict[str, Any]:
    """What an open persona holds: every organ's state, and every session's records."""
    return {
        "states": {organ: plain(state) for organ, state in persona.states().items()},
        "sessions": {
            found.id: read_session(home, persona.name, found.id)
            for found in sessions(home, persona.name)
        },
    }


def flip(path: Path, at: int = -2) -> None:
    """Damage one byte of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0x20
    path.write_bytes(bytes(content))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the lock's own, by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("lock")
    }
