"""`deploy compare` and `deploy eval`: answers and exams of models, side by side."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import MISSING, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from curate import console
from curate.errors import UsageError
from curate.parameters.option import option

if TYPE_CHECKING:
    from deploy.compare.comparison import Comparison
    from deploy.exam.questions import Exam
    from deploy.exam.result import Result

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
_EXAM = (
    "Questions with options and an answer, as CMExam, CMB, C-Eval, MedQA, MMLU have them; one "
    "file or more."
)
_EXAM_TOKENS = 64
_HARNESS = "Let lm-evaluation-harness compute the letters, too (`deploy setup eval` brings it)."
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
    exam: list[Path] | None = option(None, _EXAM, metavar="F…"),
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
    from deploy.compare.asking import load_model
    from deploy.compare.held_out import choose_prompts
    from deploy.compare.pairs import load_judge
    from deploy.exam.questions import read_exam
    from deploy.output import check_target, default_name, model_name

    began = time.monotonic()
    base, tuned = model_name(base), model_name(tuned)
    params = comparison.CompareParams(
        base=base, tuned=tuned, limit=limit, max_tokens=max_tokens, judge=judge, seed=seed
    )
    name = name or default_name(tuned, "beside", base)
    check_target(output, name)
    questions = read_exam(exam, seed=seed) if exam else None
    mark = f"{output.resolve()}/{name}"
    sides = [load_model("--base", base, mark), load_model("--tuned", tuned, mark)]
    chosen, notes = choose_prompts(prompts, dataset, dataset_dir, (base, tuned), limit, seed)
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
    sat_exam = (
        _sat([*dict.fromkeys((base, tuned))], questions, _EXAM_TOKENS, mark) if questions else None
    )
    paths = report.write(compared, output, name, time.monotonic() - began, sat_exam)
    kept += [answers for each in sat_exam.sittings for answers in each.kept] if sat_exam else []
    for answers in filter(None, kept):
        answers.forget()
    if sat_exam:
        _show_exam(sat_exam)
    _show(compared, paths)
    console.answer({"name": name, **report.counts(compared, sat_exam), "files": paths})
    if compared.worse:
        raise typer.Exit(1)


def eval_(
    models: Annotated[
        list[str],
        Argument(metavar="MODEL|RUN|URL...", help="One or more, as `deploy compare` takes them."),
    ],
    exam: list[Path] = option(MISSING, _EXAM, metavar="F…"),
    shots: Annotated[
        int,
        Option(help="Questions shown with their answers before; 0 or 5 are usual.", min=0, max=20),
    ] = 0,
    subject: Annotated[
        str, Option(metavar="KEY", help="Key that names the subject.", show_default="subject, …")
    ] = "",
    limit: Annotated[
        int | None, Option(help="The most questions; drawn with --seed.", min=1, show_default="all")
    ] = None,
    max_tokens: Annotated[int, Option(help="Of an answer, in tokens.", min=1)] = _EXAM_TOKENS,
    harness: Annotated[bool, Option("--harness", help=_HARNESS)] = False,
    output: Annotated[Path, Option(help="Folder of the two files.")] = Path("reports"),
    name: Annotated[str | None, Option(help="Of the files.", show_default="MODEL_in_EXAM")] = None,
    seed: Annotated[int, Option(help="Of drawn questions.", min=0)] = 0,
    as_json: Annotated[bool, Option("--json", help="End stdout with one JSON object.")] = False,
) -> None:
    """See how models do in an exam: questions with options, of which one is right.

    Each model answers in two ways, which may be tens of points apart: by the
    letter that is likeliest, and by what it says. What names no letter, or
    several, is counted as not read, and wrong. Questions that stand in what a
    run was trained on are left out of a second column. Answers are kept.

    Example: deploy eval smollm2 saves/NAME --exam cmexam.csv --shots 5
    """
    from curate.models.openai_client import is_address
    from deploy.exam.harness import python
    from deploy.exam.questions import read_exam
    from deploy.exam.result import write
    from deploy.output import check_target, default_name, model_name

    models = [*map(model_name, models)]
    if harness and all(map(is_address, models)):
        raise UsageError(
            "--harness loads models itself and asks no server; give a model or a run, too"
        )
    if harness:
        python()  # or raise before hours of answers
    name = name or default_name(models[-1], "in", exam[0].stem)
    check_target(output, name)
    questions = read_exam(exam, shots, limit, seed, subject)
    result = _sat(models, questions, max_tokens, f"{output.resolve()}/{name}", harness)
    params = {"shots": shots, "subject": subject, "limit": limit, "max_tokens": max_tokens}
    params |= {"harness": harness, "seed": seed}
    paths = write(result, output, name, params)
    for each in result.sittings:
        for answers in each.kept:
            answers.forget()
    _show_exam(result)
    console.say(f"a line a question: {paths[0]}; what made it: {paths[1]}")
    console.answer({"name": name, **result.as_dict(), "files": paths})


def _sat(
    models: list[str], questions: Exam, max_tokens: int, mark: str, harness: bool = False
) -> Result:
    from curate.models.openai_client import is_address
    from deploy.compare.asking import load_model
    from deploy.exam.harness import likeliest
    from deploy.exam.result import Result
    from deploy.exam.sitting import HARNESS, sit
    from deploy.output import told_apart

    asked, sittings = len(questions.questions), []
    # All before the first is asked, and each given away: its memory is free when the next loads.
    opened = [load_model("deploy eval", model, mark) for model in models]
    names = told_apart(models, [generator.name for generator, _ in opened])
    if len({*names}) < len(names):
        raise UsageError(f"{' '.join(models)}: a model is given twice; give each once")
    for model, name in zip(models, names, strict=True):
        bar = console.progress(f"{name} in the exam")
        bar.start(2 * asked, 2 * asked, 0)
        sitting = sit(model, *opened.pop(0), questions, max_tokens, mark, bar.advance)
        bar.stop()
        by_harness = {}
        if harness and not is_address(model):
            by_harness[HARNESS] = likeliest(model, questions, console.say)
        letters = {**sitting.letters, **by_harness}
        sittings.append(replace(sitting, name=name, letters=letters))
    return Result(questions, tuple(sittings))


def _show_exam(result: Result) -> None:
    for header, lines in result.tables:
        console.show_table(lines, header)
    for sentence in result.sentences:
        console.say(sentence)


def _show(compared: Comparison, paths: list[Path]) -> None:
    from deploy.compare import report

    console.say(report.asked_line(compared))
    for note in compared.notes:
        console.say(f"note: {note}")
    if compared.measures:
        header = ("mean of the answers", "base", "tuned", "difference [95 %]", "tuned is")
        lines = [report.cells(measure) for measure in compared.measures]
        console.show_table(lines, header)
    if compared.wins is not None:
        console.say(report.win_line(compared.wins))
        if doubts := report.doubts(compared.wins):
            console.say(f"  {doubts}")
    if line := report.untold_line(compared):
        console.say(line)
    for by in compared.worse:
        console.say(f"finding: the tuned model is worse by {by}")
    console.say(f"side by side: {paths[0]}; a line a prompt: {paths[1]}")
