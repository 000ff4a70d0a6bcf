"""`curate dedup`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console
from curate.commands.options import Reading, Writing, say_what_was_read
from curate.commands.result import choose
from curate.commands.with_options import with_options
from curate.parameters.dedup import DedupParams

if TYPE_CHECKING:
    from curate.data.rows import Rows
    from curate.selection import Selection


@with_options
def dedup(
    reading: Reading,
    params: DedupParams,
    writing: Writing,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="F…",
            help="Other sets, chosen already or to be tested on: drop what is like their rows.",
        ),
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="NAME.scores.parquet of an earlier run, for --by COLUMN.")
    ] = None,
) -> None:
    """Keep one of the rows that say the same, and none that another set says already.

    Exact and near duplicates, by the n-grams of their characters: it works for Chinese as it does
    for English. What is dropped names its twin, the kept row that it is like.

    Example: curate dedup --input huatuo.json --against eval.json
    """
    from curate.recipes import dedup as recipe

    def tell(selection: Selection) -> None:
        if selection.choice.kept.any():  # else writing it ends in an error
            _show_closest(selection, writing.show, writing.as_json)

    choose(
        reading,
        writing,
        recipe.NAME,
        lambda rows, _: recipe.dedup(rows, params, others(against), scores),
        tell=tell,
        show=0,
    )


def others(against: list[Path] | None) -> list[Rows]:
    """Read the other sets, each by itself: they may have other shapes than the rows."""
    from curate.data.read import read

    others = [read(each) for each in against or ()]
    for each in others:
        say_what_was_read(each)
    return others


def _show_closest(selection: Selection, show: int, as_json: bool) -> None:
    """Print the dropped rows that were the least like their twins: where the cut is."""
    from curate.recipes.dedup import closest

    lines = closest(selection, show)
    if lines:
        header = ("reason", "similarity", "dropped", "twin")
        console.show_table(lines, header, console.stderr() if as_json else None)
