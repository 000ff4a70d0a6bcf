"""`curate select`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate.commands.options import Reading, WithControl, Writing
from curate.commands.result import choose
from curate.commands.with_options import with_options
from curate.errors import UsageError
from curate.parameters.select import RANDOM, SelectParams


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
    with_control: WithControl = False,
) -> None:
    """Choose by scores of earlier runs, by a recipe, or at random.

    superfilter (arXiv 2402.00530): of the highest IFD, below 1, the rows that
    stand for the others best. deita (arXiv 2312.15685): the highest
    complexity * quality that are near no kept row. random: the control.
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

    Example: curate select --input huatuo.json
    --scores data/huatuo_ifd.scores.parquet --by ifd --keep 10%
    --where "response_tokens > 20 and status == 'ok'" --between 25% 75%
    Example: curate select --input huatuo.json --recipe clusters --keep 10%
    --set share=equal --set clusters=50
    """
    from curate.recipes import select as recipe

    if with_control and params.recipe == RANDOM:
        raise UsageError("--with-control: a random choice is a control itself; leave it out")
    choose(
        reading,
        writing,
        params.recipe or recipe.NAME,
        lambda rows, _: recipe.select(rows, params, scores or ()),
        None if params.recipe == RANDOM else with_control,
    )
