"""`curate dedup`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console
from curate.commands.options import Reading, Sides, Writing
from curate.commands.result import choose
from curate.commands.with_options import with_options
from curate.parameters.dedup import DedupParams

if TYPE_CHECKING:
    from curate.selection import Selection


@with_options
def dedup(
    reading: Reading,
    params: DedupParams,
    writing: Writing,
    sides: Sides,
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

    folder = reading.folder(writing.output)

    def tell(selection: Selection) -> None:
        if selection.choice.kept.any():  # else writing it ends in an error
            _show_closest(selection, writing.show, writing.as_json)

    choose(
        reading,
        writing,
        recipe.NAME,
        lambda rows, _: recipe.dedup(rows, params, sides.rows(folder), scores),
        tell=tell,
        show=0,
    )


def _show_closest(selection: Selection, show: int, as_json: bool) -> None:
    """Print the dropped rows that were the least like their twins: where the cut is."""
    from curate.recipes.dedup import closest

    lines = closest(selection, show)
    if lines:
        header = ("reason", "similarity", "dropped", "twin")
        console.show_table(lines, header, console.stderr() if as_json else None)
