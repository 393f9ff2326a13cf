from anima.terminal import toolbar
from tests.terminal.scripted import ScriptedRuntime


def test_it_says_who_where_on_what_how_full_and_what_was_changed() -> None:
    runtime = ScriptedRuntime(changed={"temperature": 0.75}, system="Be brief.")
    assert toolbar.facts(runtime, "default", "my trip") == [
        ("", "default"),
        ("", "my trip"),
        ("", "scripted"),
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
