import re
from html.parser import HTMLParser

import numpy as np
import pytest

from anima.errors import UsageError
from anima.features import pictures
from anima.features.labels import FeatureLabel, Labels
from anima.features.views import FeatureView, Passing, TokensView

LABEL = FeatureLabel(feature=7, label="“<b>” & co", density=0.01, maximum=4.0)
VIEW = FeatureView(
    activations=np.array([0.5, 1.0, 4.0]),
    tokens=300,
    strongest=[Passing(tokens=(" see", " <you>", "!"), activations=(0.0, 4.0, 1.0), peak=1)],
    usual=[],
)
EFFECTS = [(" soon", 5.0), ("\n", -3.0)]


class Page(HTMLParser):
    """Every tag with its attributes, and the text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.said, self._skipped = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._skipped += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._skipped -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._skipped:
            self.said.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.said).split())


def checked(text):
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag != "link"
        assert not (tag == "script" and "src" in attributes), "the page asks for something"
    assert "prefers-color-scheme: dark" in text
    return page


def axis_titles(text):
    return re.findall(r'"title":\{"text":"((?:[^"\\]|\\.)*)"', text)


def test_a_feature_s_page_says_what_it_is_and_shades_where_it_is_on():
    text = pictures.feature_page(LABEL, VIEW, EFFECTS, sae="tiny-l1", source="talks")
    page = checked(text)
    assert "“<b>” & co" in page.text
    assert "Active on 1.00% of 300 content tokens of talks" in page.text
    shaded = [one for tag, one in page.tags if tag == "span" and "--a" in one.get("style", "")]
    assert [one["style"] for one in shaded] == ["--a: 0.000", "--a: 0.750", "--a: 0.188"]
    assert [one.get("class") for one in shaded] == [None, "peak", None]
    assert "see <you>!" in page.text.replace("see <you> !", "see <you>!")


def test_axes_have_titles_with_units():
    text = pictures.feature_page(LABEL, VIEW, EFFECTS, sae="s", source="t")
    titles = axis_titles(text)
    assert {
        "activation (units of the SAE)", "tokens (count)", "logit effect (standard deviations)",
        "token",
    } <= set(titles)  # fmt: skip


def test_many_tokens_in_one_bin_are_counted_on_a_logarithm():
    many = FeatureView(
        activations=np.array([1.0] * 500 + [9.0]), tokens=900, strongest=[], usual=[]
    )
    text = pictures.feature_page(LABEL, many, EFFECTS, sae="s", source="t")
    assert "tokens (count, logarithmic)" in axis_titles(text)


def test_a_silent_feature_has_a_page():
    silent = FeatureView(activations=np.zeros(0), tokens=10, strongest=[], usual=[])
    assert (
        "0.00%" in checked(pictures.feature_page(LABEL, silent, EFFECTS, sae="s", source="t")).text
    )


def test_the_heatmap_names_features_and_tokens_and_marks_turns():
    view = TokensView(
        tokens=(" see", "<i>", "ok"), roles=("user", "user", "assistant"), features=(7, 9),
        shares=np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.5]]),
    )  # fmt: skip
    text = pictures.tokens_page(view, Labels([LABEL]), sae="s", source="<talk>")
    page = checked(text)
    assert "Features over <talk>" in page.text
    assert r"\u2423see" in text
    assert "no label  9" in text
    assert text.count('"dash":"dot"') == 1
    assert "<i>" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)


def test_a_text_that_no_feature_marks_is_refused():
    view = TokensView(tokens=("a",), roles=("user",), features=(), shares=np.zeros((0, 1)))
    with pytest.raises(UsageError, match="longer"):
        pictures.tokens_page(view, Labels(), sae="s", source="t")


def test_the_map_has_a_point_for_each_feature_with_its_label():
    places = np.array([[0.0, 1.0], [2.0, 3.0]])
    text = pictures.map_page(places, [7, 9], Labels([LABEL]), sae="s")
    page = checked(text)
    assert "2 decoder rows" in page.text
    assert "no label" in text
    assert "t-SNE, first axis (no unit)" in axis_titles(text)
