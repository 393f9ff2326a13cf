import hashlib
import json
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anima.errors import (
    AnimaError,
    BusyError,
    CorruptStateError,
    NewerVersionError,
    StateError,
    StorageError,
    UsageError,
)
from anima.home import Home
from anima.persona import Persona, encoding, personas
from anima.persona.archive import MANIFEST, Limits, look, pack, unpack
from anima.persona.names import name_session, names

from .conftest import Ticking
from .samples import contents, flip, observe, turn

Files = dict[str, bytes]
Edit = Callable[[Files], None]


@pytest.fixture
def packed(home: Home, clock: Ticking, ada: Persona, tmp_path: Path) -> Path:
    """Ada in a file, with dreams and a name for her session."""
    place = home.dreams / "ada" / "self_model"
    place.mkdir(parents=True)
    (place / "0001.md").write_text("I am.", encoding="utf-8")
    name_session(home, "ada", str(ada.session), "morning")
    path = tmp_path / "ada.anima.zip"
    pack(home, "ada", path, now=clock())
    return path


def forged(path: Path, edit: Edit, *, relist: bool = True) -> Path:
    """A copy of an archive with other files; its list is made to fit them, but for `relist`."""
    with zipfile.ZipFile(path) as source:
        files = {name: source.read(name) for name in source.namelist()}
    edit(files)
    if relist and MANIFEST in files:
        document = json.loads(files[MANIFEST])
        document["files"] = {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
            if name != MANIFEST
        }
        files[MANIFEST] = json.dumps(document).encode()
    target = path.with_name("forged.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return target


def in_list(**changes: Any) -> Edit:
    def edit(files: Files) -> None:
        files[MANIFEST] = json.dumps(json.loads(files[MANIFEST]) | changes).encode()

    return edit


def put(name: str, content: bytes = b"x") -> Edit:
    return lambda files: files.update({name: content})


def without(name: str) -> Edit:
    return lambda files: files.pop(name) and None


def lived(folder: Path) -> Files:
    """What a persona's folder holds, but for its name and for locks."""
    found = contents(folder)
    return {
        name: found[name] for name in found if name.endswith((".json", ".jsonl", "safetensors"))
    }


def nothing_came_of_it(home: Home) -> bool:
    """Whether only ada is in the home, and nothing of an import beside her."""
    places = [path.name for path in home.personas.iterdir() if path.is_dir()]
    return (places, [path.name for path in home.dreams.iterdir()]) == (["ada"], ["ada"])


def test_a_persona_comes_out_as_it_went_in(
    home: Home, clock: Ticking, ada: Persona, packed: Path, tmp_path: Path
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        before = observe(home, persona)
    elsewhere = Home(root=tmp_path / "other", cache=home.cache, config=home.config)
    assert unpack(elsewhere, packed, "ada") == []
    with Persona.open(elsewhere, "ada", clock=clock) as persona:
        assert persona.notices == ()
        assert observe(elsewhere, persona) == before
        assert persona.file == ada.file
    assert names(elsewhere, "ada") == {str(ada.session): "morning"}
    assert contents(elsewhere.dreams / "ada") == contents(home.dreams / "ada")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in elsewhere.root.rglob("*.json*")}
    assert modes == {0o600}


def test_a_file_is_made_without_a_lock_and_holds_none(
    home: Home, clock: Ticking, ada: Persona, tmp_path: Path
) -> None:
    path = tmp_path / "ada.zip"
    with Persona.open(home, "ada", clock=clock) as persona:
        persona.commit(states={}, records=[turn(3)])
        found = pack(home, "ada", path, now=clock())
    assert (found.persona, found.sessions) == ("ada", 1)
    assert not [name for name in found.files if "lock" in name]
    assert look(path) == found
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".tmp")] == []


def test_what_was_once_cut_away_travels_too(
    home: Home, clock: Ticking, ada: Persona, tmp_path: Path
) -> None:
    (ada.folder / "recovered").mkdir()
    (ada.folder / "recovered" / "x.jsonl").write_bytes(b"x")
    found = pack(home, "ada", tmp_path / "ada.zip", now=clock())
    assert "persona/recovered/x.jsonl" in found.files


def test_an_unknown_persona_and_a_refusing_disk_write_no_file(
    home: Home, clock: Ticking, ada: Persona, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="no persona 'eve'"):
        pack(home, "eve", tmp_path / "x.zip", now=clock())

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(StorageError, match="disk is full"):
        pack(home, "ada", tmp_path / "x.zip", now=clock())
    assert list(tmp_path.glob("*x.zip*")) == []


def test_under_another_name_it_is_another_persona(
    home: Home, clock: Ticking, ada: Persona, packed: Path
) -> None:
    unpack(home, packed, "eve")
    assert personas(home) == ["ada", "eve"]
    with Persona.open(home, "eve", clock=clock) as persona:
        assert persona.file.name == "eve"


def test_a_name_that_is_taken_is_given_up_only_on_demand(
    home: Home, clock: Ticking, ada: Persona, packed: Path
) -> None:
    with Persona.open(home, "ada", clock=clock) as persona:
        before = observe(home, persona)
        persona.commit(states={}, records=[turn(3, "Afterwards")])
    with pytest.raises(UsageError, match="already"):
        unpack(home, packed, "ada")
    unpack(home, packed, "ada", replace=True)
    assert nothing_came_of_it(home)
    with Persona.open(home, "ada", clock=clock) as persona:
        assert observe(home, persona) == before


def test_what_is_in_use_is_not_replaced(
    home: Home, clock: Ticking, ada: Persona, packed: Path
) -> None:
    with Persona.open(home, "ada", clock=clock), pytest.raises(BusyError, match="Close it there"):
        unpack(home, packed, "ada", replace=True)
    assert nothing_came_of_it(home)


def test_a_replacement_that_fails_puts_the_old_one_back(
    home: Home, ada: Persona, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(ada.folder)

    def full(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr("anima.persona.moving.Stage.settle", full)
    with pytest.raises(StorageError):
        unpack(home, packed, "ada", replace=True)
    assert contents(ada.folder) == before
    assert nothing_came_of_it(home)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "persona/../../evil",
        "/etc/evil",
        "persona//etc/evil",
        "persona/./x",
        "persona\\..\\evil",
        "persona/..\\evil",
        "C:/evil",
        "persona/C:evil",
        "persona/x.",
        "persona/NUL",
        "persona/states/com1.json",
        "persona/a\x07b",
        "persona/" + "x" * 400,
        "elsewhere/x",
        "persona",
        "dreams/",
        "persona/states/",
        "persona/lock",
        "dreams/lock.pid",
    ],
)
def test_a_name_that_could_leave_its_folder_is_refused(
    home: Home, packed: Path, name: str, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    path = forged(packed, put(name))
    with pytest.raises(CorruptStateError, match=r"forged\.zip was not imported: .* is refused"):
        unpack(home, path, "eve")
    path.unlink()
    assert [each for each in sorted(tmp_path.rglob("*")) if ".lock" not in each.name] == [
        each for each in before if ".lock" not in each.name
    ]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFBLK])
def test_a_link_or_a_device_is_refused(home: Home, packed: Path, kind: int) -> None:
    with zipfile.ZipFile(packed, "a") as archive:
        entry = zipfile.ZipInfo("persona/link")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(CorruptStateError, match="'persona/link' is a link or a device"):
        unpack(home, packed, "eve")
    assert nothing_came_of_it(home)


@pytest.mark.parametrize(
    ("edit", "relist", "error", "message"),
    [
        (without(MANIFEST), True, StateError, f"there is no {MANIFEST} in it"),
        (without("persona/persona.toml"), True, StateError, r"no persona\.toml in it"),
        (in_list(kind="a cake"), True, StateError, "of another kind"),
        (in_list(schema=9), True, NewerVersionError, r"archive schema is 9.*Update Anima"),
        (in_list(schema=None), True, CorruptStateError, "no schema version"),
        (in_list(files=[1]), False, CorruptStateError, "damaged"),
        (in_list(files={"a": {}}), False, CorruptStateError, "damaged"),
        (put(MANIFEST, b"[" * 100_000), False, CorruptStateError, "damaged"),
        (put("persona/more"), False, CorruptStateError, "differ: 'persona/more'"),
        (without("persona/HEAD.json"), False, CorruptStateError, "differ: 'persona/HEAD.json'"),
        (put("persona/HEAD.json", b"{}"), False, CorruptStateError, "not the size listed"),
        (put("PERSONA/x"), True, CorruptStateError, "is refused"),
        (put("persona/head.JSON"), True, CorruptStateError, "have the same name"),
    ],
)
def test_what_is_no_persona_or_not_as_listed_is_refused(
    home: Home, packed: Path, edit: Edit, relist: bool, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        unpack(home, forged(packed, edit, relist=relist), "eve")
    assert nothing_came_of_it(home)


def test_a_wrong_hash_names_the_file(home: Home, packed: Path) -> None:
    def swap(files: Files) -> None:
        content = bytearray(files["persona/persona.toml"])
        content[0] ^= 1
        files["persona/persona.toml"] = bytes(content)

    with pytest.raises(CorruptStateError, match=r"'persona/persona\.toml' is not what its hash"):
        unpack(home, forged(packed, swap, relist=False), "eve")
    assert nothing_came_of_it(home)


def newer_head(files: Files) -> None:
    document = json.loads(files["persona/HEAD.json"])
    files["persona/HEAD.json"] = signed(document | {"schema": 8})


def newer_profile(files: Files) -> None:
    name = "persona/persona.toml"
    files[name] = files[name].replace(b"schema = 1", b"schema = 8")


def newer_session(files: Files) -> None:
    name = next(name for name in files if name.endswith(".jsonl"))
    files[name] = files[name].replace(b'"schema":1', b'"schema":8')


def newer_state(files: Files) -> None:
    """A state is named by its content, and the head names it with its hash."""
    old = next(name for name in files if name.startswith("persona/states/sampling"))
    content = files.pop(old).replace(b'"schema":1', b'"schema":8')
    digest = hashlib.sha256(content).hexdigest()
    new = f"sampling-{digest[:16]}.json"
    files[f"persona/states/{new}"] = content
    for name in ("persona/HEAD.json", "persona/HEAD.previous.json"):
        document = json.loads(files[name])
        document["states"]["sampling"] = new
        del document["hashes"][Path(old).name]
        document["hashes"][new] = digest
        files[name] = signed(document)


def signed(document: dict[str, Any]) -> bytes:
    """The bytes of a head with the hash that they carry."""
    del document["sha256"]
    digest = hashlib.sha256(encoding.encode(document, sort=True)).hexdigest()
    return encoding.encode({**document, "sha256": digest}) + b"\n"


@pytest.mark.parametrize("edit", [newer_head, newer_profile, newer_session, newer_state])
def test_a_persona_of_a_newer_anima_is_refused(home: Home, packed: Path, edit: Edit) -> None:
    with pytest.raises(NewerVersionError, match=r"forged\.zip: persona.*Update Anima"):
        unpack(home, forged(packed, edit), "eve")
    assert nothing_came_of_it(home)


def test_more_than_the_limits_allow_is_refused_and_can_be_allowed(home: Home, packed: Path) -> None:
    size = look(packed).size
    with pytest.raises(StateError, match=r"takes .* MB, more than .*--max-size"):
        look(packed, Limits(total=size - 1))
    with pytest.raises(StateError, match="files, more than 3"):
        look(packed, Limits(files=3))
    bomb = forged(packed, put("persona/zeros", bytes(80_000_000)))
    with pytest.raises(StateError, match=r"times as large as the file\. .*--max-ratio N"):
        unpack(home, bomb, "eve")
    assert nothing_came_of_it(home)
    unpack(home, bomb, "eve", limits=Limits(ratio=2000))
    assert (home.persona("eve") / "zeros").stat().st_size == 80_000_000


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_unpacked(
    home: Home, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(StorageError, match="Free some space"):
        unpack(home, packed, "eve")
    assert nothing_came_of_it(home)


def test_a_header_that_lies_about_a_size_fills_no_disk(home: Home, packed: Path) -> None:
    path = forged(packed, put("persona/zeros", bytes(1_000_000)))
    content = path.read_bytes()
    true, false = (1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, false))
    with pytest.raises(CorruptStateError):
        unpack(home, path, "eve")
    assert nothing_came_of_it(home)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: setattr(entry, "flag_bits", 1), "is encrypted"),
        (lambda entry: setattr(entry, "compress_type", 14), "compressed in a way"),
    ],
)
def test_what_no_export_writes_is_refused(
    home: Home, packed: Path, change: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    infolist = zipfile.ZipFile.infolist

    def changed(self: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        entries = infolist(self)
        change(entries[0])
        return entries

    monkeypatch.setattr(zipfile.ZipFile, "infolist", changed)
    with pytest.raises(CorruptStateError, match=message):
        look(packed)


def test_two_entries_of_one_name_are_refused(packed: Path) -> None:
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(packed, "a") as archive,
    ):
        archive.writestr("persona/HEAD.json", "{}")
    with pytest.raises(CorruptStateError, match="have the same name"):
        look(packed)


def test_a_damaged_session_comes_along_and_is_named(home: Home, ada: Persona, packed: Path) -> None:
    name = "persona/sessions/20260101-000000-0000.jsonl"
    (notice,) = unpack(home, forged(packed, put(name, b"{}\n")), "eve")
    assert "forged.zip: persona/sessions/20260101-000000-0000.jsonl, line 1, is damaged" in notice


def test_a_persona_that_does_not_open_is_not_imported(
    home: Home, clock: Ticking, ada: Persona, tmp_path: Path
) -> None:
    for name in ("HEAD.json", "HEAD.previous.json"):
        flip(ada.folder / name)
    (home.dreams / "ada").mkdir(parents=True)
    pack(home, "ada", tmp_path / "ada.zip", now=clock())
    with pytest.raises(
        CorruptStateError, match=r"what it holds does not open: .*ada\.zip: persona"
    ):
        unpack(home, tmp_path / "ada.zip", "eve")
    assert nothing_came_of_it(home)


def test_what_is_no_archive_at_all_is_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        look(tmp_path / "nothing.zip")
    with pytest.raises(UsageError, match="There is no file"):
        look(tmp_path)
    (tmp_path / "notes.zip").write_text("Dear diary", encoding="utf-8")
    with pytest.raises(
        CorruptStateError, match=r"notes\.zip cannot be read as an exported persona"
    ):
        look(tmp_path / "notes.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("readme.txt", "hello")
    with pytest.raises(CorruptStateError, match=r"'readme\.txt' is refused"):
        look(tmp_path / "other.zip")


def test_whatever_happens_to_the_bytes_it_is_an_error_of_anima_or_the_same_persona(
    home: Home, ada: Persona, packed: Path, quick: None
) -> None:
    whole = packed.read_bytes()
    dice = random.Random(5)
    path = packed.with_name("hurt.zip")
    refused = 0
    for number in range(150):
        hurt = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            hurt[dice.randrange(len(hurt))] = dice.randrange(256)
        path.write_bytes(hurt[: dice.randrange(len(hurt))] if number % 5 == 0 else hurt)
        try:
            unpack(home, path, f"eve{number}")
        except AnimaError:
            refused += 1
            assert f"eve{number}" not in personas(home)
        else:
            assert lived(home.persona(f"eve{number}")) == lived(ada.folder)
    assert refused > 100


def test_a_file_whose_name_cannot_travel_is_named_at_the_export(
    home: Home, clock: Ticking, ada: Persona, tmp_path: Path
) -> None:
    (ada.folder / "a:b").touch()
    with pytest.raises(StateError, match=r"a:b cannot be exported.*Rename or remove it"):
        pack(home, "ada", tmp_path / "ada.zip", now=clock())
    assert not (tmp_path / "ada.zip").exists()
