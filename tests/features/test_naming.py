import pytest

from anima.features.contexts import Sight
from anima.features.naming import Background, name

PLAIN = Background(counts={"the": 500, "a": 300, "you": 200, "see": 2}, total=10_000)


def sight(text, **more):
    """`one two *peak* three`: the peak is the word in stars."""
    before, peak, after = text.split("*")
    return Sight(**{
        "word": peak, "token": peak, "before": tuple(before.split()), "after": tuple(after.split()),
        "first": not before.strip(), "last": not after.strip(), "reply": False, "position": 0,
        **more,
    })  # fmt: skip


def label(*texts, promoted=(), background=PLAIN, **more):
    return name([sight(text, **more) for text in texts], promoted, background)


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["my *dog* ran", "a *Dogs* home", "his *dog* ate", "no *dog* here"], "“dog”"),
        (["i see *you* soon", "to see *you* there", "see *you* at", "see *you* now"],
         "see “you”"),
        (["in *New* York", "to *New* York", "from *New* York", "old *New* York"], "“New” york"),
        (["*Oh* no", "*Oh* yes", "*oh* my", "*Oh* well"], "“Oh”, start of a user's turn"),
        (["a *cat* x", "the *dog* y", "my *cat* z", "one *dog* w"], "“cat”, “dog”"),
        (["at *5* pm", "on *12* may", "in *1999* he", "by *30* men"], "numbers (5, 12, 1999)"),
        (["go *running* x", "the *swimming* y", "my *jumping* z", "by *singing* w"],
         "words in -ing (running, swimming, jumping)"),
        (["met *Anna* x", "the *Tom* y", "my *Sue* z", "by *Bob* w"], "names (anna, tom, sue)"),
        (["very *good* x", "very *bad* y", "very *sad* z", "very *mad* w"],
         "after “very” (good, bad, sad)"),
        (["x *one* whale", "y *two* whale", "z *tree* whale", "w *fog* whale"],
         "before “whale” (one, two, tree)"),
        (["*Hello* a b", "*Nice* c d", "*Well* e f", "*Good* g h"],
         "start of a user's turn (hello, nice, well)"),
        (["a b *one*", "c d *two*", "e f *tree*", "g h *four*"],
         "end of a user's turn (one, two, tree)"),
        (["the ship x *one* a", "b ship y *two* c", "d ship e *tree* f", "g ship h *fog* i"],
         "about ship (one, two, tree)"),
        (["a b *one* c", "d e *two* f", "g h *tree* i", "j k *fog* l"],
         "mixed: one, two, tree, fog"),
    ],
)  # fmt: skip
def test_the_first_rule_that_fits_most_peaks_names_the_feature(texts, wanted):
    assert label(*texts) == wanted


def test_what_is_promoted_is_added_where_it_says_something_new():
    texts = ["my *dog* ran", "a *dog* home", "his *dog* ate"]
    assert label(*texts, promoted=["barks", "dogs"]) == "“dog” → barks"


def test_a_common_word_is_told_apart_by_what_is_around_it():
    texts = ["say what *the* ship a", "on ship *the* b", "ship c *the* d", "e ship f *the* g"]
    assert label(*texts) == "“the” near ship"


def test_whose_turn_it_is_is_said_where_it_is_always_the_same():
    assert label("*Oh* no", "*Oh* yes", "*Oh* my", reply=True) == "“Oh”, start of a reply"
    mixed = [sight("*Oh* no", reply=True), sight("*Oh* yes"), sight("*Oh* my")]
    assert name(mixed, (), PLAIN) == "“Oh”, start of a turn"


def test_a_label_stays_short():
    texts = [f"{letter * 30} *{letter * 40}* x" for letter in "abcd"]
    made = label(*texts)
    assert len(made) <= 72
    assert made.endswith("…")


def test_nothing_seen_is_no_label():
    assert name([], ["x"], PLAIN) == ""


def test_the_strongest_peaks_decide():
    strong = [sight("a *dog* b"), sight("c *dog* d")]
    weak = [sight(f"{word} *{word}* {word}", weight=0.2) for word in ("one", "two", "tree", "fog")]
    assert name(strong + weak, (), PLAIN) == "“dog”"
    assert name([sight("a *dog* b"), *weak], (), PLAIN).startswith("mixed: dog")
