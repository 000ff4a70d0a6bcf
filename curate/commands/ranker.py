"""`curate ranker train` and `curate ranker eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from curate import console
from curate.commands.options import AsJson, Seed, Verbose

app = typer.Typer(
    help="Train a small ranker on pairs of a better and a worse response, or judge one.",
    no_args_is_help=True,
)
_PairFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--pairs",
        metavar="F…",
        help="Preference rows (chosen, rejected), CoachLM's expert revisions, or objects with "
        "prompt, better, worse. May be given several times.",
    ),
]
_More = Annotated[list[Path] | None, typer.Argument(metavar="[F…]", help="More files of pairs.")]


@app.command()
def train(
    pairs: _PairFiles = None,
    more: _More = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="use, a sentence-transformers directory or hub id; or a language model: smollm2, "
            "a directory."
        ),
    ] = "use",
    output: Annotated[Path, typer.Option(help="Folder for the ranker.")] = Path("ranker"),
    hold_out: Annotated[
        float, typer.Option(help="Share of the prompts that only judge, at most 0.5.")
    ] = 0.2,
    spoiled: Annotated[
        float,
        typer.Option(
            help="What a pair counts whose worse response is spoiled on purpose: no answer, a "
            "loop, an echo, a response to another prompt. 0 for none."
        ),
    ] = 0.15,
    seed: Seed = 0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Learn from pairs which response is better: a linear head over an encoder's features.

    Example: curate ranker train --pairs dpo_zh_demo.json --encoder use --output ranker
    """
    from curate.models.quiet import set_verbose
    from curate.recipes import ranker as recipe
    from curate.recipes.spoiled_pairs import SOURCE

    set_verbose(verbose)
    params = recipe.TrainParams((*(pairs or ()), *(more or ())), encoder, hold_out, seed, spoiled)
    card = recipe.train(params, output)
    _show(card["nested"], card["dropped"], as_json)
    files = [str(output / name) for name in recipe.FILES]
    console.say("every pair judged by a head that had not seen its prompt")
    if caught := card["spoiled"]["nested"]:
        kinds = [f"{name.removeprefix(SOURCE)} {share:.1%}" for name, share in caught.items()]
        console.say(f"right about spoiled responses: {', '.join(kinds)}")
    console.say(f"the ranker, fitted on all pairs: {files[0]}")
    console.say(f"what it was made of: {files[1]}")
    if as_json:
        judged = card["nested"]
        _json({**judged["all"], "by_file": judged, "held_out": card["held_out"], "files": files})


@app.command("eval")
def evaluate(
    pairs: _PairFiles = None,
    more: _More = None,
    ranker: Annotated[
        str,
        typer.Option(
            help="pairs (bundled), a folder of `curate ranker train`, LLaMA-Factory's output of "
            "stage rm, or a reward model's directory or hub id."
        ),
    ] = "pairs",
    encoder: Annotated[
        str | None, typer.Option(help="Where the ranker's encoder lies, if not as in its card.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Tell how often a ranker scores the better response of a pair higher.

    Example: curate ranker eval --ranker pairs --pairs dpo_zh_demo.json
    """
    from curate.models.quiet import set_verbose
    from curate.recipes import ranker_eval as recipe

    set_verbose(verbose)
    files = (*(pairs or ()), *(more or ()))
    judged = recipe.evaluate(recipe.EvalParams(ranker, files, encoder, seed))
    _show(judged["files"], judged["dropped"], as_json)
    if judged["trained_on"]:
        console.say(
            f"note: '{judged['ranker']}' was trained on {', '.join(judged['trained_on'])}, so its "
            "accuracy there says little; its card has the figures of held-out prompts"
        )
    if as_json:
        _json({"ranker": judged["ranker"], **judged["files"]["all"], "by_file": judged["files"]})


def _show(judged: dict[str, dict[str, Any]], dropped: dict[str, int], as_json: bool) -> None:
    header = ("pairs of", "pairs", "accuracy", "95 % from", "to", "longer wins", "shorter wins")
    keys = ("pairs", "accuracy", "low", "high", "longer_wins", "shorter_wins")
    lines = [(name, *(each[key] for key in keys)) for name, each in judged.items()]
    console.show_table(lines, header, console.stderr() if as_json else None)
    if dropped:
        left = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
        console.say(f"note: pairs left out: {left}")


def _json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))
