"""`curate select`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console
from curate.commands.options import Reading, WithControl, Writing, say_what_was_read
from curate.commands.result import choose
from curate.commands.with_options import BETWEEN, with_options
from curate.errors import UsageError
from curate.parameters.select import RANDOM, SelectParams

if TYPE_CHECKING:
    from rich.console import Console

    from curate.data.rows import Rows
    from curate.selection import Selection

_NAMED = 10  # questions that got little are named


@with_options
def select(
    reading: Reading,
    params: SelectParams,
    writing: Writing,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="F…",
            help="NAME.scores.parquet of earlier runs over these rows, for --by and --where.",
        ),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            metavar="F…",
            help="like: questions as the model will get them, files or registered names, .txt a "
            "line each; once more is another set.",
        ),
    ] = None,
    with_control: WithControl = None,
) -> None:
    """Choose by scores of earlier runs, by a recipe, or at random.

    superfilter (arXiv 2402.00530): of the highest IFD, below 1, the rows that
    stand for the others best. deita (arXiv 2312.15685): the highest
    complexity * quality that are near no kept row. random: the control.
    like (RDS+, 2503.01807): each question of --like in turn takes the row most
    like it that none has taken; as published with --model, whose hidden states
    take the place of the encoder's vectors.
    3ds (2410.10901): rows that --model finds good, of middle difficulty for
    it, and unlike each other. answers (GRAPE, 2502.04194): of several answers
    to one prompt, the one that --model finds likeliest.
    clusters (2409.11378): several rows of every cluster, by its size. longest
    (2402.04833): most response tokens. They and every other selector take
    --set for their parameters: cluster_rank, diverse, facility_location,
    k_center, middle_band, threshold, top_k.

    DEITA's own scorers are --complexity hkust-nlp/deita-complexity-scorer
    --quality hkust-nlp/deita-quality-scorer, LLaMA of up to 13 billion
    parameters. Without them, and without --scores that have these columns,
    IFD and the bundled ranker stand in for them, and the output says so.

    Scores files are joined to the rows by id. A column that stands in two of
    them with different values is written FILE.column, FILE without
    .scores.parquet, and in quotes where it is no plain word:
    --by "'my-data_ifd'.ifd". `status` is ok where all files say so.

    Preference pairs need no scores file: --by margin --where "not contradicted"
    scores them with the bundled ranker; `curate score --help` names the columns.
    What is chosen of them is for dpo and rm.

    Example: curate select --input huatuo.json
    --scores data/huatuo_ifd.scores.parquet --by ifd --keep 10%
    --where "response_tokens > 20 and status == 'ok'" --between 25% 75%
    Example: curate select --input huatuo.json --recipe clusters --keep 10%
    --set share=equal --set clusters=50
    Example: curate select --input huatuo.json --recipe like
    --like liver.json --like heart.txt --keep 500
    """
    from curate.recipes import like as by_questions
    from curate.recipes import select as recipe

    if with_control and params.recipe == RANDOM:
        raise UsageError("--with-control: a random choice is a control itself; leave it out")
    sets = [[Path(name) for name in names.split(BETWEEN)] for names in like or ()]

    def run(rows: Rows, _: str) -> Selection:
        by_questions.check_given(params, sets)
        read = by_questions.read_sets(sets, reading.folder(writing.output))
        for questions in (each for some in read for each in some):
            say_what_was_read(questions)
        return recipe.select(rows, params, scores or (), read)

    choose(
        reading,
        writing,
        params.recipe or recipe.NAME,
        run,
        None if params.recipe == RANDOM else with_control or (),
        tell=lambda selection: _tell(selection, console.stderr() if writing.as_json else None),
    )


def _tell(selection: Selection, on: Console | None) -> None:
    """Show what each set of questions got; name those without a row, or with nothing near."""
    sets = selection.details.get("like", ())
    if not sets:
        return
    header = ("set", "files", "questions", "rows", "without rows", "nothing near", "median best")
    keys = ("questions", "rows", "without_rows", "nothing_near", "median_best")
    lines = [(s["set"], ", ".join(s["files"]), *(s[key] for key in keys)) for s in sets]
    console.show_table(lines, header, on)
    named = [each for s in sets for each in s["each"] if not (each["near"] and each["rows"])]
    if named:
        console.say(
            f"{len(named):,} questions got no row or find nothing near, that is, none as like them "
            f"as 95 of 100 rows are to another row (similarity {selection.details['near']})"
            + (f"; the first {_NAMED}, the others are in the manifest" * (len(named) > _NAMED))
        )
        named = sorted(named, key=lambda each: (each["near"], each["best"]))[:_NAMED]
        cells = ("best", "rows", "id", "text")
        console.show_table([[each[cell] for cell in cells] for each in named], cells, on)
