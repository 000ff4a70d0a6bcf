"""`curate score`."""

from __future__ import annotations

import json
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
    TrustRemoteCode,
    Verbose,
    check_targets,
    inputs,
    read_inputs,
)

if TYPE_CHECKING:
    from curate.selection import Selection


def score(
    input: Input = None,  # noqa: A002 - the option's name
    more: More = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="complexity, ifd, length, quality or reward; may be given several times.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            show_default="smollm2",
            help="ifd, complexity, quality: a name of `curate models`, a directory or a hub id.",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Of --model; auto: bfloat16 where it is fast.",
            metavar="auto|float32|bfloat16",
            show_default="auto",
        ),
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            show_default="pairs",
            help="reward: pairs (bundled), a folder of `curate ranker train`, LLaMA-Factory's "
            "output of stage rm, or a reward model's directory or hub id.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="reward: where the ranker's encoder lies, if not as in its card."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="ifd: how a row becomes text.",
            metavar="auto|chat|alpaca|none",
            show_default="auto",
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            help="ifd, complexity, quality: tokens of a row; longer rows are not scored.",
            show_default="1024; complexity, quality: 2048",
        ),
    ] = None,
    format: Format = None,  # noqa: A002 - the option's name
    fill: Fill = None,
    output: Annotated[Path, typer.Option(help="Folder for scores and manifest.")] = Path("data"),
    name: Annotated[
        str | None,
        typer.Option(help="Of the files; default: the input's stem, score and the scorers."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another's files of that name.")
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
    show: Annotated[int, typer.Option(help="Print so many rows, highest first.", min=0)] = 5,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Score rows and choose none: writes NAME.scores.parquet, and no data set.

    `curate select --scores FILE --by COLUMN` chooses by scores, and several
    files can be joined there.

    Example: curate score --input huatuo.json --scorer reward --scorer length
    """
    from curate.emission.emit import default_name
    from curate.models.quiet import set_verbose
    from curate.recipes import score as recipe

    set_verbose(verbose)
    paths = inputs(input, more)
    params = recipe.Params(
        tuple(each for name in scorer or () for each in name.split(",")),
        model,
        dtype,
        trust_remote_code,
        reward,
        encoder,
        template,
        max_length,
    )
    called = name or default_name(paths[0], "_".join((recipe.NAME, *params.scorer)))
    check_targets(output, called, recipe.NAME, overwrite, False)
    rows = read_inputs(input, more, format, fill)
    _write_and_show(recipe.score(rows, params), output, called, show, as_json)


def _write_and_show(found: Selection, output: Path, name: str, show: int, as_json: bool) -> None:
    from curate.emission.emit import write_scores
    from curate.recipes import score as recipe

    files = [
        str(output / each)
        for each in write_scores(output, name, recipe.lines(found), recipe.manifest(found))
    ]
    goes_to = console.stderr() if as_json else console.stdout()
    counts, spread = recipe.counts(found), recipe.spread(found.scored)
    if show and counts["scored"]:
        best = found.top(show).drop(columns=["id", "source"])
        console.show_table(list(best.itertuples(index=False)), list(best.columns), goes_to)
    if spread:
        header = ("column", *next(iter(spread.values())))
        console.show_table([(at, *each.values()) for at, each in spread.items()], header, goes_to)
    said = ", ".join(f"{rows:,} {status}" for status, rows in counts["unscored"].items())
    without = f"; without: {said}" if said else ""
    console.say(f"{counts['scored']:,} of {counts['read']:,} rows have a score{without}")
    for note in found.notes:
        console.say(f"note: {note}")
    console.say(f"scores of every row: {files[0]}; what made them: {files[1]}")
    if as_json:
        columns = list(found.scored.columns)
        told = {"name": name, **counts, "scores": files[0], "columns": columns, "spread": spread}
        typer.echo(json.dumps({**told, "files": files}, ensure_ascii=False))
