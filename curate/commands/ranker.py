"""`curate ranker train` and `curate ranker eval`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import (
    DATA,
    AsJson,
    Columns,
    Dataset,
    DatasetDir,
    Roles,
    Verbose,
    named,
    say_what_was_read,
)
from curate.commands.with_options import spreading, with_options
from curate.errors import UsageError
from curate.parameters.ranker import JudgeParams, RankerParams

if TYPE_CHECKING:
    from curate.data.naming import Naming
    from curate.data.rows import Rows

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
_Command = spreading("--pairs", "--columns", "--roles", "--dataset")
_More = Annotated[list[Path] | None, typer.Argument(metavar="[F…]", help="More files of pairs.")]


@dataclass(frozen=True)
class _Pairs:
    pairs: _PairFiles = None
    more: _More = None
    columns: Columns = None
    roles: Roles = None
    dataset: Dataset = None
    dataset_dir: DatasetDir = None

    def read(self) -> list[Path | Rows]:
        """Return the files, or the rows of registered data sets."""
        paths = [*(self.pairs or ()), *(self.more or ())]
        if self.dataset is None:
            return [*paths]
        if paths or self.named():
            raise UsageError(
                f"--dataset {self.dataset[0]}: its entry in dataset_info.json says where its pairs "
                "are and how they are read; leave --pairs, --columns and --roles out"
            )
        from curate.data.read import read

        folder = self.dataset_dir or DATA
        sets = [read(dataset=name, dataset_dir=folder) for name in self.dataset]
        for rows in sets:
            say_what_was_read(rows)
        return [*sets]

    def named(self) -> Naming:
        return named(self.columns, self.roles)


@app.command(cls=_Command)
@with_options
def train(
    pairs: _Pairs,
    params: RankerParams,
    output: Annotated[Path, typer.Option(help="Folder for the ranker.")] = Path("ranker"),
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
    card = recipe.train(pairs.read(), params, output, pairs.named())
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


@app.command("eval", cls=_Command)
@with_options
def evaluate(
    pairs: _Pairs, params: JudgeParams, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Tell how often a ranker scores the better response of a pair higher.

    Example: curate ranker eval --ranker pairs --pairs dpo_zh_demo.json
    """
    from curate.models.quiet import set_verbose
    from curate.recipes import ranker as recipe

    set_verbose(verbose)
    judged = recipe.evaluate(pairs.read(), params, pairs.named())
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
    lines = [(name, *(figures[key] for key in keys)) for name, figures in judged.items()]
    console.show_table(lines, header, console.stderr() if as_json else None)
    if dropped:
        left = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
        console.say(f"note: pairs left out: {left}")


def _json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))
