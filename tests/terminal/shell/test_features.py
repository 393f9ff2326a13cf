import json
from pathlib import Path

import planted
import pytest
import tiny

from anima.features.labels import FeatureLabel, Labels, read_labels, write_labels

from .conftest import Anima

RAIN = FeatureLabel(
    feature=3, label="rain at night", density=0.02, maximum=12.5, promoted=(" rain", " wet"),
    suppressed=(" dry",), contexts=("the «rain» fell", "a line\nfeed"),
)  # fmt: skip
SUMS = FeatureLabel(feature=5, label="arithmetic", density=0.3, maximum=4.0)


@pytest.fixture
def sae(tmp_path: Path) -> str:
    """The folder of an SAE of eight features, two of them labelled."""
    folder = planted.save(tmp_path / "sae", planted.planted())
    write_labels(folder, Labels([RAIN, SUMS]))
    return str(folder)


def test_list_shows_the_densest_first(anima: Anima, sae: str) -> None:
    assert anima("features", "list", "--sae", sae) == (
        0,
        "FEATURE  DENSITY  MAXIMUM  LABEL\n"
        "5        30%      4        arithmetic\n"
        "3        2.0%     12.5     rain at night\n",
        "",
    )
    code, out, err = anima("features", "list", "--by", "number", "-n", "1", "--sae", sae)
    assert (code, out.splitlines()[1][:1], err) == (0, "3", "… and 1 more: -n 2 shows all.\n")


def test_search_finds_by_label_and_promoted_tokens(anima: Anima, sae: str) -> None:
    for words in (("night",), ("wet",), ("#3",)):
        assert anima("features", "search", *words, "--sae", sae)[1].endswith("rain at night\n")
    found = json.loads(anima("features", "search", "sums", "arithmetic", "--json", "--sae", sae)[1])
    assert [each["feature"] for each in found] == [5]
    assert anima("features", "search", "xyzzy", "--sae", sae) == (
        0, "", "No feature has to do with 'xyzzy'.\n",
    )  # fmt: skip


def test_show_says_when_a_feature_is_active_and_what_it_does(anima: Anima, sae: str) -> None:
    assert anima("features", "show", "3", "--sae", sae)[1] == (
        "feature     3\n"
        "label       rain at night\n"
        "active on   2.0% of tokens, up to 12.5\n"
        "promotes    rain, wet\n"
        "suppresses  dry\n"
        "  the «rain» fell\n"
        "  a line feed\n"
    )
    assert json.loads(anima("features", "show", "3", "--json", "--sae", sae)[1]) == RAIN.as_json()


def test_a_name_of_ones_own_is_kept(anima: Anima, sae: str) -> None:
    code, _, err = anima("features", "name", "3", "storms", "--sae", sae)
    assert (code, err) == (0, "#3 is now called 'storms'; it was 'rain at night'.\n")
    assert "storms (yours)" in anima("features", "show", "3", "--sae", sae)[1]
    assert read_labels(Path(sae)).label(5) == "arithmetic"


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("show", "7"), 2, "There is no label of feature 7"),
        (("name", "3", " "), 2, "cannot be empty"),
        (("search", " "), 2, "the words are empty"),
        (("shw", "3"), 2, "Did you mean 'show'?"),
    ],
)
def test_what_cannot_be_is_said(
    anima: Anima, sae: str, arguments: tuple[str, ...], code: int, error: str
) -> None:
    got, out, err = anima("features", *arguments, "--sae", sae)
    assert (got, out) == (code, "")
    assert error in err


def test_an_sae_that_is_nowhere_or_without_labels_is_said(anima: Anima, tmp_path: Path) -> None:
    code, _, err = anima("features", "list", "--sae", "nowhere")
    assert code == 1
    assert "There is no SAE 'nowhere'" in err
    bare = planted.save(tmp_path / "bare", planted.planted())
    code, _, err = anima("features", "list", "--sae", str(bare))
    assert code == 1
    assert "have no labels yet: anima features label makes them" in err


def test_check_says_whether_an_sae_belongs_to_the_model(anima: Anima, tmp_path: Path) -> None:
    model = str(tiny.save(tmp_path / "tiny"))
    whole = planted.save(tmp_path / "whole", planted.planted("standard", features=32, name="whole"))
    code, out, _ = anima("features", "check", "--model", model, "--sae", str(whole), "--json")
    found = json.loads(out)
    assert (code, found["sane"]) == (1, False)  # it reads the positive half of each direction only
    assert "does not fit this model" in found["why"]
    narrow = planted.save(tmp_path / "narrow", planted.planted(width=16))
    code, _, err = anima("features", "check", "--model", model, "--sae", str(narrow))
    assert code == 1
    assert "16" in err
    assert "32" in err


def test_label_reads_texts_of_ones_own_and_keeps_the_names_that_one_gave(
    anima: Anima, tmp_path: Path
) -> None:
    model = str(tiny.save(tmp_path / "tiny"))
    folder = planted.save(tmp_path / "whole", planted.planted("standard", features=32))
    texts = tmp_path / "talks.txt"
    words = ("rain", "sums", "bread", "night", "glass", "wind")
    lines = [
        f"Tell me of {word} number {n}.\n\nThe {word} is {n}." for n in range(9) for word in words
    ]
    texts.write_text("\n\n".join(lines), encoding="utf-8")
    given = ("features", "label", "--text", str(texts), "--tokens", "1000")
    code, out, err = anima(*given, "--sae", str(folder), "--model", model)
    assert (code, out) == (0, f"{folder}\n"), err
    found = read_labels(folder)
    assert len(found) > 8
    first = next(iter(found)).feature
    anima("features", "name", str(first), "mine", "--sae", str(folder))
    assert anima(*given, "--sae", str(folder), "--model", model)[0] == 0
    assert read_labels(folder).label(first) == "mine"


def test_an_sae_that_neuronpedia_does_not_know_is_said(anima: Anima, sae: str) -> None:
    code, out, err = anima("features", "label", "--neuronpedia", "--sae", sae)
    assert (code, out) == (1, "")
    assert "names no page of Neuronpedia" in err
    assert read_labels(Path(sae)).label(3) == "rain at night"
