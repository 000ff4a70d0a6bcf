"""`curate car`."""

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
    Verbose,
    WithControl,
    check_targets,
    emit_and_show,
    inputs,
    read_inputs,
)


def car(
    input: Input = None,  # noqa: A002 - the option's name
    more: More = None,
    ranker: Annotated[
        str,
        typer.Option(
            help="pairs (bundled), a folder of `curate ranker train`, LLaMA-Factory's output of "
            "stage rm, or a reward model's directory or hub id."
        ),
    ] = "pairs",
    encoder: Annotated[
        str, typer.Option(help="use (bundled), a sentence-transformers directory or a hub id.")
    ] = "use",
    top: Annotated[
        int | None,
        typer.Option(help="Best rows of all.", show_default="1000, at most 10 % of the rows"),
    ] = None,
    per_cluster: Annotated[int, typer.Option(help="Best rows of every cluster.")] = 1,
    clusters: Annotated[
        str, typer.Option(metavar="auto|K", help="auto: the root of half the rows.")
    ] = "auto",
    with_control: WithControl = False,
    good_only: GoodOnly = False,
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
    """Keep the best rows of all, and the best row of every cluster (CaR, arXiv 2402.18191).

    A ranker scores every response; embeddings, cut by PCA to 95 % of their
    variance, are put into clusters by k-means.

    Example: curate car --input huatuo.json --top 100
    """
    from curate.emission.emit import default_name
    from curate.models.quiet import set_verbose
    from curate.recipes import car as recipe

    set_verbose(verbose)
    paths = inputs(input, more)
    params = recipe.Params(ranker, encoder, top, per_cluster, clusters, seed, good_only)
    called = name or default_name(paths[0], recipe.NAME)
    check_targets(output, called, recipe.NAME, overwrite, with_control)
    rows = read_inputs(input, more, format, fill)
    emit_and_show(recipe.car(rows, params), output, called, overwrite, show, as_json, with_control)
