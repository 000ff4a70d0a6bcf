"""`curate ifd`."""

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


def ifd(
    input: Input = None,  # noqa: A002 - the option's name
    more: More = None,
    model: Annotated[
        str, typer.Option(help="A name of `curate models`, a directory or a hub id.")
    ] = "smollm2",
    keep: Annotated[
        str | None,
        typer.Option(help="Share of all rows, or number.", show_default="10%", metavar="10%|N"),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            help="loss: ratio of mean losses (Cherry_LLM); ppl: of perplexities (Superfiltering).",
            metavar="loss|ppl",
        ),
    ] = "loss",
    template: Annotated[
        str, typer.Option(help="How a row becomes text.", metavar="auto|chat|alpaca|none")
    ] = "auto",
    max_length: Annotated[
        int | None,
        typer.Option(
            help="Tokens of prompt and response; longer rows are not scored.",
            show_default="1024, or what the model takes",
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="auto: bfloat16 where it is fast.", metavar="auto|float32|bfloat16")
    ] = "auto",
    keep_above_one: Annotated[
        bool, typer.Option("--keep-above-one", help="Keep rows whose IFD is 1 or more, too.")
    ] = False,
    brief_experience: Annotated[
        bool,
        typer.Option(
            "--brief-experience",
            help="Train the model on a few rows first, then score with it; needs `train setup`.",
        ),
    ] = False,
    experience: Annotated[
        str,
        typer.Option(
            metavar="auto|CxN",
            help="Rows of the brief experience: clusters x rows of each; auto: 100x10, fewer of "
            "few rows.",
        ),
    ] = "auto",
    train_set: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="For `train sft --set` of the brief experience."),
    ] = None,
    saves: Annotated[Path, typer.Option(help="Folder of the trained model.")] = Path("saves"),
    with_control: WithControl = False,
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
    """Keep the rows whose instruction helps the model least to expect the response.

    IFD = mean NLL(response | prompt) / mean NLL(response), in nats a token. Higher = harder to
    follow; rows at or above 1, where the instruction does not help at all, are left out.

    Example: curate ifd --input huatuo.json --keep 10%
    With the paper's first stage: curate ifd --input huatuo.json --brief-experience
    """
    from curate.emission.emit import default_name
    from curate.models.quiet import set_verbose
    from curate.recipes import ifd as recipe
    from curate.recipes.initial_model import Place

    set_verbose(verbose)
    paths = inputs(input, more)
    params = recipe.Params(
        *(model, keep, form, template, max_length, dtype, keep_above_one, seed, trust_remote_code),
        *(brief_experience, experience, tuple(train_set or ())),
        good_only=good_only,
    )
    called = name or default_name(paths[0], recipe.NAME)
    check_targets(output, called, recipe.NAME, overwrite, with_control)
    place = Place(output, called, saves, overwrite)
    rows = read_inputs(input, more, format, fill)
    found = recipe.ifd(rows, params, place)
    emit_and_show(found, output, called, overwrite, show, as_json, with_control)
