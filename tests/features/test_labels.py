import json

import pytest

from anima.errors import FeatureError, UsageError
from anima.features.labels import (
    FILE,
    FeatureLabel,
    Labels,
    read_labels,
    search,
    words,
    write_labels,
)


def label(feature, text, promoted=(), contexts=(), **more):
    return FeatureLabel(
        feature=feature, label=text, density=0.01, maximum=3.5, promoted=tuple(promoted),
        contexts=tuple(contexts), **more,
    )  # fmt: skip


CATS = Labels(
    [
        label(0, "“catalog”", ["catalogs"], ["look into the «catalog» of it"]),
        label(1, "“cat”", ["dog"], ["my «cats» sleep"]),
        label(2, "numbers (5, 30)", ["pm"], ["my cat at «5» today"]),
        label(3, "“movie”", [], ["stories and «movies»"]),
    ]
)


def found(labels, text):
    return [each.label.feature for each in search(labels, text)]


def test_what_is_written_is_read_again(tmp_path):
    labels = Labels([label(3, "three", ["a", "“b”"], ["x «y» z"]), label(1, "one", edited=True)])
    path = write_labels(tmp_path, labels)
    assert path.name == FILE
    assert list(read_labels(tmp_path)) == list(labels)
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert first["feature"] == 1
    assert first["edited"] is True


def test_a_folder_without_labels_has_none(tmp_path):
    assert len(read_labels(tmp_path)) == 0


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"feature": 1}', '{"feature":1,"label":2,"density":0,"maximum":1}']
)
def test_a_damaged_line_is_named_with_its_number(tmp_path, line):
    write_labels(tmp_path, Labels([label(0, "fine")]))
    with (tmp_path / FILE).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(FeatureError, match=r"labels\.jsonl, line 2"):
        read_labels(tmp_path)


def test_a_line_that_a_person_wrote_needs_no_more_than_they_wrote(tmp_path):
    text = '{"feature": 7, "label": "pirates", "density": 0.1, "maximum": 2, "edited": true}\n\n'
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    assert read_labels(tmp_path).get(7) == FeatureLabel(
        feature=7, label="pirates", density=0.1, maximum=2.0, edited=True
    )


def test_a_word_is_not_found_inside_another():
    assert found(CATS, "cat") == [1, 2]
    assert found(CATS, "catalog") == [0]
    assert found(CATS, "alog") == []


def test_a_label_counts_more_than_a_context_and_plurals_are_the_same_word():
    assert found(CATS, "cats")[0] == 1
    assert found(CATS, "movies") == [3]
    assert found(CATS, "Story") == [3]


def test_a_label_that_says_it_all_comes_before_one_with_a_word_in_its_contexts():
    labels = Labels([label(0, "“see”", [], ["i «see» you"]), label(1, "see “you”")])
    assert found(labels, "see you") == [1, 0]


def test_a_label_of_one_word_comes_before_a_list_and_one_without_a_word_can_be_found():
    labels = Labels(
        [label(0, "“sad”, “eve”, “stairs”, “coaster”"), label(1, "“sad”"), label(2, "“.”", ["sad"])]
    )
    assert found(labels, "sad") == [1, 0, 2]


def test_features_with_all_words_come_before_those_with_one():
    labels = Labels([label(0, "“sea”"), label(1, "“sea” near blue"), label(2, "“blue”")])
    assert found(labels, "blue sea")[0] == 1


def test_a_number_is_a_feature():
    assert found(CATS, "#3") == [3]
    assert found(CATS, "2") == [2]
    assert found(CATS, "#99") == []
    assert found(CATS, "30") == [2]  # no feature has this number: it is a word


def test_nothing_is_found_for_nothing():
    assert found(CATS, " ?! ") == []
    assert found(Labels(), "cat") == []


def test_search_gives_as_many_as_asked_for_and_find_is_the_same_order():
    assert len(search(CATS, "cat", 1)) == 1
    assert CATS.find("cat") == [1, 2]
    assert CATS.label(1) == "“cat”"
    assert CATS.label(50) == ""


def test_a_person_s_name_is_kept_when_labelled_again():
    mine = CATS.named(1, "  my   pet ")
    again = Labels([label(1, "“cat” again"), label(2, "new")]).keeping(mine)
    assert again.get(1).label == "my pet"
    assert again.get(1).edited
    assert again.label(2) == "new"


def test_an_edited_feature_that_is_never_active_now_stays():
    again = Labels([label(2, "new")]).keeping(CATS.named(1, "pet"))
    assert again.label(1) == "pet"


def test_a_name_needs_words_and_a_feature():
    with pytest.raises(UsageError, match="99"):
        CATS.named(99, "x")
    with pytest.raises(UsageError, match="empty"):
        CATS.named(1, "  ")


@pytest.mark.parametrize(
    ("one", "many"),
    [("story", "stories"), ("movie", "movies"), ("box", "boxes"), ("class", "classes"),
     ("day", "days"), ("dish", "dishes")],
)  # fmt: skip
def test_singular_and_plural_are_one_word(one, many):
    assert words(one) == words(many)


def test_short_words_and_endings_that_are_no_plural_stay():
    assert words("is this bus us it's") == ["is", "this", "bus", "us", "it's"]
