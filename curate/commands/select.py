"""`curate select`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate.commands.options import (
    AsJson,
    Fill,
    Format,
    GoodOnly,
    Input,
    More,
    Name,
    Output,
    Overwrite,
    Seed,
    Show,
    TrustRemoteCode,
    Verbose,
    WithControl,
    check_targets,
    emit_and_show,
    inputs,
    read_inputs,
)


def select(
    input: Input = None,  # noqa: A002 - the option's name
    more: More = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="random, superfilter, deita or a selector; or give --by."
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="Share of all rows, or number.", show_default="10%", metavar="10%|N"),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="F…",
            help="NAME.scores.parquet of earlier runs over these rows, for --by and --where.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="EXPRESSION", help="Keep the highest, such as ifd or 2*reward-ifd."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION", help="Choose only among rows where it holds, such as reward > 0."
        ),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(
            metavar="20%|N", show_default="20%", help="superfilter: so many by score, thinned out."
        ),
    ] = None,
    nearest: Annotated[
        float, typer.Option(help="deita: skip a row whose cosine to a kept one is above this.")
    ] = 0.9,
    complexity: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            show_default="of --scores, else IFD",
            help="deita: a language model trained to say how complex an instruction is.",
        ),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            show_default="of --scores, else the bundled ranker",
            help="deita: one trained to say how good a response is.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="superfilter, deita without --by: what computes IFD; see `curate models`."
        ),
    ] = "smollm2",
    encoder: Annotated[
        str,
        typer.Option(
            help="superfilter, deita: use, a sentence-transformers directory or a hub id."
        ),
    ] = "use",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Parameter of a selector, such as neighbours=10."
        ),
    ] = None,
    with_control: WithControl = False,
    stage: Annotated[
        str,
        typer.Option(metavar="sft|kto", help="kto: choose among good and bad rows as they are."),
    ] = "sft",
    good_only: GoodOnly = False,
    format: Format = None,  # noqa: A002 - the option's name
    fill: Fill = None,
    output: Output = Path("data"),
    name: Name = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    trust_remote_code: TrustRemoteCode = False,
    show: Show = 5,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Choose by scores of earlier runs, by a recipe, or at random.

    superfilter (arXiv 2402.00530): of the highest IFD, below 1, the rows that
    stand for the others best. deita (arXiv 2312.15685): the highest
    complexity * quality that are near no kept row. random: the control.
    Every selector is a recipe, too: cluster_rank, diverse, facility_location,
    k_center, middle_band, threshold, top_k, with --set for its parameters.

    DEITA's own scorers are --complexity hkust-nlp/deita-complexity-scorer
    --quality hkust-nlp/deita-quality-scorer, LLaMA of up to 13 billion
    parameters. Without them, and without --scores that have these columns,
    IFD and the bundled ranker stand in for them, and the output says so.

    Scores files are joined to the rows by id. A column that stands in two of
    them with different values is written FILE.column, FILE without
    .scores.parquet. `status` is ok where all files say so.

    Example: curate select --input huatuo.json
    --scores data/huatuo_ifd.scores.parquet --by ifd --keep 10%
    --where "response_tokens > 20 and status == 'ok'"
    """
    from curate.emission.emit import default_name
    from curate.errors import UsageError
    from curate.models.quiet import set_verbose
    from curate.recipes import select as made_by

    set_verbose(verbose)
    paths = inputs(input, more)
    params = made_by.Params(
        recipe=recipe, keep=keep, by=by, where=where, pool=pool, nearest=nearest, model=model,
        encoder=encoder, complexity=complexity, quality=quality, set=tuple(settings or ()),
        seed=seed, trust_remote_code=trust_remote_code, good_only=good_only, stage=stage,
    )  # fmt: skip
    if with_control and recipe == made_by.RANDOM:
        raise UsageError("--with-control: a random choice is a control itself; leave it out")
    made = recipe or made_by.NAME
    called = name or default_name(paths[0], made)
    check_targets(output, called, made, overwrite, with_control)
    rows = read_inputs(input, more, format, fill)
    found = made_by.select(rows, params, scores or ())
    control = None if recipe == made_by.RANDOM else with_control
    emit_and_show(found, output, called, overwrite, show, as_json, control)
