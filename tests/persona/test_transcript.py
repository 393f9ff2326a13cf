from datetime import datetime
from typing import Any

import pytest

from anima.errors import CorruptStateError, NewerVersionError
from anima.home import Home
from anima.persona import Persona
from anima.persona.names import name_session
from anima.persona.transcript import Said, conversation, read_transcript, search

from .samples import turn

SYSTEM = [{"role": "core", "text": "You are."}, {"role": "system", "text": "Be brief."}]


def said(text: str, reply: str, **more: Any) -> Said:
    return Said(turn=1, text=text, reply=reply, **more)


def snippets(words: list[str], *turns: Said) -> list[str]:
    return [match.snippet for match in search(turns, words)]


def test_turns_carry_what_was_in_force_when_they_were_said() -> None:
    first, second = conversation(
        [
            {"record": "session", "prefix": SYSTEM},
            {"record": "open", "model": {"model": "smollm2"}},
            {**turn(1, "Hi"), "seed": 7, "finish": "end", "started": "2026-01-02T12:00:00+00:00"},
            {"record": "system", "prefix": SYSTEM[:1]},
            {"record": "set", "name": "seed", "base_seed": 1},
            {"record": "open", "model": {"model": "other"}},
            turn(2, "And?"),
        ]
    )
    assert (first.model, first.system, first.seed, first.finish) == (
        "smollm2",
        "Be brief.",
        7,
        "end",
    )
    assert first.started == datetime.fromisoformat("2026-01-02T12:00:00+00:00")
    assert (second.turn, second.text, second.reply) == (2, "And?", "And? to you")
    assert (second.model, second.system, second.seed, second.finish) == ("other", None, None, None)


def test_an_undo_takes_back_the_last_turn_that_is_left() -> None:
    undo = {"record": "undo"}
    found = conversation([undo, turn(1, "a"), turn(2, "b"), turn(3, "c"), undo, undo, turn(2, "d")])
    assert [(each.text, each.undone) for each in found] == [
        ("a", False),
        ("b", True),
        ("c", True),
        ("d", False),
    ]


def test_records_of_a_strange_form_are_read_as_far_as_they_go() -> None:
    odd = {"record": "turn", "turn": "x", "text": None, "reply": [], "seed": "", "started": 5}
    records = [{"record": "session", "prefix": 3}, {"record": "open", "model": None}, odd, {}]
    assert conversation(records) == [Said(turn=0, text="", reply="")]


def test_a_session_is_read_with_its_name(home: Home, ada: Persona) -> None:
    name_session(home, "ada", str(ada.session), "morning")
    found = read_transcript(home, "ada", str(ada.session))
    assert (found.name, found.damaged, len(found.turns)) == ("morning", None, 2)
    assert found.started == datetime.fromisoformat("2026-11-22T01:53:03+00:00")


def test_a_damaged_line_is_named_and_hides_no_other(home: Home, ada: Persona) -> None:
    path = ada.folder / "sessions" / f"{ada.session}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"text":"Good morning"', b'"text":Good morning'))
    found = read_transcript(home, "ada", str(ada.session))
    assert [each.text for each in found.turns] == ["And now?"]
    assert f"{path}, line 2, is damaged" in str(found.damaged)


@pytest.mark.parametrize(
    ("header", "error"), [(b"{}", CorruptStateError), (b'{"schema": 9}', NewerVersionError)]
)
def test_a_session_of_which_nothing_can_be_read_is_an_error(
    home: Home, ada: Persona, header: bytes, error: type[Exception]
) -> None:
    path = ada.folder / "sessions" / "20270101-000000-0000.jsonl"
    path.write_bytes(header + b"\n" + b'{"record": "turn"}\n')
    with pytest.raises(error, match="line 1"):
        read_transcript(home, "ada", path.stem)


def test_all_words_must_be_in_a_turn_but_not_on_one_side() -> None:
    fox = said("Tell me of foxes", "They are red")
    assert snippets(["FOX", "Red"], fox) == ["Tell me of foxes", "They are red"]
    assert snippets(["they are"], fox) == ["They are red"]
    assert snippets(["fox", "blue"], fox) == []
    assert snippets(["fox"], said("fox", "", undone=True)) == []


def test_no_words_find_nothing_and_signs_mean_themselves() -> None:
    assert snippets(["", " "], said("a", "b")) == []
    assert snippets(["a.c"], said("abc", "a.c")) == ["a.c"]
    assert snippets(["cafe\u0301"], said("Café", "")) == ["Café"]


def test_a_snippet_is_one_line_around_its_place_and_says_where_it_was_cut() -> None:
    text = "word " * 40 + "the\nneedle " + "more " * 40
    (found,) = snippets(["needle"], said(text, ""))
    assert found.startswith("…word")
    assert "the needle more" in found
    assert found.endswith("more…")
    assert len(found) < 100
    (solid,) = snippets(["needle"], said("x" * 500 + "needle" + "y" * 500, ""))
    assert solid == "…" + "x" * 24 + "needle" + "y" * 56 + "…"


ASKED = {"record": "turn", "turn": 1, "text": "q", "reply": "a"}


def steered(*names: str, new: bool, by_hand: int = 0, share: float = 0.08) -> dict[str, Any]:
    """A turn that went through these modes; `new` where its record is the first to say what they are."""
    forces = {
        f"d-{name}": {
            "modes": [{"name": each} for each in name.split("+") if each != "off"],
            "by_hand": [{"feature": n} for n in range(by_hand)],
        }
        for name in names
    }
    prism = {
        "schedule": [[n, f"d-{name}"] for n, name in enumerate(names)],
        "forces": forces if new else {},
        "share": share,
    }
    return ASKED | {"deltas": {"prism": prism}}


def test_each_turn_says_in_which_modes_it_was_made_and_how_far_it_was_pushed() -> None:
    found = conversation(
        [
            steered("dream", new=True),
            steered("dream", new=False, share=0.1),
            steered("dream", "off", new=True),
            steered("dream+anima", new=True),
            steered("off", new=True, by_hand=2),
            ASKED,
        ]
    )
    assert [(each.mode, each.share) for each in found] == [
        ("dream", 0.08), ("dream", 0.1), ("dream → off", 0.08), ("dream+anima", 0.08),
        ("off, 2 by hand", 0.08), (None, None),
    ]  # fmt: skip


def test_a_damaged_record_of_a_mode_hides_no_turn() -> None:
    broken: list[Any] = [
        {"schedule": 3},
        {"schedule": [[0, "x"]], "forces": []},
        [],
        {"share": "a"},
    ]
    found = conversation([ASKED | {"deltas": {"prism": each}} for each in broken])
    assert [(each.text, each.mode, each.share) for each in found] == [
        ("q", None, None), ("q", "off", None), ("q", None, None), ("q", None, None),
    ]  # fmt: skip
