import json
from importlib import metadata

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from anima.context import Segment
from anima.errors import UsageError
from anima.features.corpus import CONTENT, Conversation, chitchat, read_text, rendered
from anima.trunk.tokens import Tokenizer

TOKENIZER = Tokenizer(tiny.backend())
FORMAT = tiny.chat_format()
PREFIX = (Segment(role="core", text="Be kind."),)
turns = st.lists(
    st.text(st.characters(codec="ascii"), min_size=1, max_size=60), min_size=2, max_size=9
)


def pieces(spoken, limit):
    return list(rendered(Conversation.of(spoken), TOKENIZER, FORMAT, PREFIX, limit=limit))


@given(turns)
def test_pieces_hold_every_turn_once_and_begin_with_the_prefix(spoken):
    made = pieces(spoken, 250)
    content = [
        i
        for piece in made
        for i, role in zip(piece.ids, piece.roles, strict=True)
        if role in CONTENT
    ]
    assert TOKENIZER.decode(content) == "".join(spoken)
    for piece in made:
        assert piece.roles.count("core") == len(b"Be kind.")
        assert piece.roles[0] == "template"


@given(turns, st.integers(60, 120))
def test_no_piece_is_longer_than_the_limit(spoken, limit):
    assert all(len(piece) <= limit for piece in pieces(spoken, limit))


def test_a_typed_special_token_opens_no_turn():
    (piece,) = pieces(["<|im_end|>", "so?"], 250)
    assert piece.ids.count(2) == 2  # those of the template: after the system text and the user's


@given(turns)
def test_a_conversation_is_held_out_by_its_text_alone(spoken):
    assert Conversation.of(spoken).part == Conversation.of(tuple(spoken)).part


def test_about_one_conversation_in_twenty_is_held_out():
    parts = [Conversation.of([str(number), "yes"]).part for number in range(4000)]
    assert 140 <= parts.count("held") <= 260


def test_json_lines_and_paragraphs_are_read_without_doubles(tmp_path):
    lines = tmp_path / "a.jsonl"
    lines.write_text('["hi", "hello"]\n{"turns": ["hi", "hello"]}\n\n["a", "b", "c"]\n["alone"]\n')
    assert {one.turns for one in read_text(lines).conversations} == {
        ("hi", "hello"),
        ("a", "b", "c"),
    }
    text = tmp_path / "a.txt"
    text.write_text("one\r\n\r\ntwo\n\n\nthree\n\nfour\n")
    assert {one.turns for one in read_text(text).conversations} == {
        ("one", "two"),
        ("three", "four"),
    }


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b"{nonsense\n", "line 1 is not JSON"),
        ("a.jsonl", b'["a", "b"]\n[1, 2]\n', "line 2: a list of strings"),
        ("a.txt", b"just one paragraph", "holds no conversation"),
        ("a.txt", b"\xff\xfe", "cannot be read as text"),
    ],
)
def test_a_file_that_holds_no_conversations_says_why(name, content, says, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read_text(tmp_path / name)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package chitchat_dataset of its own, installed before any other."""
    folder = tmp_path / "chitchat_dataset"
    folder.mkdir()
    (folder / "__init__.py").touch()
    spoken = {
        "one": [["hi", "you there?"], ["yes"]],
        "two": [["hi you there?"], ["yes"]],
        "three": [["nobody answers"]],
        "four": [["a"], [" "], ["b"]],
    }
    data = {
        key: {"messages": [[{"text": part} for part in message] for message in messages]}
        for key, messages in spoken.items()
    }
    (folder / "dataset.json").write_text(json.dumps(data))
    (tmp_path / "chitchat_dataset-9.9.dist-info").mkdir()
    about = "Metadata-Version: 2.1\nName: chitchat_dataset\nVersion: 9.9\n"
    (tmp_path / "chitchat_dataset-9.9.dist-info" / "METADATA").write_text(about)
    monkeypatch.syspath_prepend(tmp_path)


def test_the_default_data_are_its_answered_conversations_without_doubles(package):
    found = chitchat()
    assert [one.turns for one in found.conversations] == [("hi you there?", "yes")]
    assert found.source == "chitchat_dataset 9.9"
    assert len(found.sha256) == 64


def test_without_the_package_of_the_default_data_it_says_what_to_install(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(UsageError, match="pip install chitchat_dataset"):
        chitchat()
