import json
from pathlib import Path

import pytest

from anima.home import Home

from .conftest import Anima
from .memory_rig import Letters, folder, rows, tampered, texts

pytestmark = pytest.mark.usefixtures("at_noon")


def test_verify_gives_three_verdicts_and_an_exit_code(
    anima: Anima, remembered: list[str], home: Home, tmp_path: Path
) -> None:
    assert anima("memory", "verify") == (
        0,
        "chain          whole, 3 records\n"
        "pinned head    there is no seal: anima memory seal makes one\n"
        "unpinned tail  all 3 records\n",
        "",
    )
    kept = tmp_path / "elsewhere.json"
    assert anima("memory", "seal", "--to", str(kept)) == (
        0, f"{kept}\n", f"Sealed 3 records; the last anchor is {remembered[2]}.\n",
    )  # fmt: skip
    anima("memory", "put", "later")
    assert anima("memory", "verify", "--expect", str(kept))[1].splitlines()[1:] == [
        f"pinned head    as {kept} says", "unpinned tail  1 record since the seal",
    ]  # fmt: skip
    tampered(home, "UPDATE entries SET digest = zeroblob(32) WHERE seq = 2")
    code, out, err = anima("memory", "verify", "--json")
    assert (code, json.loads(out)["whole"], json.loads(out)["chain"]["broken"]) == (1, False, 2)
    code, out, err = anima("memory", "list")
    assert (code, out, err.startswith("anima: Line 2 of the memory is not what was")) == (
        1,
        "",
        True,
    )


def test_repair_keeps_what_holds(anima: Anima, remembered: list[str], home: Home) -> None:
    assert anima("memory", "repair")[0] == 2  # nothing is damaged
    tampered(home, "UPDATE entries SET digest = zeroblob(32) WHERE seq = 3")
    code, out, err = anima("memory", "repair")
    assert (code, err.splitlines()[0]) == (0, "Kept 2 records.")
    assert Path(out.strip()).is_file()
    assert anima("memory", "verify")[0] == 0
    assert len(texts(anima)) == 2
    assert anima("memory", "list")[2] == ""  # the persona's commit knows the shorter one


def test_repair_reads_what_is_left_of_a_ledger_that_was_cut_off(
    anima: Anima, home: Home, tmp_path: Path
) -> None:
    told = [{"text": f"{number}: {'word ' * 40}".strip()} for number in range(200)]
    anima("memory", "put", "--jsonl", rows(tmp_path / "told.jsonl", *told))
    ledger = folder(home) / "memory.sqlite"
    cut = ledger.read_bytes()[: ledger.stat().st_size // 2]
    ledger.write_bytes(cut)
    code, out, err = anima("memory", "list")
    assert (code, "anima memory repair keeps what is whole" in err) == (1, True)
    code, out, err = anima("memory", "repair")
    assert code == 0, err
    assert Path(out.strip()).read_bytes() == cut
    kept = texts(anima)
    assert kept == [each["text"] for each in told[: len(kept)]]
    assert len(kept) > 50
    assert anima("memory", "verify")[0] == 0


def test_repair_begins_anew_where_nothing_can_be_read_and_keeps_what_there_was(
    anima: Anima, remembered: list[str], home: Home
) -> None:
    anima("memory", "seal")
    (folder(home) / "memory.sqlite").write_bytes(b"no ledger")
    code, out, err = anima("memory", "repair")
    assert code == 0
    assert err.startswith("Nothing of it can be read: ")
    assert "An empty memory begins" in err
    aside = Path(out.strip())
    assert aside.read_bytes() == b"no ledger"
    assert aside.with_name(f"{aside.name}.key").is_file()
    assert aside.with_suffix(".seal.json").is_file()
    assert anima("memory", "verify")[0] == 0
    anima("memory", "put", "Anew.")
    assert texts(anima) == ["Anew."]


@pytest.mark.parametrize("kind", ["lmdb", "duckdb", "json"])
def test_another_kind_of_ledger_holds_the_same_and_is_used_from_then_on(
    anima: Anima, remembered: list[str], home: Home, kind: str
) -> None:
    if kind != "json":
        pytest.importorskip(kind)
    anima("memory", "seal")
    before = anima("memory", "export", "-")[1]
    code, out, err = anima("memory", "convert", kind)
    assert (code, err) == (0, f"The memory is kept in {kind} now.\n")
    assert out == f"{folder(home) / f'memory.{kind}'}\n"
    assert anima("memory", "export", "-")[1] == before
    assert anima("memory", "verify")[1].splitlines()[1] == "pinned head    as seal.json says"
    assert sorted(path.name for path in folder(home).glob("*memory.*")) == sorted(
        [f".memory.{kind}.lock", f"memory.{kind}", f"memory.{kind}.key"]
    )
    assert len(anima("memory", "put", "more")[1]) == 17
    assert anima("memory", "convert", kind)[0] == 2


def test_another_encoder_makes_every_key_anew_and_keeps_the_ledger_as_it_was(
    anima: Anima, remembered: list[str], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anima.encoding.open_encoder", lambda name, home, **_: Letters(name))
    monkeypatch.setenv("ANIMA_ENCODER", "trunk")
    anima("memory", "seal")
    code, out, err = anima("memory", "convert", "--encoder", "trunk")
    assert (code, err.splitlines()[0]) == (
        0, "Every line has a vector by trunk now, and a new anchor.",
    )  # fmt: skip
    assert Path(out.strip()).parent == folder(home) / "recovered"
    found = json.loads(anima("memory", "stats", "--json")[1])
    assert (found["encoder"], found["key width"], found["lines"]) == ("trunk", 26, 3)
    assert not found["head"].startswith(remembered[2])
    assert anima("memory", "verify")[0] == 0
    assert len(texts(anima)) == 3
    code, _, err = anima("memory", "convert", "--encoder", "trunk")
    assert (code, "made by trunk already" in err) == (2, True)
    monkeypatch.setenv("ANIMA_ENCODER", "bge")  # for new memories: this one has its own
    assert anima("memory", "put", "A fourth line.")[0] == 0
    assert json.loads(anima("memory", "stats", "--json")[1])["encoder"] == "trunk"


def test_an_export_is_read_in_elsewhere(
    anima: Anima, remembered: list[str], tmp_path: Path
) -> None:
    target = tmp_path / "out.jsonl"
    anima("memory", "forget", "2")
    assert anima("memory", "export", str(target)) == (
        0, "", f"Wrote 4 records to {target}.\n",
    )  # fmt: skip
    assert anima("memory", "export", str(target), answer="n\n")[2].endswith(
        "Nothing was written.\n"
    )
    assert anima("memory", "import", str(target))[2] == (
        "0 lines remembered.\n2 lines were there already.\n"
    )
    anima("persona", "new", "bob")
    assert anima("memory", "import", str(target), "--persona", "bob")[2] == "2 lines remembered.\n"
    anima("memory", "forget", "1", "--persona", "bob")
    assert anima("memory", "import", str(target), "--persona", "bob")[2] == (
        "0 lines remembered.\n2 lines were there already. 1 of them no longer counts here: "
        "forgotten stays forgotten.\n"
    )
    anima("memory", "put", "--jsonl", str(target), "--persona", "bob")  # appends as it is given
    assert len(texts(anima, "--persona", "bob")) == 3
    anima("persona", "new", "carol")
    anima("memory", "import", str(target), "--persona", "carol")
    assert texts(anima, "--persona", "carol") == texts(anima)


def test_what_was_closed_or_merged_is_so_where_it_is_read_in(anima: Anima, tmp_path: Path) -> None:
    for text, at in (
        ("I live in Paris.", "2026-01-01"),
        ("I live in Paris.", "2026-02-01"),
        ("I moved to Rome.", "2026-05-01"),
    ):
        anima("memory", "put", "--race", text, "--time", f"{at}T00:00:00Z")
    target = str(tmp_path / "out.jsonl")
    anima("memory", "export", target)
    anima("persona", "new", "bob")
    anima("memory", "put", "An earlier line.", "--persona", "bob")
    for said in ("2 lines remembered.\n", "0 lines remembered.\n3 lines were there already.\n"):
        code, _, err = anima("memory", "import", target, "--persona", "bob")
        assert (code, err) == (0, said)
        target = str(tmp_path / "bob.jsonl")
        anima("memory", "export", target, "--persona", "bob")
    held = json.loads(anima("memory", "history", "user", "city", "--json", "--persona", "bob")[1])
    assert [(each["seq"], each["value"], each["until"]) for each in held] == [
        (2, "paris", "2026-05-01T00:00:00+00:00"), (4, "rome", None),
    ]  # fmt: skip
    assert (
        "held until  2026-05-01T00:00:00+00:00\n"
        in anima("memory", "show", "2", "--persona", "bob")[1]
    )
