"""`curate dedup`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console
from curate.commands.options import (
    AsJson,
    Fill,
    Format,
    Input,
    More,
    Name,
    Output,
    Overwrite,
    Seed,
    emit_and_show,
    inputs,
    read_inputs,
    say_what_was_read,
)

if TYPE_CHECKING:
    from curate.data.rows import Rows
    from curate.selection import Selection


def dedup(
    input: Input = None,  # noqa: A002 - the option's name
    more: More = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="F…",
            help="Other sets, chosen already or to be tested on: drop what is like their rows.",
        ),
    ] = None,
    near: Annotated[
        float, typer.Option(help="Jaccard similarity of n-grams that makes two rows duplicates.")
    ] = 0.8,
    by: Annotated[
        str,
        typer.Option(
            metavar="first|COLUMN", help="Keep the first, or the highest in a column of --scores."
        ),
    ] = "first",
    scores: Annotated[
        Path | None, typer.Option(help="NAME.scores.parquet of an earlier run, for --by COLUMN.")
    ] = None,
    on: Annotated[
        str, typer.Option(metavar="both|prompt|response", help="What is compared; both: all turns.")
    ] = "both",
    ngram: Annotated[int, typer.Option(help="Characters of an n-gram.")] = 5,
    contained: Annotated[
        float | None,
        typer.Option(
            help="Drop a row that holds so much of a question of --against; 0: do not look.",
            show_default="as --near",
        ),
    ] = None,
    format: Format = None,  # noqa: A002 - the option's name
    fill: Fill = None,
    output: Output = Path("data"),
    name: Name = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    show: Annotated[
        int, typer.Option(help="Print so many dropped rows, the least similar first.", min=0)
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Keep one of the rows that say the same, and none that another set says already.

    Exact and near duplicates, by the n-grams of their characters: it works for Chinese as it does
    for English. What is dropped names its twin, the kept row that it is like.

    Example: curate dedup --input huatuo.json --against eval.json
    """
    from curate.emission.emit import check_target, default_name
    from curate.recipes import dedup as recipe

    paths = inputs(input, more)
    params = recipe.Params(near=near, by=by, on=on, ngram=ngram, contained=contained, seed=seed)
    called = name or default_name(paths[0], recipe.NAME)
    check_target(output, called, recipe.NAME, overwrite)
    rows = read_inputs(input, more, format, fill)
    found = recipe.dedup(rows, params, _others(against), scores)
    if found.choice.kept.any():  # else the next line ends in an error
        _show_closest(found, show, as_json)
    emit_and_show(found, output, called, overwrite, 0, as_json)


def _others(against: list[Path] | None) -> list[Rows]:
    """Read the other sets, each by itself: they may have other shapes than the rows."""
    from curate.data.read import read

    others = [read(each) for each in against or ()]
    for each in others:
        say_what_was_read(each)
    return others


def _show_closest(found: Selection, show: int, as_json: bool) -> None:
    """Print the dropped rows that were the least like their twins: where the cut is."""
    from curate.recipes.dedup import closest

    lines = closest(found, show)
    if lines:
        header = ("reason", "similarity", "dropped", "twin")
        console.show_table(lines, header, console.stderr() if as_json else None)
