"""What of a turn is remembered, late, and taken back; a tiny Llama, a real ledger."""

from memory_rig import awake, said, told
from runtime_rig import only

from anima.errors import StorageError
from anima.events import Notice, Remembered, Replied, Token
from anima.organ import Spoken, Turn


def test_both_sides_of_a_turn_are_remembered_in_one_commit_that_names_it(memory, monkeypatch):
    commits = []
    monkeypatch.setattr(memory, "after_commit", None)
    runtime = awake(memory)
    memory.after_commit = lambda: commits.append(memory.count)
    events = list(runtime.turn("I fly to Rome."))
    reply = only(events, Replied).text.strip()
    assert commits == [2]
    assert said(memory) == [("user", "I fly to Rome."), ("assistant", reply)]
    assert {str(line.context) for line in memory.lines()} == {"{'session': 's1', 'turn': 1}"}
    remembered = only(events, Remembered)
    assert [(each["seq"], each["decision"]) for each in remembered.lines] == [
        (1, "insert"),
        (2, "insert"),
    ]


def test_the_quoted_block_is_never_part_of_what_is_remembered(memory):
    told(memory, "My sister is called Clara.")
    awake(memory).say("Where does my sister Clara live?")
    assert not any("Context from memory" in line.text for line in memory.lines())
    assert memory.line(2).text == "Where does my sister Clara live?"


def test_a_stopped_reply_is_remembered_as_a_part_and_one_without_a_word_is_not(memory):
    runtime = awake(memory, max_tokens=50)
    for event in runtime.turn("Tell me everything"):
        if isinstance(event, Token):
            runtime.stop()
    lines = memory.peek(2)
    assert lines[0].context == {"session": "s1", "turn": 1, "partial": True}
    assert "partial" not in lines[1].context
    list(runtime.run("Again", 5, 8, stopped=lambda draft: True))
    assert memory.peek(1)[0].text == "Again"
    assert runtime.last["deltas"]["memory"]["left_out"] == "empty"


def test_a_turn_that_is_left_early_is_remembered_as_far_as_it_got(memory):
    running = awake(memory, max_tokens=50).turn("Tell me everything")
    while not isinstance(next(running), Token):
        pass
    running.close()
    assert [line.context.get("partial") for line in memory.peek(2)] == [True, None]


def test_a_reply_that_only_repeats_what_was_quoted_is_not_remembered(memory, monkeypatch):
    told(memory, "My sister is called Clara.")
    runtime = awake(memory)
    real = runtime._memory.organ.hear
    monkeypatch.setattr(
        runtime._memory.organ, "hear",
        lambda spoken: real(type(spoken)(text="Your sister is called Clara.", finish="end")),
    )  # fmt: skip
    runtime.say("What is my sister called?")
    assert runtime.last["deltas"]["memory"]["left_out"] == "repeats"
    assert [line.role for line in memory.peek(2)] == ["user", "user"]


def test_undo_takes_the_turns_lines_back_and_leaves_those_put_since(memory):
    told(memory, "My sister is called Clara.")
    runtime = awake(memory)
    runtime.say("I fly to Rome.")
    memory.put(None, "The cat is grey.")
    runtime.undo()
    assert said(memory) == [("user", "My sister is called Clara."), ("user", "The cat is grey.")]
    assert memory.verify().whole


def test_undoing_a_copied_turn_leaves_the_original_session_what_it_taught(memory):
    runtime = awake(memory)
    runtime.say("I fly to Rome.")
    runtime.fork()
    before = said(memory)
    runtime.undo()
    assert said(memory) == before


def test_what_the_ledger_refuses_is_said_and_remembered_with_the_next_turn(memory, monkeypatch):
    runtime = awake(memory)
    append = memory._book.append

    def full(drafts, **_):
        raise StorageError("The disk is full.")

    monkeypatch.setattr(memory._book, "append", full)
    events = list(runtime.turn("I fly to Rome."))
    assert "remembered with the next turn" in only(events, Notice).message
    assert runtime.status()["memory"]["late"] == 2
    monkeypatch.setattr(memory._book, "append", append)
    runtime.say("And then?")
    assert [text for role, text in said(memory) if role == "user"] == [
        "I fly to Rome.",
        "And then?",
    ]
    runtime.undo()
    assert [text for role, text in said(memory) if role == "user"] == ["I fly to Rome."]
    runtime.undo()
    assert said(memory) == []


def test_a_late_turn_that_is_undone_is_never_written(memory, monkeypatch):
    runtime = awake(memory)

    def full(drafts, **_):
        raise StorageError("The disk is full.")

    with monkeypatch.context() as refusing:
        refusing.setattr(memory._book, "append", full)
        runtime.say("I fly to Rome.")
    runtime.undo()
    runtime.say("Hello")
    assert [text for role, text in said(memory) if role == "user"] == ["Hello"]


def answering(runtime, reply, text):
    """A turn whose reply is given."""
    organ = runtime._memory.organ
    organ.contribute(Turn(number=9, text=text, seed=0, session="s9"))
    organ.hear(Spoken(text=reply, finish="end"))
    return organ.finish()


def test_a_reply_that_only_says_back_what_was_said_is_not_remembered(memory):
    runtime = awake(memory)
    answering(runtime, "Your phone number is 555-1234.", "My phone number is 555-1234.")
    answering(runtime, "Yes.", "Do you like the sea?")
    answering(runtime, "Clara lives in Bologna, Italy.", "Clara lives in Bologna.")
    assert [text for role, text in said(memory) if role == "assistant"] == [
        "Yes.",
        "Clara lives in Bologna, Italy.",
    ]
