"""`curate mods`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    Show,
    Verbose,
    WithControl,
    check_targets,
    emit_and_show,
    inputs,
    read_inputs,
)


def mods(
    input: Input = None,  # noqa: A002 - the option's name
    more: More = None,
    reward: Annotated[
        str,
        typer.Option(
            help="pairs (bundled), a folder of `curate ranker train`, LLaMA-Factory's output of "
            "stage rm, or a reward model's directory or hub id."
        ),
    ] = "pairs",
    encoder: Annotated[
        str, typer.Option(help="use (bundled), a sentence-transformers directory or a hub id.")
    ] = "use",
    min_quality: Annotated[
        str,
        typer.Option(
            metavar="X|60%",
            help="Reward that rows have to exceed; 60% leaves out the lowest 60 % of rows.",
        ),
    ] = "0",
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Rows to keep of the good ones.", show_default="1000, at most 10 % of them"
        ),
    ] = None,
    with_control: WithControl = False,
    format: Format = None,  # noqa: A002 - the option's name
    fill: Fill = None,
    output: Output = Path("data"),
    name: Name = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    show: Show = 5,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Keep good rows that cover the others: MoDS's seeds (arXiv 2311.15653).

    Quality: the reward is above --min-quality. Coverage: k-centre greedy over
    embeddings of the instructions. These are the first two stages of MoDS.

    Example: curate mods --input huatuo.json --min-quality 60% --seeds 10
    """
    from curate.data.emit import default_name
    from curate.models.quiet import set_verbose
    from curate.recipes import mods as recipe

    set_verbose(verbose)
    paths = inputs(input, more)
    params = recipe.Params(reward, encoder, min_quality, seeds, seed)
    called = name or default_name(paths[0], recipe.NAME)
    check_targets(output, called, recipe.NAME, overwrite, with_control)
    rows = read_inputs(input, more, format, fill)
    found = recipe.mods(rows, params)
    emit_and_show(found, output, called, overwrite, show, as_json, with_control)
