import pytest
import tiny
import torch

from anima.context import Segment
from anima.errors import SteeringError
from anima.prism.contrast import Contrast, Reader, means, read_contrast

LIKE = ["one", "two", "three", "four"]
UNLIKE = ["five", "six", "seven", "eight"]


def reader():
    model = tiny.loaded()
    core = (Segment(role="core", text="Be brief."),)
    return Reader(
        trunk=model.trunk, encoder=model.tokenizer, format=tiny.chat_format(), prefix=core
    )


def written(tmp_path, like, unlike):
    paths = (tmp_path / "like.txt", tmp_path / "unlike.txt")
    for path, text in zip(paths, (like, unlike), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def test_a_contrast_is_a_text_in_each_line_blanks_and_repetitions_left_out(tmp_path):
    paths = written(tmp_path, "\n".join([*LIKE, "", " one "]), "\r\n".join(UNLIKE))
    assert read_contrast(*paths) == Contrast(like=tuple(LIKE), unlike=tuple(UNLIKE))


@pytest.mark.parametrize(
    ("like", "unlike", "said"),
    [
        ("", "\n".join(UNLIKE), r"like\.txt is empty"),
        ("\n".join(LIKE), " \n\n", r"unlike\.txt is empty"),
        ("\n".join(LIKE), "one side", r"unlike\.txt holds 1 texts"),
        ("\n".join(LIKE), "\n".join([*UNLIKE, "one"]), "on both sides"),
    ],
)
def test_a_contrast_that_is_empty_or_one_sided_is_refused(tmp_path, like, unlike, said):
    with pytest.raises(SteeringError, match=said):
        read_contrast(*written(tmp_path, like, unlike))


def test_missing_and_unreadable_files_are_named(tmp_path):
    (tmp_path / "like.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SteeringError, match=r"like\.txt cannot be read"):
        read_contrast(tmp_path / "like.txt", tmp_path / "none.txt")
    with pytest.raises(SteeringError, match="no file of texts"):
        read_contrast(tmp_path / "none.txt", tmp_path / "none.txt")


def test_residuals_are_those_of_each_texts_own_tokens_whatever_stands_beside_it():
    texts = ["a", "longer text", "the longest of all texts"]
    together = reader().residuals(texts, 1)
    assert [len(rows) for rows in together] == [len(text) for text in texts]
    for text, rows in zip(texts, together, strict=True):
        (alone,) = reader().residuals([text], 1)
        torch.testing.assert_close(rows, alone, atol=1e-4, rtol=1e-4)


def test_means_count_texts_alike():
    rows = [torch.ones(10, 2), torch.zeros(2, 2)]
    assert means(rows).mean(0).tolist() == [0.5, 0.5]
