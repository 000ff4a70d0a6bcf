"""`curate score`."""

from __future__ import annotations

import json

import typer

from curate import console
from curate.commands.options import Reading, Writing
from curate.commands.result import check_targets, show_best
from curate.commands.with_options import with_options
from curate.parameters.score import ScoreParams


@with_options
def score(reading: Reading, params: ScoreParams, writing: Writing) -> None:
    """Score rows and choose none: writes NAME.scores.parquet, and no data set.

    `curate select --scores FILE --by COLUMN` chooses by scores, and several
    files can be joined there.

    pairs is for preference pairs: margin is the reward of the chosen response
    minus that of the rejected. Findings are columns for --where: contradicted
    (margin < 0), only_longer (chosen is longer, its margin among the --small
    ones), sides_equal, sides_near, rejected_elsewhere; with --model implicit_gap
    and too_hard (arXiv 2502.09650, which trains on the easiest half; arXiv
    2508.04149 finds small gaps worth most).

    Example: curate score --input huatuo.json --scorer reward --scorer length
    """
    from curate.data.describe import not_used
    from curate.emission.emit import default_name, write_scores
    from curate.models.quiet import set_verbose
    from curate.recipes import score as recipe

    set_verbose(writing.verbose)
    ending = "_".join((recipe.NAME, *params.scorer))
    name = writing.name or default_name(reading.called(writing.output), ending)
    check_targets(writing, name, recipe.NAME)
    selection = recipe.score(reading.rows(writing.output), params)
    table, manifest = recipe.lines(selection), recipe.manifest(selection)
    files = [
        str(writing.output / file) for file in write_scores(writing.output, name, table, manifest)
    ]
    counts, spread = recipe.counts(selection), recipe.spread(selection.scored)
    show_best(selection, writing.show, writing.as_json)
    if spread:
        header = ("column", *next(iter(spread.values())))
        goes_to = console.stderr() if writing.as_json else console.stdout()
        lines = [(column, *numbers.values()) for column, numbers in spread.items()]
        console.show_table(lines, header, goes_to)
    without = ", ".join(f"{rows:,} {status}" for status, rows in counts["unscored"].items())
    left_out = f"; without: {without}" if without else ""
    console.say(f"{counts['scored']:,} of {counts['read']:,} rows have a score{left_out}")
    for note in selection.notes:
        console.say(f"note: {note}")
    console.say(f"scores of every row: {files[0]}; what made them: {files[1]}")
    if writing.as_json:
        columns = list(selection.scored.columns)
        result = {"name": name, **counts, "scores": files[0], "columns": columns, "spread": spread}
        result |= {**selection.details, "files": files}
        result |= {"not_used": not_used(selection.rows.sources)}
        typer.echo(json.dumps(result, ensure_ascii=False))
