"""`curate mods`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console
from curate.commands.options import SAVES, Reading, Saves, WithControl, Writing
from curate.commands.result import choose
from curate.commands.with_options import with_options
from curate.errors import UsageError
from curate.parameters.mods import NONE, TRAINED, ModsParams

if TYPE_CHECKING:
    from curate.selection import Selection


@with_options
def mods(
    reading: Reading,
    params: ModsParams,
    writing: Writing,
    seeds_only: Annotated[
        bool, typer.Option("--seeds-only", help="End with quality and coverage; no model answers.")
    ] = False,
    saves: Saves = SAVES,
    with_control: WithControl = None,
) -> None:
    """Keep good rows that cover the others, and what a model still answers badly.

    MoDS (arXiv 2311.15653). Quality: the reward is above --min-quality.
    Coverage: k-centre greedy over embeddings of the instructions chooses seeds.
    Necessity: --model is trained on the seeds by `train sft` and answers; rows
    whose answers have a low reward are necessary, and k-centre adds some of them.

    What such scores are worth: at equal rows no better than random rows on average
    (arXiv 2410.09335), and what they keep is longer; --with-control tokens writes
    a control as large.

    Example: curate mods --input huatuo.json --min-quality 60% --responder base
    """
    from curate.emission.emit import check_target
    from curate.recipes import mods as recipe
    from curate.recipes.train_between import Place

    if seeds_only and params.responder != TRAINED:
        raise UsageError(
            f"--seeds-only and --responder {params.responder}: with seeds only no model answers; "
            "give one"
        )
    if seeds_only:
        params = replace(params, responder=NONE)

    def place(name: str) -> Place:
        return Place(writing.output, name, saves, writing.overwrite)

    def check(name: str) -> None:
        if params.responder == TRAINED:
            seeds = recipe.seeds_name(place(name))
            check_target(writing.output, seeds, recipe.NAME, writing.overwrite)
        recipe.check_responder(params)

    choose(
        reading,
        writing,
        recipe.NAME,
        lambda rows, name: recipe.mods(rows, params, place(name)),
        with_control or (),
        check=check,
        tell=lambda selection: _show_stages(selection, writing.show, writing.as_json),
    )


def _show_stages(selection: Selection, show: int, as_json: bool) -> None:
    """Print what came of each stage and the first added rows, with the model's answers."""
    from curate.selection import short

    goes_to = console.stderr() if as_json else None
    lines = []
    for stage in selection.details["stages"]:
        counts = [(name, rows) for name, rows in stage.items() if name not in ("stage", "rows")]
        of_which = ", ".join(f"{rows:,} {name.replace('_', ' ')}" for name, rows in counts)
        lines.append((stage["stage"], stage["rows"], of_which))
    console.show_table(lines, ("stage", "rows", "of which"), goes_to)
    frame = selection.scores
    if not show or "augment_rank" not in frame:
        return
    added = frame[frame["augment_rank"].notna()].sort_values("augment_rank").head(show)
    answers = [
        (float(score), short(selection.rows[int(row)].prompt), short(answer))
        for score, row, answer in zip(added.necessity, added.row, added.answer, strict=True)
    ]
    if answers:
        console.show_table(answers, ("necessity", "added: prompt", "the model's answer"), goes_to)
