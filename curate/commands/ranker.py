"""`curate ranker train` and `curate ranker eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import DATA, AsJson, Named, Verbose, say_what_was_read
from curate.commands.with_options import add, with_options
from curate.errors import UsageError
from curate.parameters.engine import EngineParams
from curate.parameters.option import option
from curate.parameters.ranker import JudgeParams, RankerParams

if TYPE_CHECKING:
    from curate.data.rows import Rows

app = typer.Typer(
    help="Train a small ranker on pairs of a better and a worse response, or judge one.",
    no_args_is_help=True,
)


@dataclass(frozen=True)
class _Pairs(Named):
    pairs: list[Path] | None = option(
        None,
        "Preference rows (chosen and rejected, or better and worse), or CoachLM's expert "
        "revisions. May be given several times.",
        metavar="F…",
    )
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="[F…]", help="More files of pairs.")
    ] = None

    def read(self) -> list[Path | Rows]:
        """Return the files, or the rows of registered data sets."""
        paths = [*(self.pairs or ()), *(self.more or ())]
        if self.dataset is None:
            return [*paths]
        if paths or self.naming():
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


@with_options
def train(
    pairs: _Pairs,
    params: RankerParams,
    engine: EngineParams,
    output: Path = option(Path("ranker"), "Folder for the ranker."),
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Learn from pairs which response is better: a linear head over an encoder's features.

    Example: curate ranker train --pairs dpo_zh_demo.json --encoder use --output ranker
    """
    from curate.engine import using
    from curate.recipes import ranker as recipe
    from curate.recipes.ranker import SOURCE

    with using(engine):
        card = recipe.train(pairs.read(), params, output, pairs.naming())
    _show(card["nested"], card["dropped"])
    files = [output / name for name in recipe.FILES]
    console.say("every pair judged by a head that had not seen its prompt")
    if caught := card["spoiled"]["nested"]:
        kinds = [f"{name.removeprefix(SOURCE)} {share:.1%}" for name, share in caught.items()]
        console.say(f"right about spoiled responses: {', '.join(kinds)}")
    console.say(f"the ranker, fitted on all pairs: {files[0]}")
    console.say(f"what it was made of: {files[1]}")
    judged, held_out = card["nested"], card["held_out"]
    console.answer({**judged["all"], "by_file": judged, "held_out": held_out, "files": files})


@with_options
def evaluate(
    pairs: _Pairs,
    params: JudgeParams,
    engine: EngineParams,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Tell how often a ranker scores the better response of a pair higher.

    Example: curate ranker eval --ranker pairs --pairs dpo_zh_demo.json
    """
    from curate.engine import using
    from curate.recipes import ranker as recipe

    with using(engine):
        judged = recipe.evaluate(pairs.read(), params, pairs.naming())
    _show(judged["files"], judged["dropped"])
    if judged["trained_on"]:
        console.say(
            f"note: '{judged['ranker']}' was trained on {', '.join(judged['trained_on'])}, so its "
            "accuracy there says little; its card has the figures of held-out prompts"
        )
    every = judged["files"]
    console.answer({"ranker": judged["ranker"], **every["all"], "by_file": every})


add(app, "train", train)
add(app, "eval", evaluate)


def _show(judged: dict[str, dict[str, Any]], dropped: dict[str, int]) -> None:
    header = ("pairs of", "pairs", "accuracy", "95 % from", "to", "longer wins", "shorter wins")
    keys = ("pairs", "accuracy", "low", "high", "longer_wins", "shorter_wins")
    lines = [(name, *(figures[key] for key in keys)) for name, figures in judged.items()]
    console.show_table(lines, header)
    if dropped:
        left = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
        console.say(f"note: pairs left out: {left}")
