"""`curate mods`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console
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

if TYPE_CHECKING:
    from curate.selection import Selection


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
    responder: Annotated[
        str,
        typer.Option(
            metavar="trained|base|M|URL",
            help="Answers the good rows: --model trained on the seeds, or as it is; a model, an "
            "adapter's folder, or http://HOST:PORT/v1#MODEL.",
        ),
    ] = "trained",
    model: Annotated[
        str, typer.Option(help="What `trained` and `base` stand for; see `curate models`.")
    ] = "smollm2",
    seeds_only: Annotated[
        bool, typer.Option("--seeds-only", help="End with quality and coverage; no model answers.")
    ] = False,
    max_necessity: Annotated[
        str,
        typer.Option(
            metavar="X|30%",
            help="Rows whose answer has a lower reward are necessary; 30% takes the lowest 30 %.",
        ),
    ] = "0",
    augment: Annotated[
        int | None,
        typer.Option(help="Necessary rows to add.", show_default="as many as there are seeds"),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Where an answer is cut off.")] = 256,
    train_set: Annotated[
        list[str] | None,
        typer.Option("--train-set", metavar="K=V", help="For `train sft --set`; 3 epochs else."),
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
    show: Show = 5,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Keep good rows that cover the others, and what a model still answers badly.

    MoDS (arXiv 2311.15653). Quality: the reward is above --min-quality.
    Coverage: k-centre greedy over embeddings of the instructions chooses seeds.
    Necessity: --model is trained on the seeds by `train sft` and answers; rows
    whose answers have a low reward are necessary, and k-centre adds some of them.

    Example: curate mods --input huatuo.json --min-quality 60% --responder base
    """
    from curate.emission.emit import check_target, default_name
    from curate.errors import UsageError
    from curate.models.quiet import set_verbose
    from curate.recipes import mods as recipe

    set_verbose(verbose)
    paths = inputs(input, more)
    if seeds_only and responder != "trained":
        raise UsageError(
            f"--seeds-only and --responder {responder}: with seeds only no model answers; give one"
        )
    params = recipe.Params(
        reward=reward,
        encoder=encoder,
        min_quality=min_quality,
        seeds=seeds,
        seed=seed,
        responder="none" if seeds_only else responder,
        model=model,
        max_necessity=max_necessity,
        augment=augment,
        max_new_tokens=max_new_tokens,
        train_set=tuple(train_set or ()),
        good_only=good_only,
    )
    called = name or default_name(paths[0], recipe.NAME)
    place = recipe.Place(output, called, saves, overwrite)
    check_targets(output, called, recipe.NAME, overwrite, with_control)
    if params.responder == "trained":
        check_target(output, recipe.seeds_name(place), recipe.NAME, overwrite)
    recipe.check_responder(params)
    rows = read_inputs(input, more, format, fill)
    found = recipe.mods(rows, params, place)
    _show_stages(found, show, as_json)
    emit_and_show(found, output, called, overwrite, show, as_json, with_control)


def _show_stages(found: Selection, show: int, as_json: bool) -> None:
    """Print what came of each stage and the first added rows, with the model's answers."""
    from curate.selection import short

    goes = console.stderr() if as_json else None
    lines = []
    for stage in found.details["stages"]:
        counts = {name: value for name, value in stage.items() if name not in ("stage", "rows")}
        told = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in counts.items())
        lines.append((stage["stage"], stage["rows"], told))
    console.show_table(lines, ("stage", "rows", "of which"), goes)
    if "augment_rank" not in found.scored.columns or not show:
        return
    frame = found.scores
    added = frame[frame["augment_rank"].notna()].sort_values("augment_rank").head(show)
    answers = [
        (float(score), short(found.rows[int(row)].prompt), short(answer))
        for score, row, answer in zip(added.necessity, added.row, added.answer, strict=True)
    ]
    if answers:
        header = ("necessity", "added: prompt", "the model's answer")
        console.show_table(answers, header, goes)
