import json
from pathlib import Path

import pytest
import tiny
from prism_rig import dense, mode

from anima.home import Home
from anima.prism.mode import Calibration, read_mode, write_mode
from anima.prism.shelf import Shelf

from .conftest import Anima

LIKE = (
    "The river sings at night.\nStars lean over the roof.\nA lamp dreams of the sea.\nFog hums.\n"
)
UNLIKE = "The rate is 4 percent.\nClose the valve.\nThe part weighs 3 kg.\nPress the button.\n"


@pytest.fixture
def shelf(home: Home, tmp_path: Path) -> Shelf:
    """The modes of one's own for `--model odd/model`: a measured one, a dense one, a damaged one."""
    kept = Shelf(own=home.modes("odd/model"))
    measured = Calibration(kl_p95=1.02, kl_mean=0.3, prompts=8, tokens=256)
    kept.save(mode(calibration=measured, sampling={"temperature": 0.9}))
    kept.save(dense())
    assert kept.own is not None
    (kept.own / "torn.toml").write_text("schema = ", encoding="utf-8")
    return kept


ON = ("--model", "odd/model")


@pytest.mark.usefixtures("shelf")
def test_list_shows_every_mode_and_what_is_wrong_with_one(anima: Anima) -> None:
    code, out, err = anima("mode", "list", *ON)
    assert (code, out) == (
        0,
        "MODE   FROM  STRENGTH  KL P95  PUSHES\n"
        "dream  own   1         1.02    1       How dream speaks.\n"
        "plain  own   1                 1\n"
        "torn   own                             ! cannot be read, see below\n",
    )
    assert err.startswith("torn: ")
    assert "is not valid TOML" in err


@pytest.mark.usefixtures("shelf")
def test_list_as_json_holds_the_same(anima: Anima) -> None:
    rows = {row["name"]: row for row in json.loads(anima("mode", "list", "--json", *ON)[1])}
    assert rows["dream"] == {
        "name": "dream", "origin": "own", "description": "How dream speaks.", "strength": 1.0,
        "kl_p95": 1.02, "features": 1, "vectors": 0, "problem": None,
    }  # fmt: skip
    assert "not valid TOML" in rows["torn"]["problem"]


def test_a_model_without_modes_is_told_how_to_make_them(anima: Anima) -> None:
    code, out, err = anima("mode", "list", "--model", "odd/other")
    assert (code, out) == (0, "")
    assert err == "There is no mode for odd/other yet: anima mode build makes three.\n"


@pytest.mark.usefixtures("shelf")
def test_show_says_what_a_mode_is_made_of(anima: Anima) -> None:
    assert anima("mode", "show", "dream", *ON)[1] == (
        "name         dream (own)\n"
        "description  How dream speaks.\n"
        "model        tiny, layer 1\n"
        "SAE          planted\n"
        "strength     1\n"
        "sampling     temperature 0.9\n"
        "measured     KL p95 1.02, mean 0.30 nats over 256 tokens of 8 replies\n"
        "\n"
        "OPERATION  OF ‖h‖  PUSH\n"
        "clamp      30%     #3 x\n"
    )
    shown = json.loads(anima("mode", "show", "dream", "--json", *ON)[1])
    assert (shown["name"], shown["feature"][0]["strength"]) == ("dream", 0.3)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("show", "draem"), "There is no mode 'draem'. Did you mean dream?"),
        (("show", "torn"), "is not valid TOML"),
        (("remove", "draem", "--yes"), "Did you mean dream?"),
        (("remove", "dream"), "There is nobody to ask: add --yes"),
        (("export", "draem"), "Did you mean dream?"),
        (("import", "nowhere.toml"), "There is no mode at nowhere.toml"),
        (("calibrate", "draem"), "Did you mean dream?"),
        (("build", "pirate"), "No texts come with Anima for 'pirate'"),
        (("create", "Off", "--like", "a", "--unlike", "b"), "'Off' cannot name a mode"),
        (("create", "dream", "--like", "a", "--unlike", "b"), "choose another name, or add"),
        (("create", "new", "--like", "a", "--unlike", "b"), "There is no file of texts at a"),
        (("create", "new", "--like", "a"), "--unlike"),
        (("lst",), "Did you mean 'list'?"),
    ],
)
@pytest.mark.usefixtures("shelf")
def test_what_cannot_be_is_said_before_a_model_is_loaded(
    anima: Anima, arguments: tuple[str, ...], error: str
) -> None:
    given = arguments if arguments == ("lst",) else (*arguments, *ON)
    code, out, err = anima("mode", *given)
    assert (code, out) == (2, "")
    assert error in err


@pytest.mark.parametrize(
    ("like", "error"),
    [
        ("", "is empty: put a text in each line"),
        ("one\ntwo\n", "holds 2 texts: at least 4"),
        (UNLIKE, "4 texts are on both sides"),
    ],
)
def test_a_contrast_that_says_nothing_is_refused(
    anima: Anima, tmp_path: Path, like: str, error: str
) -> None:
    (tmp_path / "like").write_text(like, encoding="utf-8")
    (tmp_path / "unlike").write_text(UNLIKE, encoding="utf-8")
    files = ("--like", str(tmp_path / "like"), "--unlike", str(tmp_path / "unlike"))
    code, _, err = anima("mode", "create", "new", *files, *ON)
    assert code == 2
    assert error in err


def test_a_mode_goes_into_a_file_and_comes_back(anima: Anima, shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    assert anima("mode", "export", "dream", str(file), *ON)[:2] == (0, f"{file}\n")
    assert read_mode(file) == shelf.load("dream")
    code, _, err = anima("mode", "rm", "dream", "--yes", *ON)
    assert (code, err) == (0, "Removed dream.\n")
    assert "dream" not in shelf.names()
    code, _, err = anima("mode", "import", str(file), *ON)
    assert (code, err) == (
        0,
        "Imported dream. /mode dream or anima --mode dream uses it.\n"
        "It was made for tiny, and is kept for odd/model: --model.\n",
    )
    assert shelf.names()["dream"] == "own"


@pytest.mark.parametrize("word", ["remove", "delete"])
def test_other_words_for_rm_are_known(anima: Anima, shelf: Shelf, word: str) -> None:
    assert anima("mode", word, "dream", "--yes", *ON)[0] == 0
    assert "dream" not in shelf.names()


def test_an_import_over_a_mode_asks_first(anima: Anima, shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    write_mode(file, mode(strength=0.1))
    assert "There is nobody to ask" in anima("mode", "import", str(file), *ON)[2]
    assert "Nothing was imported" in anima("mode", "import", str(file), *ON, answer="n\n")[2]
    assert shelf.load("dream").features[0].strength == 0.3
    assert anima("mode", "import", str(file), *ON, answer="y\n")[0] == 0
    assert shelf.load("dream").features[0].strength == 0.1


def test_a_mode_that_is_not_there_is_refused_before_the_model_is_loaded(anima: Anima) -> None:
    code, _, err = anima("-p", "hi", "--mode", "draem", "--model", "odd/model")
    assert code == 2
    assert "There is no mode 'draem'" in err


def test_a_mode_is_made_from_texts_calibrated_and_used(anima: Anima, tmp_path: Path) -> None:
    model = str(tiny.save(tmp_path / "tiny"))
    (tmp_path / "like").write_text(LIKE, encoding="utf-8")
    (tmp_path / "unlike").write_text(UNLIKE, encoding="utf-8")
    files = ("--like", str(tmp_path / "like"), "--unlike", str(tmp_path / "unlike"))
    code, out, err = anima("mode", "create", "poem", *files, "--model", model, "--layer", "1")
    assert code == 0, err
    assert out.splitlines()[0].split() == ["TRIED,", "AT", "EQUAL", "KL", "SCORE", "REPETITION"]
    assert "difference of means" in out
    assert "poem pushes up to" in err
    code, _, err = anima("mode", "calibrate", "poem", "--model", model)
    assert code == 0, err
    assert err.startswith("poem: KL p95 was ")
    spoken = ("--model", model, "--max-tokens", "3", "--output", "json")
    turn = json.loads(anima("-p", "Hello", "--mode", "poem", *spoken)[1])
    assert turn["mode"] == "poem"
    assert [push["label"] for push in turn["pushes"]] == ["difference of means"]
