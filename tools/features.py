"""Draws features as web pages (one feature, features over a conversation, a map), and labels them.

    python -m tools.features page "see you"           # a number, or words of its label
    python -m tools.features tokens --session FILE    # a session's record, or --text FILE
    python -m tools.features map
    python -m tools.features label --work WORK        # labels.jsonl, from all that was kept there

Parses, looks, writes a file; what is in it is made in anima.features.views and .pictures. Needs the
extra `pictures`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anima.errors import AnimaError, UsageError
from anima.home import find_home, write_atomically

if TYPE_CHECKING:
    from anima.features.labels import FeatureLabel, Labels
    from anima.features.opening import Opened
    from anima.features.passages import Source
    from anima.trunk.loader import Loaded


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--model", default="smollm2", help="a catalog name, a folder or a hub id")
    made.add_argument("--sae", help="a folder or RELEASE:ID; the model's own where not given")
    made.add_argument("--out", type=Path, help="the page's file; the folder of labels")
    kinds = made.add_subparsers(dest="kind", required=True)
    page = kinds.add_parser("page", help="one feature")
    page.add_argument("feature", help="its number, or words of its label")
    page.add_argument("--tokens", type=int, default=20_000, help="to read, without --work")
    page.add_argument("--work", type=Path, help="activations kept by tools.train_sae: all of them")
    page.add_argument("--text", type=Path, help="texts of your own instead of chitchat_dataset")
    tokens = kinds.add_parser("tokens", help="a heatmap of features over a conversation")
    tokens.add_argument("--session", type=Path, help="the record of a session (.jsonl)")
    tokens.add_argument("--text", type=Path, help="or a text, or conversations as .jsonl")
    tokens.add_argument("--count", type=int, default=30, help="features shown")
    tokens.add_argument("--most", type=int, default=300, help="tokens shown, the last ones")
    plan = kinds.add_parser("map", help="decoder rows by t-SNE")
    plan.add_argument("--seed", type=int, default=0)
    label = kinds.add_parser("label", help="label every feature from kept activations")
    label.add_argument("--work", type=Path, required=True, help="as tools.train_sae was given")
    label.add_argument("--text", type=Path, help="texts of your own instead of chitchat_dataset")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        if options.kind == "label":
            print(_labelled(options))
            return 0
        name, page = _drawn(options)
        target = options.out or Path(name)
        write_atomically(target, page.encode(), remedy="Choose another file with --out.")
    except AnimaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(target)
    return 0


def _drawn(options: argparse.Namespace) -> tuple[str, str]:
    """A file's name and the page for it."""
    from anima.features.labels import read_labels
    from anima.features.opening import open_sae

    try:
        import plotly  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"Pictures need {error.name}: `pip install 'anima-runtime[pictures]'`."
        ) from error
    home = find_home(None, os.environ)
    opened = open_sae(options.sae or options.model, cache=home.cache)
    labels = read_labels(opened.folder)
    draw = {"page": _feature, "tokens": _tokens, "map": _map}[options.kind]
    return draw(options, opened, labels)


def _map(options: argparse.Namespace, opened: "Opened", labels: "Labels") -> tuple[str, str]:
    from anima.features import pictures, views

    features = [one.feature for one in labels] or list(range(opened.sae.n_features))
    places = views.view_map(opened.sae, features, seed=options.seed)
    return "features-map.html", pictures.map_page(places, features, labels, sae=opened.sae.name)


def _feature(options: argparse.Namespace, opened: "Opened", labels: "Labels") -> tuple[str, str]:
    import torch

    from anima.features import corpus, labelling, passages, pictures, views

    label = _chosen(options.feature, labels, opened)
    loaded = _loaded(options.model)
    texts = labelling.vocabulary(loaded.tokenizer, loaded.trunk.info.vocabulary)
    source = corpus.read_text(options.text) if options.text else corpus.chitchat()
    shown = _source(options, loaded, opened.sae.layer, source)
    view = views.view_feature(opened.sae, shown, label.feature, texts)
    ids = passages.joined([one.marks for one in shown(0)]).ids
    known = labelling.known_tokens(ids, texts)
    direction = opened.sae.directions(torch.tensor([label.feature]))
    scores = labelling.Lens(loaded.trunk, known).scores(direction)[0]
    order = scores.argsort(descending=True)
    ends = [*order[:15].tolist(), *order[-15:].tolist()]
    effects = [(texts[int(known[at])], float(scores[at])) for at in ends]
    page = pictures.feature_page(label, view, effects, sae=opened.sae.name, source=source.source)
    return f"feature-{label.feature}.html", page


def _chosen(wanted: str, labels: "Labels", opened: "Opened") -> "FeatureLabel":
    """The feature of a number or of words."""
    from anima.features.labels import FeatureLabel, search

    found = search(labels, wanted, 1)
    if found:
        return found[0].label
    number = wanted.strip().removeprefix("#")
    if not number.isdecimal() or int(number) >= opened.sae.n_features:
        raise UsageError(f"No feature of {opened.sae.name} fits {wanted!r}.")
    return FeatureLabel(feature=int(number), label="", density=0.0, maximum=0.0)


def _source(options: argparse.Namespace, loaded: "Loaded", layer: int, source: Any) -> "Source":
    """The activations kept under --work where it is given, else the model read anew."""
    from anima.features import passages
    from anima.runtime.opening import prefix

    if options.work is not None:
        return _kept(options.work, loaded, layer, [source])
    read = passages.pieces_of(source, loaded.tokenizer, _format(loaded), prefix(None))
    held = list(passages.reading(loaded.trunk, layer, read, tokens=options.tokens)(0))
    return lambda start: iter(held[start:])


def _kept(work: Path, loaded: "Loaded", layer: int, sources: Sequence[Any]) -> "Source":
    """All that tools.train_sae harvested of some sources: held out, then trained on."""
    from anima.features import passages
    from anima.features.making import place_of
    from anima.runtime.opening import prefix

    parts = []
    for source in sources:
        for part in ("held", "train"):
            folder = place_of(work, source) / part
            pieces = passages.pieces_of(
                source, loaded.tokenizer, _format(loaded), prefix(None), part=part
            )
            parts.append((passages.stored(folder, layer, pieces), passages.shards(folder)))
    if not any(count for _, count in parts):
        raise UsageError(f"{work} holds no activations of {sources[0].source}.")
    return passages.chained(parts)


def _labelled(options: argparse.Namespace) -> Path:
    """Label all features from what a training kept, the model's own replies among it."""
    from anima.features import corpus, labelling, labels
    from anima.features.opening import open_sae

    opened = open_sae(options.sae or options.model, cache=find_home(None, os.environ).cache)
    loaded = _loaded(options.model)
    sources = [corpus.read_text(options.text) if options.text else corpus.chitchat()]
    replies = options.work / "replies.jsonl"
    if replies.is_file():
        own = f"own replies of {loaded.trunk.info.model}"
        sources.append(replace(corpus.read_text(replies), source=own))
    folder = options.out or opened.folder
    labelling.label_all(
        loaded, opened.sae, _kept(options.work, loaded, opened.sae.layer, sources), folder,
        statistics=opened.statistics, mark=" ".join(one.sha256 for one in sources),
        say=lambda message: print(message, file=sys.stderr, flush=True),
    )  # fmt: skip
    return folder / labels.FILE


def _tokens(options: argparse.Namespace, opened: "Opened", labels: "Labels") -> tuple[str, str]:
    import torch

    from anima.features import labelling, passages, pictures, views

    if (options.session is None) == (options.text is None):
        raise UsageError("Give a conversation: --session FILE or --text FILE, one of them.")
    if opened.statistics is None:
        raise UsageError(f"{opened.folder} has no statistics of its features: measure them first.")
    loaded = _loaded(options.model)
    texts = labelling.vocabulary(loaded.tokenizer, loaded.trunk.info.vocabulary)
    piece = _conversation(options, loaded)
    read = list(passages.reading(loaded.trunk, opened.sae.layer, lambda: [piece])(0))
    marks, h = read[0].marks, torch.cat([one.h for one in read])
    chosen = slice(max(0, len(marks) - options.most), len(marks))
    roles = ["assistant" if reply else "user" for reply in marks.reply[chosen]]
    words = [texts[token] for token in marks.ids[chosen]]
    view = views.view_tokens(
        opened.sae, h[chosen], words, roles, opened.statistics, count=options.count
    )
    name = (options.session or options.text).stem
    page = pictures.tokens_page(view, labels, sae=opened.sae.name, source=name)
    return f"features-{name}.html", page


def _conversation(options: argparse.Namespace, loaded: "Loaded") -> Any:
    """The tokens of a session, or of a text as if a person had written it."""
    import json

    from anima.context import Context, Segment
    from anima.runtime.opening import prefix
    from anima.runtime.record import fold

    context = Context.begin(loaded.tokenizer, _format(loaded), prefix(None))
    if options.text is not None:
        from anima.features.corpus import read_text

        turns: Sequence[str] = (
            read_text(options.text).conversations[0].turns
            if options.text.suffix == ".jsonl"
            else [options.text.read_text(encoding="utf-8").strip()]
        )
        pairs = zip(turns[::2], [*turns[1::2], ""], strict=False)
    else:
        lines = options.session.read_text(encoding="utf-8").splitlines()
        history = fold((json.loads(line) for line in lines if line.strip()), options.session.stem)
        pairs = ((turn["text"], turn["reply"]) for turn in history.turns)  # type: ignore[assignment]
    for asked, reply in pairs:
        context = context.ask([Segment(role="user", text=asked)])
        context = context.reply(loaded.tokenizer.encode(reply))
    if not context.exchanges:
        raise UsageError(f"{options.session or options.text} holds no turn.")
    return context.tokens()


def _loaded(model: str) -> "Loaded":
    from anima.trunk import loader

    return loader.load(model, find_home(None, os.environ))


def _format(loaded: "Loaded") -> Any:
    from anima.context import ChatFormat, jinja_render

    return ChatFormat.of(jinja_render(loaded.chat_template, loaded.special_tokens, datetime.now))


if __name__ == "__main__":
    sys.exit(main())
