"""`anima features`: search, list, show, name and check the features of an SAE, and label them.

At start this module imports click and the errors, nothing else.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anima.errors import FeatureError, UsageError
from anima.terminal import flags

if TYPE_CHECKING:
    from anima.config import Settings
    from anima.context import ChatFormat, Tokens
    from anima.features.labels import FeatureLabel, Labels
    from anima.home import Home
    from anima.terminal.screen import Screen
    from anima.trunk.loader import Loaded

_LIMIT = 512  # tokens of a piece of a conversation
_sae = click.option(
    "--sae", "name", metavar="SAE", help="A folder, or RELEASE:ID of sae-lens; else the model's."
)
_count = click.option(
    "-n",
    "count",
    type=click.IntRange(min=1),
    default=20,
    metavar="N",
    help="At most so many; 20 by default.",
)


@click.group("features", cls=flags.Commands)
def features() -> None:
    """What an SAE finds in the model, by label.

    /features in the chat shows which are active; /steer pushes one.
    """


@features.command("search")
@click.argument("words", nargs=-1, required=True)
@_count
@_sae
@flags.json
@flags.model
@flags.home
@click.pass_context
def features_search(
    ctx: click.Context, words: tuple[str, ...], count: int, name: str | None, as_json: bool
) -> None:
    """Find features by what they are about.

    Words are looked for in their labels, the tokens they promote and the texts they are active on.
    """
    from anima.features.labels import search

    text = " ".join(words)
    if not text.strip():
        raise UsageError("There is nothing to search for: the words are empty.")
    screen, _, labels = _labelled(ctx, name)
    found = [each.label for each in search(labels, text, count)]
    _print(screen, found, as_json=as_json)
    if not found:
        screen.note(f"No feature has to do with {text!r}.")


@features.command("list")
@click.option(
    "--by",
    type=click.Choice(["number", "density", "maximum"]),
    default="density",
    help="In which order; the largest first, numbers from 0 on.",
)
@_count
@_sae
@flags.json
@flags.model
@flags.home
@click.pass_context
def features_list(ctx: click.Context, by: str, count: int, name: str | None, as_json: bool) -> None:
    """Show the features with their labels."""
    screen, _, labels = _labelled(ctx, name)
    keys: dict[str, Callable[[FeatureLabel], float]] = {
        "number": lambda each: each.feature,
        "density": lambda each: -each.density,
        "maximum": lambda each: -each.maximum,
    }
    ordered = sorted(labels, key=keys[by])
    _print(screen, ordered[:count], as_json=as_json)
    if len(ordered) > count and not as_json:
        screen.note(f"… and {len(ordered) - count} more: -n {len(ordered)} shows all.")


@features.command("show")
@click.argument("feature", type=int)
@_sae
@flags.json
@flags.model
@flags.home
@click.pass_context
def features_show(ctx: click.Context, feature: int, name: str | None, as_json: bool) -> None:
    """Show one feature: on what it is active, and what it does."""
    from anima.terminal import reports

    screen, folder, labels = _labelled(ctx, name)
    found = _one(labels, feature, folder)
    if as_json:
        reports.print_json(screen, found.as_json())
        return
    _print_one(screen, found)


@features.command("name")
@click.argument("feature", type=int)
@click.argument("label")
@_sae
@flags.model
@flags.home
@click.pass_context
def features_name(ctx: click.Context, feature: int, label: str, name: str | None) -> None:
    """Give a feature a label of your own.

    It stays when features are labelled again.
    """
    from anima.features.labels import write_labels

    screen, folder, labels = _labelled(ctx, name)
    before = _one(labels, feature, folder).label
    after = labels.named(feature, label)
    write_labels(folder, after)
    screen.note(f"#{feature} is now called {after.label(feature)!r}; it was {before!r}.")


@features.command("label")
@click.option(
    "--text",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="Conversations of your own (.jsonl or text), in place of chitchat_dataset.",
)
@click.option(
    "--tokens",
    type=click.IntRange(min=1000),
    default=300_000,
    metavar="N",
    help="How many tokens to look at; 300,000 by default.",
)
@click.option("--neuronpedia", is_flag=True, help="Fetch those that Neuronpedia has instead.")
@_sae
@flags.running
@flags.home
@click.pass_context
def features_label(
    ctx: click.Context, text: tuple[str, ...], tokens: int, neuronpedia: bool, name: str | None
) -> None:
    """Label every feature from texts and tokens.

    A label comes from the texts that a feature is active on and the tokens that it promotes. It
    reads so many tokens of conversations with the model, at some hundreds of tokens a second
    on a CPU; stopped, it goes on from where it was. Labels that you gave yourself stay.
    """
    from anima.features.labelling import label_all
    from anima.features.opening import open_sae
    from anima.features.passages import reading

    home, settings, screen = flags.surroundings(ctx)
    opened = open_sae(name or settings.model, cache=home.cache)
    if neuronpedia:
        _fetch_labels(screen, opened.folder)
        return
    corpora = _corpora(text)
    loaded, format = _loaded(home, settings, screen)
    pieces = _pieces(loaded, format, corpora, tokens)
    mark = f"{' '.join(each.source for each in corpora)} {tokens}"
    try:
        labels = label_all(
            loaded, opened.sae, reading(loaded.trunk, opened.sae.layer, pieces), opened.folder,
            statistics=opened.statistics, mark=mark, say=screen.progress,
        )  # fmt: skip
    finally:
        loaded.trunk.close()
    screen.note(f"Labelled {len(labels)} of {opened.sae.n_features} features of {opened.sae.name}.")
    screen.data(str(opened.folder))


def _fetch_labels(screen: "Screen", folder: Path) -> None:
    """Take Neuronpedia's labels; those that a person gave stay."""
    from anima.features import neuronpedia
    from anima.features.labels import read_labels, write_labels

    page = neuronpedia.name_of(folder)
    found = neuronpedia.fetch_labels(page, say=screen.progress)
    write_labels(folder, neuronpedia.described(read_labels(folder), found))
    screen.note(f"Fetched {len(found)} labels of {page}.")
    screen.data(str(folder))


@features.command("check")
@_sae
@flags.json
@flags.running
@flags.home
@click.pass_context
def features_check(ctx: click.Context, name: str | None, as_json: bool) -> int:
    """Check that an SAE belongs to the model.

    It says how well it reads a few lines of text. The exit code is 0 where it does, else 1.
    """
    from dataclasses import asdict

    from anima.features import sanity
    from anima.features.opening import open_sae
    from anima.runtime.opening import prefix
    from anima.terminal import reports

    home, settings, screen = flags.surroundings(ctx)
    opened = open_sae(name or settings.model, cache=home.cache)
    loaded, format = _loaded(home, settings, screen)
    try:
        probe = sanity.probe(loaded.tokenizer, format, prefix(None))
        found = sanity.check(opened.sae, loaded.trunk, probe)
    finally:
        loaded.trunk.close()
    if as_json:
        reports.print_json(screen, {"sae": opened.sae.name, **asdict(found)})
    else:
        _print_check(screen, opened.sae, found)
    return 0 if found.sane else 1


def _print_check(screen: "Screen", sae: Any, found: Any) -> None:
    screen.data(
        f"{sae.name}: {sae.n_features} features of layer {sae.layer}; on {found.tokens} tokens "
        f"{found.l0:.0f} are active and {found.fvu:.0%} of the variance is left unexplained."
    )
    if found.sane:
        screen.note("It belongs to this model.")
    else:
        screen.error(found.why)


def _labelled(ctx: click.Context, name: str | None) -> "tuple[Screen, Path, Labels]":
    """The labels of an SAE and its folder; FeatureError where there are none yet."""
    from anima.features.labels import read_labels

    home, settings, screen = flags.surroundings(ctx)
    folder = _folder(name or settings.model, home)
    labels = read_labels(folder)
    if not len(labels):
        raise FeatureError(
            f"The features in {folder} have no labels yet: anima features label makes them."
        )
    return screen, folder, labels


def _folder(name: str, home: "Home") -> Path:
    """Where an SAE is, without opening it where that can be said at once."""
    from anima.features.shelf import shipped

    folder = shipped(name)
    if folder is None and Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
    if folder is not None:
        return folder
    from anima.features.opening import open_sae

    return open_sae(name, cache=home.cache).folder


def _one(labels: "Labels", feature: int, folder: Path) -> "FeatureLabel":
    found = labels.get(feature)
    if found is None:
        raise UsageError(
            f"There is no label of feature {feature} in {folder}: it does not exist, or was never "
            "seen active."
        )
    return found


def _print(screen: "Screen", found: "list[FeatureLabel]", *, as_json: bool) -> None:
    from anima.terminal import reports
    from anima.terminal.screen import columns, shortened
    from anima.terminal.turns import percent

    if as_json:
        reports.print_json(screen, [each.as_json() for each in found])
        return
    if not found:
        return
    head = ("FEATURE", "DENSITY", "MAXIMUM", "LABEL")
    rows = [
        (str(each.feature), percent(each.density), f"{each.maximum:.3g}", each.label)
        for each in found
    ]
    taken = max(len(line) for line in columns([(*row[:-1], "") for row in [head, *rows]]))
    room = max(reports.screen_width() - taken - 2, 10)
    reports.print_table(screen, head, [(*row[:-1], shortened(row[-1], room)) for row in rows])


def _print_one(screen: "Screen", found: "FeatureLabel") -> None:
    from anima.terminal.screen import columns, shown
    from anima.terminal.turns import percent

    edited = " (yours)" if found.edited else ""
    rows = [
        ("feature", str(found.feature)),
        ("label", f"{found.label or '-'}{edited}"),
        ("active on", f"{percent(found.density)} of tokens, up to {found.maximum:.3g}"),
        ("promotes", _tokens(found.promoted)),
        ("suppresses", _tokens(found.suppressed)),
    ]
    for line in columns(rows):
        screen.data(shown(line))
    for context in found.contexts:
        screen.data(shown(f"  {' '.join(context.split())}"))


def _tokens(found: Iterable[str]) -> str:
    return ", ".join(each.strip() or repr(each) for each in found) or "-"


def _corpora(files: tuple[str, ...]) -> list[Any]:
    from anima.features.corpus import chitchat, read_text

    return [read_text(Path(each)) for each in files] if files else [chitchat()]


def _pieces(
    loaded: "Loaded", format: "ChatFormat", corpora: list[Any], tokens: int
) -> "Callable[[], Iterable[Tokens]]":
    """The conversations as the chat would send them, in pieces, up to so many tokens."""
    from anima.features.corpus import rendered
    from anima.runtime.opening import prefix

    def pieces() -> "Iterable[Tokens]":
        left = tokens
        for corpus in corpora:
            for each in corpus.conversations:
                made = rendered(each, loaded.tokenizer, format, prefix(None), limit=_LIMIT)
                for piece in made:
                    if left <= 0:
                        return
                    left -= len(piece)
                    yield piece

    return pieces


def _loaded(home: "Home", settings: "Settings", screen: "Screen") -> "tuple[Loaded, ChatFormat]":
    """The model, and its template with the date of today."""
    from datetime import datetime

    from anima.context import ChatFormat, jinja_render
    from anima.runtime.opening import use_threads
    from anima.trunk import loader

    flags.fetch_if_missing(home, settings, screen)
    use_threads(settings.threads)
    loaded = loader.load(
        settings.model, home, device=settings.device, dtype=settings.dtype,
        engine=settings.engine, quantize=settings.quantize, say=screen.progress,
    )  # fmt: skip
    render = jinja_render(loaded.chat_template, loaded.special_tokens, datetime.now)
    return loaded, ChatFormat.of(render)
