"""`anima mode`: list, show, make, calibrate, build, export, import and remove modes.

At start this module imports click and the errors, nothing else.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anima.errors import UsageError
from anima.terminal import asking, completion, flags

if TYPE_CHECKING:
    from anima.config import Settings
    from anima.home import Home
    from anima.prism.build import Built
    from anima.prism.mode import Mode
    from anima.prism.shelf import Shelf
    from anima.prism.workshop import Workshop
    from anima.terminal.screen import Screen

_name = click.argument("name", shell_complete=completion.named_modes)
_replace = click.option("--replace", is_flag=True, help="Put it in place of one of that name.")


@click.group("mode", cls=flags.Commands)
def mode() -> None:
    """The modes of a model: how it speaks.

    A mode is a file of pushes in the model's residual stream. /mode NAME in the chat and
    anima --mode NAME put one in force.
    """


@mode.command("list")
@flags.json
@flags.model
@flags.home
@click.pass_context
def mode_list(ctx: click.Context, as_json: bool) -> None:
    """Show the modes of a model."""
    from anima.terminal import mode_reports, reports

    _, settings, screen, shelf = _surroundings(ctx)
    rows = mode_reports.rows(shelf)
    if as_json:
        reports.print_json(screen, rows)
        return
    if not rows:
        screen.note(f"There is no mode for {settings.model} yet: anima mode build makes three.")
        return
    mode_reports.print_rows(screen, rows)


@mode.command("show")
@_name
@flags.json
@flags.model
@flags.home
@click.pass_context
def mode_show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one mode: what it is made of, and how it was measured."""
    from anima.prism.mode import document
    from anima.terminal import mode_reports, reports

    _, _, screen, shelf = _surroundings(ctx)
    found = shelf.load(name)
    if as_json:
        reports.print_json(screen, document(found))
        return
    mode_reports.print_mode(screen, found, shelf.names()[name])


@mode.command("create")
@click.argument("name")
@click.option(
    "--like", required=True, type=click.Path(), metavar="FILE", help="Texts as it shall speak."
)
@click.option(
    "--unlike", required=True, type=click.Path(), metavar="FILE", help="Texts as it shall not."
)
@click.option("--description", default="", metavar="TEXT", help="A few words on it.")
@click.option(
    "--suppress", is_flag=True, help="Also take away the features of the texts it is unlike."
)
@click.option("--layer", type=int, metavar="N", help="Where it acts, on a model without an SAE.")
@_replace
@flags.running
@flags.home
@click.pass_context
def mode_create(
    ctx: click.Context,
    name: str,
    like: str,
    unlike: str,
    description: str,
    suppress: bool,
    layer: int | None,
    replace: bool,
) -> None:
    """Make a mode from texts like it and unlike it.

    Each file holds a text in each line, at least four; replies on the same things in both work
    best. It takes a minute or two: what tells the texts apart is looked for in the model, tried
    out, and set to a strength that does not break words.
    """
    from anima.prism.build import build
    from anima.prism.contrast import read_contrast

    home, settings, screen, shelf = _surroundings(ctx)
    _check_free(shelf, name, replace=replace)
    contrast = read_contrast(Path(like), Path(unlike))
    workshop = _workshop(home, settings, screen, layer=layer)
    try:
        built = build(
            workshop, contrast, name=name, description=description, suppress=suppress,
            say=screen.progress,
        )  # fmt: skip
    finally:
        workshop.reader.trunk.close()
    _keep(screen, shelf, workshop, built, replace=replace)


@mode.command("build")
@click.argument("names", nargs=-1)
@click.option("--auto/--no-auto", "auto", default=True, help="With the classifier of auto, or not.")
@click.option("--layer", type=int, metavar="N", help="Where they act, on a model without an SAE.")
@_replace
@flags.running
@flags.home
@click.pass_context
def mode_build(
    ctx: click.Context, names: tuple[str, ...], auto: bool, layer: int | None, replace: bool
) -> None:
    """Make the shipped modes for a model: anima, system and dream.

    Without NAMES it makes all three, from the texts that come with Anima, and trains the
    classifier with which `auto` chooses among them.
    """
    from anima.runtime.modes import SHIPPED, build_shipped, build_switcher, shipped_contrast

    home, settings, screen, shelf = _surroundings(ctx)
    wanted = names or tuple(SHIPPED)
    for name in wanted:
        shipped_contrast(name)
        _check_free(shelf, name, replace=replace)
    workshop = _workshop(home, settings, screen, layer=layer)
    try:
        for name in wanted:
            screen.note(f"{name} …")
            built = build_shipped(workshop, name, say=screen.progress)
            _keep(screen, shelf, workshop, built, replace=replace)
        if auto and not names:
            screen.note("auto …")
            _keep_switcher(home, settings, build_switcher(workshop))
    finally:
        workshop.reader.trunk.close()


def _keep_switcher(home: "Home", settings: "Settings", switcher: Any) -> None:
    from anima.home import make_folder
    from anima.prism.switching import write_switcher
    from anima.runtime.places import own_switcher

    path = own_switcher(settings.model, home)
    make_folder(path.parent)
    write_switcher(path, switcher)


@mode.command("calibrate")
@_name
@flags.running
@flags.home
@click.pass_context
def mode_calibrate(ctx: click.Context, name: str) -> None:
    """Set a mode's strengths anew, by measurement.

    They become those at which the 95th-percentile KL to the model without it is about 1 nat. A
    shipped mode is copied first: the calibrated one is your own, and goes before it.
    """
    from anima.prism.build import recalibrated

    home, settings, screen, shelf = _surroundings(ctx)
    before = shelf.load(name)
    workshop = _workshop(home, settings, screen, layer=before.layer, fits=before)
    try:
        after = recalibrated(workshop, before)
    finally:
        workshop.reader.trunk.close()
    shelf.save(after, replace=True)
    was = "not measured" if before.calibration is None else f"{before.calibration.kl_p95:.2f}"
    now = "" if after.calibration is None else f"{after.calibration.kl_p95:.2f}"
    screen.note(
        f"{name}: KL p95 was {was}, is {now} nats; it pushes {_reach(workshop, after)} of ‖h‖."
    )


@mode.command("export")
@_name
@click.argument("file", type=click.Path(), required=False)
@flags.yes
@flags.model
@flags.home
@click.pass_context
def mode_export(ctx: click.Context, name: str, file: str | None, yes: bool) -> None:
    """Write a mode into a file; NAME.toml here where none is named."""
    _, _, screen, shelf = _surroundings(ctx)
    target = Path(file or f"{name}.toml").absolute()
    shelf.load(name)
    if not asking.may_write(target, yes=yes):
        screen.note("Nothing was written.")
        return
    shelf.export(name, target)
    screen.data(str(target))


@mode.command("import")
@click.argument("file", type=click.Path())
@flags.yes
@flags.model
@flags.home
@click.pass_context
def mode_import(ctx: click.Context, file: str, yes: bool) -> None:
    """Keep a mode from a file, by the name in it."""
    from anima.prism.mode import read_mode

    _, settings, screen, shelf = _surroundings(ctx)
    found = read_mode(Path(file))
    there = shelf.names().get(found.name) == "own"
    if there and not asking.agreed(f"There is a mode {found.name} already. Replace it?", yes=yes):
        screen.note("Nothing was imported.")
        return
    shelf.take_in(Path(file), replace=there)
    screen.note(f"Imported {found.name}. /mode {found.name} or anima --mode {found.name} uses it.")
    if found.model != settings.model:
        screen.error(f"It was made for {found.model}, and is kept for {settings.model}: --model.")


@mode.command("rm")
@_name
@flags.yes
@flags.model
@flags.home
@click.pass_context
def mode_remove(ctx: click.Context, name: str, yes: bool) -> None:
    """Remove a mode of your own for good, after a question."""
    _, _, screen, shelf = _surroundings(ctx)
    if shelf.names().get(name) == "shipped":
        raise UsageError(f"{name} came with Anima and cannot be removed.")
    if shelf.names().get(name) is None:
        shelf.load(name)
    question = f"Remove the mode {name}? anima mode export {name} keeps it in a file."
    if not asking.agreed(question, yes=yes):
        screen.note("Nothing was removed.")
        return
    shelf.remove(name)
    again = " The one that came with Anima is in force again." if name in shelf.names() else ""
    screen.note(f"Removed {name}.{again}")


def _surroundings(ctx: click.Context) -> "tuple[Home, Settings, Screen, Shelf]":
    from anima.runtime.places import shelf_of

    home, settings, screen = flags.surroundings(ctx)
    return home, settings, screen, shelf_of(settings.model, home)


def _check_free(shelf: "Shelf", name: str, *, replace: bool) -> None:
    """Raise for a name that cannot be or is taken, before a model is loaded in vain."""
    from anima.prism.mode import check_name

    if shelf.names().get(check_name(name)) == "own" and not replace:
        raise UsageError(f"There is a mode {name} already: choose another name, or add --replace.")


def _workshop(
    home: "Home",
    settings: "Settings",
    screen: "Screen",
    *,
    layer: int | None,
    fits: "Mode | None" = None,
) -> "Workshop":
    """The model with its SAE, ready to make modes; `fits` has to be one of this model's."""
    from anima.prism.mode import check_fits
    from anima.runtime.furnishing import furnish
    from anima.runtime.modes import open_workshop

    loaded = _loaded(home, settings, screen)
    book = furnish(settings.model, home).book
    if fits is not None:
        check_fits(fits, loaded.trunk.info, None if book is None else book.sae)
        book = book if book is not None and book.sae.layer == fits.layer else None
    return open_workshop(loaded, book, layer=layer)


def _loaded(home: "Home", settings: "Settings", screen: "Screen") -> Any:
    from anima.runtime.opening import use_threads
    from anima.trunk import loader

    flags.fetch_if_missing(home, settings, screen)
    use_threads(settings.threads)
    return loader.load(
        settings.model, home, device=settings.device, dtype=settings.dtype,
        engine=settings.engine, quantize=settings.quantize, say=screen.progress,
    )  # fmt: skip


def _keep(
    screen: "Screen", shelf: "Shelf", workshop: "Workshop", built: "Built", *, replace: bool
) -> None:
    """Save what was made, and say what it is and how else it could have been."""
    from anima.terminal import reports

    made = built.mode
    path = shelf.save(made, replace=replace)
    rows = [
        (each.name, f"{each.score:.2f}", f"{each.repetition:.2f}",
         "← kept" if each.mode == made else "")
        for each in built.candidates
    ]  # fmt: skip
    reports.print_table(screen, ("TRIED, AT EQUAL KL", "SCORE", "REPETITION", ""), rows)
    screen.note(f"Without any the score is {built.off:.2f}; 1 is just like the texts.")
    screen.data(str(path))
    screen.note(
        f"{made.name} pushes {_reach(workshop, made)} of ‖h‖. /mode {made.name} or anima --mode {made.name} "
        "uses it."
    )


def _reach(workshop: "Workshop", made: "Mode") -> str:
    """How far a mode pushes at most."""
    from anima.terminal.turns import percent

    state = workshop.state(made.pushes())
    return f"up to {percent(0.0 if state is None else state.nominal)}"
