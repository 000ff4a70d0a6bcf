"""`curate score`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from curate import console
from curate.commands.options import Reading, Writing
from curate.commands.result import check_targets
from curate.commands.with_options import with_options
from curate.parameters.score import ScoreParams

if TYPE_CHECKING:
    from curate.selection import Selection


@with_options
def score(reading: Reading, params: ScoreParams, writing: Writing) -> None:
    """Score rows and choose none: writes NAME.scores.parquet, and no data set.

    `curate select --scores FILE --by COLUMN` chooses by scores, and several
    files can be joined there.

    Example: curate score --input huatuo.json --scorer reward --scorer length
    """
    from curate.emission.emit import default_name
    from curate.models.quiet import set_verbose
    from curate.recipes import score as recipe

    set_verbose(writing.verbose)
    name = writing.name or default_name(reading.paths()[0], "_".join((recipe.NAME, *params.scorer)))
    check_targets(writing.output, name, recipe.NAME, writing.overwrite, False)
    selection = recipe.score(reading.rows(), params)
    _write_and_show(selection, writing.output, name, writing.show, writing.as_json)


def _write_and_show(
    selection: Selection, output: Path, name: str, show: int, as_json: bool
) -> None:
    from curate.emission.emit import write_scores
    from curate.recipes import score as recipe

    files = [
        str(output / each)
        for each in write_scores(output, name, recipe.lines(selection), recipe.manifest(selection))
    ]
    goes_to = console.stderr() if as_json else console.stdout()
    counts, spread = recipe.counts(selection), recipe.spread(selection.scored)
    if show and counts["scored"]:
        best = selection.top(show).drop(columns=["id", "source"])
        console.show_table(list(best.itertuples(index=False)), list(best.columns), goes_to)
    if spread:
        header = ("column", *next(iter(spread.values())))
        console.show_table([(at, *each.values()) for at, each in spread.items()], header, goes_to)
    without = ", ".join(f"{rows:,} {status}" for status, rows in counts["unscored"].items())
    left_out = f"; without: {without}" if without else ""
    console.say(f"{counts['scored']:,} of {counts['read']:,} rows have a score{left_out}")
    for note in selection.notes:
        console.say(f"note: {note}")
    console.say(f"scores of every row: {files[0]}; what made them: {files[1]}")
    if as_json:
        columns = list(selection.scored.columns)
        result = {"name": name, **counts, "scores": files[0], "columns": columns, "spread": spread}
        typer.echo(json.dumps({**result, "files": files}, ensure_ascii=False))
