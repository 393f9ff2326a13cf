"""The texts that evaluations need, as packaged data; knows where they lie and how they are read."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any


@cache
def read(name: str) -> Mapping[str, Any]:
    """One packaged TOML file by its name without the ending; FileNotFoundError for no such one."""
    source = resources.files(__name__).joinpath(f"{name}.toml")
    return tomllib.loads(source.read_text(encoding="utf-8"))
