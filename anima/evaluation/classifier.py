"""A blind judge of style: a linear classifier over a sentence encoder; knows no feature, no mode.

It is trained on replies of its own (`material.styled_replies`), none of which is used to find or
calibrate anything, and judges in which style of `material.STYLES` a text is written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy

from anima.encoding import Encoder, open_encoder
from anima.errors import CorruptModelError, DownloadError, UsageError
from anima.evaluation.material import STYLES, StyledReplies, styled_replies
from anima.evaluation.statistics import Estimate, bootstrap, bootstrap_macro_f1, by_unit
from anima.evaluation.vocabulary import INSTALL
from anima.home import Home

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Judge = Literal["sentences", "words"]

_INVERSE_REGULARISATION = 10.0
"""C of the logistic regression; from 1 to 100 the held-out accuracy did not depend on it."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How well a classifier does on questions it was not trained on."""

    accuracy: Estimate
    macro_f1: Estimate
    texts: int


class StyleClassifier:
    """Probabilities of the styles of a text."""

    def __init__(self, name: str, pipeline: "Pipeline") -> None:
        self.name = name
        self._pipeline = pipeline
        self._order = [list(pipeline.classes_).index(style) for style in STYLES]

    def probabilities(self, texts: Sequence[str]) -> "numpy.ndarray[Any, Any]":
        """`[n, 4]` in the order of `STYLES`; a row sums to 1. An empty text has even chances."""
        if not texts:
            return numpy.empty((0, len(STYLES)))
        found = numpy.asarray(self._pipeline.predict_proba(list(texts)))[:, self._order]
        blank = [not text.strip() for text in texts]
        found[blank] = 1 / len(STYLES)
        return found

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The likeliest style of each text."""
        return [STYLES[row] for row in self.probabilities(texts).argmax(axis=1)]

    def share(self, texts: Sequence[str], style: str) -> list[float]:
        """The probability of one style for each text; UsageError for an unknown one."""
        if style not in STYLES:
            raise UsageError(f"There is no style {style!r}. There are: {', '.join(STYLES)}.")
        return [float(p) for p in self.probabilities(texts)[:, STYLES.index(style)]]


def train(features: Any, name: str, replies: Sequence[StyledReplies]) -> StyleClassifier:
    """Fit the linear classifier on `features`, a transformer that turns texts into rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, styles = _flat(replies)
    pipeline = make_pipeline(features, LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=2000))
    return StyleClassifier(name, pipeline.fit(texts, styles))


def by_sentences(encoder: Encoder, replies: Sequence[StyledReplies]) -> StyleClassifier:
    """A classifier over the vectors of a sentence encoder."""
    _need_sklearn()
    from sklearn.preprocessing import FunctionTransformer

    return train(FunctionTransformer(encoder.encode), encoder.name, replies)


def by_words(replies: Sequence[StyledReplies]) -> StyleClassifier:
    """A classifier over TF-IDF of character and word n-grams; needs no download.

    It leans on single words, as the checkable constraints do, so it is the second choice.
    """
    _need_sklearn()
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    features = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+"),
    )
    return train(features, "words", replies)


def open_classifier(
    home: Home, judge: Judge = "sentences", *, say: Callable[[str], None]
) -> StyleClassifier:
    """The judge of the evaluations, trained on the packaged train half in about two seconds.

    Raises UsageError where the `eval` extra is missing, and what `sentence_encoder` raises.
    """
    if judge == "words":
        return by_words(styled_replies("train"))
    return by_sentences(sentence_encoder(home, say=say), styled_replies("train"))


def sentence_encoder(home: Home, *, say: Callable[[str], None]) -> Encoder:
    """The encoder of every judge, always the same one, so that figures stay comparable.

    Raises as `open_encoder` does.
    """
    try:
        return open_encoder("bge", home, say=say)
    except (DownloadError, CorruptModelError) as error:
        raise type(error)(f"{error} Or use --judge words, which needs no download.") from error


def quality(
    classifier: StyleClassifier,
    replies: Sequence[StyledReplies],
    generator: numpy.random.Generator,
) -> Quality:
    """Accuracy and macro-F1 on held-out questions, with intervals over questions."""
    texts, styles = _flat(replies)
    predicted = classifier.predict(texts)
    groups = [reply.question for reply in replies for _ in STYLES]
    right = [
        (question, float(style == guess))
        for question, style, guess in zip(groups, styles, predicted, strict=True)
    ]
    return Quality(
        accuracy=bootstrap(list(by_unit(right).values()), generator),
        macro_f1=bootstrap_macro_f1(styles, predicted, STYLES, generator, groups=groups),
        texts=len(texts),
    )


def _flat(replies: Sequence[StyledReplies]) -> tuple[list[str], list[str]]:
    texts = [reply.replies[style] for reply in replies for style in STYLES]
    return texts, [style for _ in replies for style in STYLES]


def _need_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UsageError(f"The style classifier needs scikit-learn. {INSTALL}") from error
