"""`deploy compare`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console

if TYPE_CHECKING:
    from deploy.compare.comparison import Comparison

_FINDING = 1
_PAIRS_DOUBT = (
    "the ranker pairs learned from revised answers: it knows how answers are written and no facts, "
    "and a longer answer can please it more than a right one. Read some pairs before you believe it"
)
_MODEL = "smollm2, a directory, a hub id, the folder of a run, or http://HOST:PORT/v1#MODEL."


def compare(
    base: Annotated[str, typer.Option(metavar="U|PATH", help=f"Before: {_MODEL}")],
    tuned: Annotated[str, typer.Option(metavar="U|PATH", help=f"After: {_MODEL}")],
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="F", help="Rows in any format that curate reads, or a .txt, a prompt a line."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Ask only rows that are not in this data set: of --prompts, else of the files it "
            "was chosen from. Default without --prompts: the tuned run's.",
        ),
    ] = None,
    dataset_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of dataset_info.json.", show_default="the run's, else data"),
    ] = None,
    limit: Annotated[int, typer.Option(help="The most prompts; drawn with --seed.", min=1)] = 100,
    max_tokens: Annotated[int, typer.Option(help="Of an answer, in tokens.")] = 256,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="RANKER|URL#MODEL",
            help="Who says which answer is better: pairs (bundled), a ranker or reward model, or "
            "a model behind OpenAI's interface, asked in both orders.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("reports"),
    name: Annotated[
        str | None, typer.Option(help="Of the files.", show_default="TUNED_beside_BASE")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of intervals and of drawn prompts.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="End stdout with one JSON object.")
    ] = False,
) -> None:
    """See what fine-tuning changed: two models, the same prompts, on one page.

    Answers are greedy and are kept: a run that was stopped goes on from there.
    Exit code 1: the tuned model is worse beyond doubt (a 95 % interval), says
    the judge, or ROUGE-L against the references.
    A server's key is read from CURATRAIN_API_KEY.

    Example: deploy compare --base smollm2 --tuned saves/NAME --judge pairs
    """
    from deploy.compare import comparison, files
    from deploy.compare.answers import load_side
    from deploy.compare.judge import load_judge
    from deploy.compare.which_prompts import asked

    began = time.monotonic()
    params = comparison.CompareParams(
        base=base, tuned=tuned, max_tokens=max_tokens, judge=judge, seed=seed
    )
    called = name or files.default_name(base, tuned)
    files.check_target(output, called)
    chosen, notes = asked(prompts, dataset, dataset_dir, (base, tuned), limit, seed)
    mark = f"{output.resolve()}/{called}"
    sides = [load_side("--base", base), load_side("--tuned", tuned)]
    judging, passing = load_judge(judge, mark) if judge else (None, [])
    found, more = comparison.compare(
        params,
        sides,
        chosen,
        judging,
        mark,
        _progress(len(chosen)),
        [*notes, *([_PAIRS_DOUBT] if judge == "pairs" else [])],
    )
    paths = files.write(found, output, called, time.monotonic() - began)
    for each in (*passing, *more):
        each.forget()
    _show(found, paths, as_json)
    if as_json:
        typer.echo(json.dumps(files.result(found, called, paths), ensure_ascii=False))
    if found.worse:
        raise typer.Exit(_FINDING)


def _progress(total: int) -> Callable[[str, int], Any]:
    done: dict[str, int] = {}

    def tell(who: str, count: int) -> None:
        done[who] = done.get(who, 0) + count
        what = "pairs judged" if who == "judge" else f"of {total:,} prompts answered"
        console.say(f"{who}: {done[who]:,} {what}")

    return tell


def _show(found: Comparison, paths: list[Path], as_json: bool) -> None:
    from deploy.compare.summary import (
        asked_line,
        difference,
        doubts,
        number,
        untold_line,
        verdict_words,
        win_line,
    )

    console.say(asked_line(found))
    for note in found.notes:
        console.say(f"note: {note}")
    lines = [
        (
            each.title,
            number(each.base, each.name),
            number(each.tuned, each.name),
            difference(each),
            verdict_words(each.verdict),
        )
        for each in found.measures
    ]
    goes = console.stderr() if as_json else None
    if lines:
        header = ("mean of the answers", "base", "tuned", "difference [95 %]", "tuned is")
        console.show_table(lines, header, goes)
    if found.wins is not None:
        console.say(win_line(found.wins))
        if more := doubts(found.wins):
            console.say(f"  {more}")
    if line := untold_line(found):
        console.say(line)
    for each in found.worse:
        console.say(f"finding: the tuned model is worse by {each}")
    console.say(f"side by side: {paths[0]}; a line a prompt: {paths[1]}")
