import pytest
from prism_rig import dense, mode

from anima.errors import SteeringError
from anima.prism.mode import write_mode
from anima.prism.shelf import Shelf


@pytest.fixture
def shelf(tmp_path):
    (tmp_path / "shipped").mkdir()
    write_mode(tmp_path / "shipped" / "dream.toml", mode())
    return Shelf(own=tmp_path / "own", shipped=tmp_path / "shipped")


def test_own_modes_go_before_shipped_ones_of_the_same_name(shelf):
    shelf.save(mode(strength=0.1))
    shelf.save(dense())
    assert shelf.names() == {"dream": "own", "plain": "own"}
    assert shelf.load("dream").features[0].strength == 0.1
    shelf.remove("dream")
    assert shelf.load("dream").features[0].strength == 0.3
    assert shelf.names() == {"dream": "shipped", "plain": "own"}


def test_an_unknown_mode_names_the_nearest(shelf):
    with pytest.raises(SteeringError, match="Did you mean dream"):
        shelf.load("draem")


def test_a_mode_is_not_overwritten_unless_asked(shelf):
    shelf.save(dense())
    with pytest.raises(SteeringError, match="already"):
        shelf.save(dense(strength=0.4))
    shelf.save(dense(strength=0.4), replace=True)
    assert shelf.load("plain").vectors[0].strength == 0.4


def test_an_exported_mode_is_one_file_that_can_be_taken_in_elsewhere(shelf, tmp_path):
    shelf.save(dense())
    shelf.export("plain", tmp_path / "given.toml")
    other = Shelf(own=tmp_path / "elsewhere")
    assert other.take_in(tmp_path / "given.toml") == dense()
    assert other.load("plain") == dense()


def test_shipped_modes_cannot_be_removed(shelf):
    with pytest.raises(SteeringError, match="of your own"):
        shelf.remove("dream")


def test_a_name_that_leaves_the_folder_is_refused(shelf):
    with pytest.raises(SteeringError, match="cannot name a mode"):
        shelf.load("../shipped/dream")
