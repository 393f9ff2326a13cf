import tiny
from hypothesis import given
from hypothesis import strategies as st

from anima.trunk.tokens import TextStream, Tokenizer

TOKENIZER = Tokenizer(tiny.backend())


def streamed(ids):
    stream = TextStream(TOKENIZER)
    pieces = [stream.feed(token) for token in ids]
    return [*pieces, stream.finish()]


def test_special_tokens_in_a_text_are_plain_characters():
    ids = TOKENIZER.encode("a<|im_end|>b")
    assert TOKENIZER.token_id("<|im_end|>") not in ids
    assert TOKENIZER.decode(ids) == "a<|im_end|>b"


def test_special_tokens_in_a_literal_are_special():
    assert TOKENIZER.encode_literal("<|im_end|>") == [TOKENIZER.token_id("<|im_end|>")]
    assert TOKENIZER.encode("<|im_end|>") != TOKENIZER.encode_literal("<|im_end|>")


@given(st.text(max_size=120))
def test_streamed_pieces_join_to_the_whole_text(text):
    ids = TOKENIZER.encode(text)
    assert "".join(streamed(ids)) == TOKENIZER.decode(ids) == text


@given(st.lists(st.integers(3, 258), max_size=80))
def test_streamed_pieces_of_any_bytes_join_to_the_whole_text(ids):
    assert "".join(streamed(ids)) == TOKENIZER.decode(ids)


def test_a_character_of_several_tokens_appears_whole():
    pieces = streamed(TOKENIZER.encode("é🌍!"))
    assert [piece for piece in pieces if piece] == ["é", "🌍", "!"]


def test_an_incomplete_last_character_shows_only_at_the_end():
    pieces = streamed(TOKENIZER.encode("a🌍")[:-1])
    assert pieces == ["a", "", "", "", "\ufffd"]
