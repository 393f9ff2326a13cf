from typing import Any

import pytest

from anima.terminal import toolbar
from tests.terminal.scripted import ScriptedRuntime


def test_it_says_who_where_on_what_how_full_and_what_was_changed() -> None:
    runtime = ScriptedRuntime(changed={"temperature": 0.75}, system="Be brief.")
    assert toolbar.facts(runtime, "default", "my trip") == [
        ("", "default"),
        ("", "my trip"),
        ("", "scripted"),
        ("mode", "off"),
        ("context", "130/2048"),
        ("temperature", "0.75"),
        ("system", "on"),
    ]


def test_before_there_is_a_runtime_it_says_so() -> None:
    assert toolbar.line(toolbar.facts(None, "default", None), 80) == "default · waking up…"


def test_what_does_not_fit_is_left_out_from_the_end() -> None:
    found = [("", "default"), ("context", "1/2"), ("", "long")]
    assert toolbar.line(found, 80) == "default · context 1/2 · long"
    assert toolbar.line(found, 21) == "default · context 1/2"
    assert toolbar.line(found, 3) == ""


def test_in_a_narrow_window_the_mode_and_the_context_stay_and_the_rest_goes() -> None:
    steering = {"mode": "dream", "nominal": 0.3, "auto": True}
    runtime = ScriptedRuntime(changed={"temperature": 0.75}, steering=steering)
    found = toolbar.facts(runtime, "default", "my trip")
    assert toolbar.line(found, 80).endswith("context 130/2048")
    assert toolbar.line(found, 52) == "default · mode dream (auto) ≤30% · context 130/2048"
    assert toolbar.line(found, 40) == "default · dream (auto) ≤30% · 130/2048"
    assert toolbar.line(found, 30) == "default · dream (auto) ≤30%"


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"mode": "off"}, "off"),
        ({"mode": "dream", "nominal": 0.18}, "dream ≤18%"),
        ({"mode": "dream", "nominal": 0.18, "share": 0.0831}, "dream 8.3%"),
        ({"mode": "dream", "nominal": 0.18, "share": 0.0831, "auto": True}, "dream (auto) 8.3%"),
        ({"mode": "off", "nominal": 0.1, "share": 0.0004}, "off <0.1%"),
        ({"mode": "off", "auto": True, "share": 0.2}, "off (auto)"),
    ],
)
def test_it_says_the_mode_and_how_far_it_pushes(status: dict[str, Any], shown: str) -> None:
    runtime = ScriptedRuntime(steering=status)
    assert ("mode", shown) in toolbar.facts(runtime, "default", None)
