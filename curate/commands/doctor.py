"""`curate doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import (
    AsJson,
    Fill,
    Input,
    More,
    Overwrite,
    TrustRemoteCode,
    inputs,
)
from curate.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from curate.llamafactory.doctor.data_set import Subject
    from curate.llamafactory.doctor.diagnosis import Diagnosis
    from curate.llamafactory.doctor.repair import Repaired


def doctor(
    input: Input = None,  # noqa: A002 - the option's name
    more: More = None,
    dataset_dir: Annotated[
        Path | None, typer.Option(help="Folder of dataset_info.json.", show_default="data")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Name in dataset_info.json.", metavar="NAME…")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(metavar="pt|sft|rm|dpo|kto", help="Default: the one the entry is meant for."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Whose tokenizer measures what --cutoff-len leaves.")
    ] = None,
    cutoff_len: Annotated[
        int | None, typer.Option(help="Tokens of a row, as in the training.", metavar="N")
    ] = None,
    template: Annotated[
        str,
        typer.Option(
            help="LLaMA-Factory's, as in the training; own: the tokenizer's.",
            metavar="auto|chatml|default|alpaca|empty|own",
        ),
    ] = "auto",
    no_packing: Annotated[
        bool, typer.Option("--no-packing", help="Stage pt: rows are cut, not packed.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write NAME_fixed, with every row that can be used.")
    ] = False,
    fill: Fill = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for --fix; that of dataset_info.json, else data.", metavar="DIR"),
    ] = None,
    overwrite: Overwrite = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Tell what LLaMA-Factory 0.9.5 will do with a data set: what it uses, drops, loses in silence.

    A file is judged under the entry that most people would write for it; a registered data set
    under its own. Ends with 1 if anything is lost, and with 0 if all is well.

    Example: curate doctor --input dpo_zh.jsonl --fix
    """
    from curate.data.placeholders import pairs
    from curate.recipes import doctor as recipe

    recipe.check_stage(stage)
    measure = recipe.cutoff_of(model, cutoff_len, template, no_packing, trust_remote_code)
    paths = inputs(input, more) if input or more else None
    filled = pairs(fill or [])
    if filled and not fix:
        raise UsageError("--fill puts text where rows have placeholders, and goes with --fix")
    on = console.stderr() if as_json else console.stdout()
    found: list[Diagnosis] = []
    results: list[dict[str, Any]] = []
    lost = False
    for subject in recipe.subjects(paths, dataset_dir, dataset, filled):
        before = recipe.diagnose(subject, stage, measure)
        _tell(before, on)
        found.append(before)
        lost = lost or not (before.well or fix)
        if fix and before.well:
            console.say("nothing to repair, nothing was written")
        elif fix:
            made = recipe.fixed(subject, dataset_dir, output, overwrite)
            after = recipe.diagnose(made.subject, stage, measure)
            _tell_fixed(subject, made, before, after, on)
            lost = lost or bool(made.dropped) or not after.well
            results.append({**after.as_dict(), "dropped": made.dropped, "files": list(made.files)})
    if as_json:
        answer = recipe.as_json(found)
        typer.echo(json.dumps({**answer, "fixed": results} if fix else answer, ensure_ascii=False))
    if lost:
        raise typer.Exit(1)


def _tell(diagnosis: Diagnosis, on: Console) -> None:
    """Show a diagnosis: the entry, how many rows, what was found and what it means."""
    from curate.llamafactory.doctor.diagnosis import HEADER, one_line

    how = "judged as most people would register it" if diagnosis.assumed else "entry"
    console.say(f"{diagnosis.name}: {how}: {one_line(diagnosis.entry)}")
    if diagnosis.better is not None and not diagnosis.well:
        console.say(f"  curate registers: {one_line(diagnosis.better)}")
    lines = diagnosis.lines()
    if lines:
        console.show_table(lines, HEADER, on)
    for each in diagnosis.explained():
        on.print(each, markup=False, emoji=False, soft_wrap=True)
    on.print(diagnosis.summary(), markup=False, emoji=False, soft_wrap=True)


def _tell_fixed(
    subject: Subject, made: Repaired, before: Diagnosis, after: Diagnosis, on: Console
) -> None:
    """Show what was written, and what LLaMA-Factory will do with it."""
    lines = [("usable before", before.usable), ("written", made.written)]
    lines += [(f"left out: {reason}", rows) for reason, rows in made.dropped.items()]
    console.show_table([*lines, ("usable after", after.usable)], on=on)
    for each in after.explained():
        on.print(each, markup=False, emoji=False, soft_wrap=True)
    console.say(f"'{after.name}' is registered for LLaMA-Factory; {subject.name} is as it was")
