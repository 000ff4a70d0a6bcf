"""`deploy compare`."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from curate import console

if TYPE_CHECKING:
    from deploy.compare.comparison import Comparison

_PAIRS_DOUBT = (
    "the ranker pairs learned from revised answers: it knows how answers are written and no facts, "
    "and a longer answer can please it more than a right one. Read some pairs before you believe it"
)
_DATASET = (
    "Ask only rows that are not in it: of --prompts, else of the files it was chosen from. "
    "Default without --prompts: the tuned run's."
)
_JUDGE = (
    "Who says which answer is better: pairs (bundled), a ranker or reward model, or a model "
    "behind OpenAI's interface, asked in both orders."
)
_MODEL = "smollm2, a folder, hub id or ms://OWNER/NAME, a run, or http://HOST:PORT/v1#MODEL."


def compare(
    base: Annotated[str, Option(metavar="U|PATH", help=f"Before: {_MODEL}")],
    tuned: Annotated[str, Option(metavar="U|PATH", help=f"After: {_MODEL}")],
    prompts: Annotated[
        Path | None, Option(metavar="F", help="Rows that curate reads, or a .txt, a prompt a line.")
    ] = None,
    dataset: Annotated[str | None, Option(metavar="NAME", help=_DATASET)] = None,
    dataset_dir: Annotated[
        Path | None, Option(help="Of dataset_info.json.", show_default="the run's, else data")
    ] = None,
    limit: Annotated[int, Option(help="The most prompts; drawn with --seed.", min=1)] = 100,
    max_tokens: Annotated[int, Option(help="Of an answer, in tokens.", min=1)] = 256,
    judge: Annotated[str | None, Option(metavar="RANKER|URL#MODEL", help=_JUDGE)] = None,
    output: Annotated[Path, Option(help="Folder of the page.")] = Path("reports"),
    name: Annotated[str | None, Option(help="Of files.", show_default="TUNED_beside_BASE")] = None,
    seed: Annotated[int, Option(help="Of intervals and of drawn prompts.", min=0)] = 0,
    as_json: Annotated[bool, Option("--json", help="End stdout with one JSON object.")] = False,
) -> None:
    """See what fine-tuning changed: two models, the same prompts, on one page.

    Answers are greedy and are kept: a run that was stopped goes on from there.
    Exit code 1: the tuned model is worse beyond doubt (a 95 % interval), says
    the judge, or ROUGE-L against the references.
    A server's key is read from CURATRAIN_API_KEY.

    Example: deploy compare --base smollm2 --tuned saves/NAME --judge pairs
    """
    from deploy.compare import comparison, report
    from deploy.compare.answers import load_model
    from deploy.compare.held_out import choose_prompts
    from deploy.compare.judge import load_judge

    began = time.monotonic()
    params = comparison.CompareParams(
        base=base, tuned=tuned, max_tokens=max_tokens, judge=judge, seed=seed
    )
    name = name or report.default_name(base, tuned)
    report.check_target(output, name)
    chosen, notes = choose_prompts(prompts, dataset, dataset_dir, (base, tuned), limit, seed)
    mark = f"{output.resolve()}/{name}"
    sides = [load_model("--base", base, mark), load_model("--tuned", tuned, mark)]
    judging = load_judge(judge, mark) if judge else None
    kept = [answers for _, answers in sides] + ([judging.kept] if judging else [])
    if judge == "pairs":
        notes.append(_PAIRS_DOUBT)
    done: Counter[str] = Counter()

    def progress(who: str, count: int) -> None:
        done[who] += count
        what = "pairs judged" if who == "judge" else f"of {len(chosen.prompts):,} prompts answered"
        console.say(f"{who}: {done[who]:,} {what}")

    compared = comparison.compare(params, sides, chosen, judging, progress, notes)
    paths = report.write(compared, output, name, time.monotonic() - began)
    for answers in filter(None, kept):
        answers.forget()
    _show(compared, paths, as_json)
    if as_json:
        files = [str(path) for path in paths]
        result = {"name": name, **report.counts(compared), "files": files}
        typer.echo(json.dumps(result, ensure_ascii=False))
    if compared.worse:
        raise typer.Exit(1)


def _show(compared: Comparison, paths: list[Path], as_json: bool) -> None:
    from deploy.compare import report

    console.say(report.asked_line(compared))
    for note in compared.notes:
        console.say(f"note: {note}")
    if compared.measures:
        header = ("mean of the answers", "base", "tuned", "difference [95 %]", "tuned is")
        lines = [report.cells(measure) for measure in compared.measures]
        console.show_table(lines, header, console.stderr() if as_json else None)
    if compared.wins is not None:
        console.say(report.win_line(compared.wins))
        if doubts := report.doubts(compared.wins):
            console.say(f"  {doubts}")
    if line := report.untold_line(compared):
        console.say(line)
    for by in compared.worse:
        console.say(f"finding: the tuned model is worse by {by}")
    console.say(f"side by side: {paths[0]}; a line a prompt: {paths[1]}")
