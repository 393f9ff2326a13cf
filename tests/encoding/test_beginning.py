import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

from anima.encoding.beginning import beginning

WORDS = ("[UNK]", "[CLS]", "[SEP]", "sea", "salt", "##y", "##s", "e", "##e", "海", ".", "x", "##x")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """One as BERT's, of few words, that keeps 32 tokens."""
    made = Tokenizer(WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = BertNormalizer()
    made.pre_tokenizer = BertPreTokenizer()
    made.post_processor = BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    made.enable_truncation(32)
    return made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "salty seas.",
        "salty seas. " * 5_000,
        " " * 40_000 + "salty seas. " * 5_000,
        "x" * 16_380 + " salty seas" * 5_000,  # the first cut is in a word
        "x" * 100_000,  # one unknown token
        "salty " * 29 + "x" * 100_000 + " seas" * 100,
        "海" * 50_000,
        "e\u0301" * 50_000,
        "\u0301 " * 50_000 + "sea",
        "\x00" * 50_000 + "sea " * 50,
    ],
    ids=range(11),
)
def test_the_beginning_has_the_tokens_that_all_of_the_text_has(
    tokenizer: Tokenizer, text: str
) -> None:
    assert beginning(tokenizer, text).ids == tokenizer.encode(text).ids


def test_a_very_long_text_is_not_read_to_its_end(tokenizer: Tokenizer) -> None:
    found = beginning(tokenizer, "salty seas. " * 100_000)
    assert len(found.ids) == 32
    assert sum(len(part.ids) for part in found.overflowing) < 10_000
